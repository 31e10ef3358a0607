"""Inference runtimes behind one narrow interface."""

from actspan.runtime.backends import BACKENDS, Backend, Support, find_backend
from actspan.runtime.choice import Choice, choose_backend
from actspan.runtime.opening import check_backend, open_net, open_session
from actspan.runtime.session import Session

__all__ = [
    "BACKENDS",
    "Backend",
    "Choice",
    "Session",
    "Support",
    "check_backend",
    "choose_backend",
    "find_backend",
    "open_net",
    "open_session",
]
