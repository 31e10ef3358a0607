"""Inference runtimes behind one narrow contract."""

from actspan.runtime.session import BACKENDS, Session, open_session

__all__ = ["BACKENDS", "Session", "open_session"]
