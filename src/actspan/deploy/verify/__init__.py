"""Comparison of every variant of a model with its checkpoint: outputs, proposals, recall."""
