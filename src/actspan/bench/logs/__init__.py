"""Logs of benchmark tools: one reader per format, and a table of formats (`FORMS`)."""
