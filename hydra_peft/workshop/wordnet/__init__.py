"""Texts of WordNet 3.0: benchmark ``mini_glue`` is made of them, and ``roberta_mini`` pretrained."""
