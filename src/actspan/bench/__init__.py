"""Benchmarks: results on disk, logs of other tools, and comparisons of them."""
