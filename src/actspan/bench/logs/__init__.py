"""Logs of benchmark tools: one reader per format, and a table of formats (`FORMS`)."""

from actspan.bench.logs.base import Figure, Log
from actspan.bench.logs.forms import FORMS, is_log, read_log

__all__ = ["FORMS", "Figure", "Log", "is_log", "read_log"]
