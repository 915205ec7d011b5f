"""Pretraining of the embedded text encoder `roberta_mini` by masked language modelling.

It reads WordNet's glosses and examples, but those of the test share (`workshop.wordnet.shares`).
"""
