"""Packed datasets: features in a few memory-mapped Arrow files instead of one file per video."""
