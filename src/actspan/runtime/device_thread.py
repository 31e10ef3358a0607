"""A thread that owns a device, since contexts belong to threads and calls must not overlap."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DeviceThread:
    """A thread that runs functions one after the other, for callers in any thread."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in the thread; return its result or raise its exception."""
        return self._pool.submit(function, *args, **kwargs).result()

    def stop(self) -> None:
        """Wait for pending calls, then end the thread."""
        self._pool.shutdown()
