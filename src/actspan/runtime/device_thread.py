"""One thread that owns a device: vendors bind contexts to threads, and calls must not overlap."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DeviceThread:
    """Runs functions one after the other, all in the same thread, for callers in any thread."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, or raises."""
        return self._pool.submit(function, *args, **kwargs).result()

    def stop(self) -> None:
        """Wait for what is under way, then end the thread."""
        self._pool.shutdown()
