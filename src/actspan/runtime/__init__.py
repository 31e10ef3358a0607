"""Inference runtimes behind one narrow interface."""
