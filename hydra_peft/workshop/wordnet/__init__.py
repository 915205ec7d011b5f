"""Texts of WordNet 3.0, of which benchmark ``mini_glue`` is made and ``roberta_mini`` learns."""
