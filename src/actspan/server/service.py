"""Service with a model: its parts, and the bodies of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path

from fastapi import Request
from starlette.requests import ClientDisconnect

from actspan.core.files import sync
from actspan.model.bundle import Bundle
from actspan.server.database import Database, JobStore
from actspan.server.error_responses import ProblemError
from actspan.server.jobs import Decoder, JobRunner
from actspan.server.middleware import Metrics
from actspan.server.served_model import ServedModel
from actspan.server.settings import ServeSettings

_BODIES_AT_ONCE = 8  # number of largest bodies that fit in memory together
_BLOCK = 1 << 20  # bytes to collect before a write
_CLOSED = "the connection closed before the end of the body"


class ProposalService:
    """Model, decoder, jobs and limits of a service, for its operations."""

    def __init__(self, database: Database, settings: ServeSettings, metrics: Metrics) -> None:
        assert settings.model is not None
        self.limits, self._metrics = settings.limits, metrics
        self._free = _BODIES_AT_ONCE * self.limits.request_bytes  # bytes of memory for bodies
        bundle = Bundle.load(settings.model)
        self.store = JobStore(database, settings.data, self.limits.kept_jobs)
        with ExitStack() as opened:
            self.model = opened.enter_context(closing(ServedModel(bundle, settings, metrics)))
            self.decoder = opened.enter_context(closing(Decoder(self.limits, for_job=False)))
            runner = JobRunner(self.store, self.model, settings, metrics)
            self.runner = opened.enter_context(closing(runner))
            self._opened = opened.pop_all()  # setup succeeded, so everything stays open
        for state in self.store.counts():
            metrics.jobs.labels(state).set_function(partial(self._count, state))

    def _count(self, state: str) -> int:
        return self.store.counts()[state]

    def start(self) -> None:
        """Start to answer requests and to run waiting and interrupted jobs."""
        self.model.start()
        self.runner.start()

    def close(self) -> None:
        """Queue the running job again, answer the waiting requests, and free everything."""
        self._opened.close()

    def refuse(self, reason: str, detail: str, retry_after: int) -> ProblemError:
        """Count a refusal because of a limit, and return its error (429)."""
        self._metrics.refused.labels(reason).inc()
        return ProblemError(429, detail, {"Retry-After": str(retry_after)})

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield a body in memory; its memory counts as used until the block ends.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or others take
        up the memory (429).
        """
        body, reserved = bytearray(), 0
        try:
            async with _time_limit(self.limits.body_seconds):
                async for chunk in request.stream():
                    if len(chunk) > self._free:
                        raise self.refuse("memory", "too many large requests at once; ask again", 1)
                    self._free -= len(chunk)
                    reserved += len(chunk)
                    body += chunk
            yield body
        except ClientDisconnect:
            raise ProblemError(400, _CLOSED) from None
        finally:
            self._free += reserved

    async def store_body(self, request: Request, path: Path) -> int:
        """Write a body durably to a new file and return its size. Remove the file on failure.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or the disk is
        full (507).
        """
        try:
            return await _write(request, path, self.limits.body_seconds)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, ClientDisconnect):
                raise ProblemError(400, _CLOSED) from None
            if isinstance(error, OSError):
                raise ProblemError(507, f"the upload cannot be stored: {error.strerror}") from error
            raise


async def _write(request: Request, path: Path, seconds: float) -> int:
    size, block = 0, bytearray()
    with path.open("xb") as stream:
        chunks = aiter(request.stream())
        while True:
            async with _time_limit(seconds):  # per chunk: uploads may take long
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
