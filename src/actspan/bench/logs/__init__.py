"""Logs of benchmark tools: one reader per format, listed in `readers.READERS`."""
