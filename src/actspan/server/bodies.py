"""Bodies of requests: read into memory or to disk, within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Request
from starlette.requests import ClientDisconnect

from actspan.core.files import sync
from actspan.server.error_responses import ProblemError
from actspan.server.operations import Metrics
from actspan.server.settings import Limits

_BODIES_AT_ONCE = 8  # number of largest bodies that fit in memory together
_BLOCK = 1 << 20  # bytes to collect before a write


class BodyReader:
    """Reader of bodies, which share a bounded amount of memory."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._seconds, self._metrics = limits.body_seconds, metrics
        self._free = _BODIES_AT_ONCE * limits.request_bytes

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield a body in memory; its memory counts as used until the block ends.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or others take
        up the memory (429).
        """
        body, reserved = bytearray(), 0
        try:
            async with _time_limit(self._seconds):
                async for chunk in request.stream():
                    self._reserve(len(chunk))
                    reserved += len(chunk)
                    body += chunk
            yield body
        except ClientDisconnect:
            raise ProblemError(400, "the connection closed before the end of the body") from None
        finally:
            self._free += reserved

    def _reserve(self, size: int) -> None:
        if size > self._free:
            self._metrics.refused.labels("memory").inc()
            raise ProblemError(
                429, "too many large requests at once; ask again", {"Retry-After": "1"}
            )
        self._free -= size

    async def store(self, request: Request, path: Path) -> int:
        """Write a body durably to a new file and return its size. Remove the file on failure.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or the disk is
        full (507).
        """
        try:
            return await self._write(request, path)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, ClientDisconnect):
                detail = "the connection closed before the end of the body"
                raise ProblemError(400, detail) from None
            if isinstance(error, OSError):
                raise ProblemError(507, f"the upload cannot be stored: {error.strerror}") from error
            raise

    async def _write(self, request: Request, path: Path) -> int:
        size, block = 0, bytearray()
        with path.open("xb") as stream:
            chunks = aiter(request.stream())
            while True:
                async with _time_limit(self._seconds):  # per chunk: uploads may take long
                    chunk = await anext(chunks, None)
                block += chunk or b""
                if chunk is None or len(block) >= _BLOCK:
                    size += await asyncio.to_thread(stream.write, bytes(block))
                    block.clear()
                if chunk is None:
                    break
        await asyncio.to_thread(sync, path)
        await asyncio.to_thread(sync, path.parent)
        return size


@asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ProblemError(408, f"the body did not arrive within {seconds:g} s") from None
