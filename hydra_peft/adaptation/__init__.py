"""The verbs on a model: inject, merge, count, save, load."""
