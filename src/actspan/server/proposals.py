"""Requests for proposals and their answers: options, bodies, JSON and Arrow."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.requests import ClientDisconnect

from actspan.config.stages import FeatureSpec
from actspan.core.errors import ConfigError
from actspan.core.files import sync
from actspan.core.types import Proposals
from actspan.jobs.propose_request import Selection
from actspan.server.error_responses import ProblemError
from actspan.server.middleware import Metrics
from actspan.server.settings import Limits

_BODIES_AT_ONCE = 8  # number of largest bodies that fit in memory together
_BLOCK = 1 << 20  # bytes to collect before a write
_CLOSED = "the connection closed before the end of the body"


class Proposal(BaseModel):
    """Scored segment: start and end, seconds."""

    segment: tuple[float, float]
    score: float


class ProposeAnswer(BaseModel):
    """Proposals of a video, best first, and the duration of the video, seconds."""

    seconds: float
    proposals: list[Proposal]


class ProposalOptions(BaseModel):
    """Options of a request for proposals: the time grid of features, and what to return."""

    stride: float | None = Field(
        None,
        gt=0,
        le=86400,
        description="Seconds from snippet to snippet. Default: that of the model.",
    )
    length: float | None = Field(
        None, gt=0, le=86400, description="Seconds of a snippet. Default: the stride."
    )
    top: int | None = Field(
        None, ge=1, le=1_000_000, description="Maximum number of proposals, the best ones."
    )
    min_score: float = Field(0.0, description="Leave out proposals that score less than this.")

    def with_grid(self, spec: FeatureSpec) -> Self:
        """Return the options with the grid of a model, if the caller states no stride."""
        stride, length = self.stride, self.length
        if stride is None:
            stride, length = spec.stride_seconds, length or spec.length_seconds
        return self.model_copy(update={"stride": stride, "length": length or stride})

    def known_grid(self) -> tuple[float, float]:
        """Return stride and length, seconds; raise ConfigError if the stride is unknown."""
        if not self.stride:
            raise ConfigError(
                "stride: the model does not state it, so give it, in seconds from snippet to "
                "snippet"
            )
        return self.stride, self.length or self.stride

    def select(self, proposals: Proposals) -> Proposals:
        """Return the proposals to return to the caller."""
        return Selection(self.top, self.min_score).of(proposals)


def as_json(proposals: Proposals, seconds: float) -> bytes:
    """Return a `ProposeAnswer` as JSON."""
    columns = (column.tolist() for column in (proposals.start, proposals.end, proposals.score))
    rows = [{"segment": (start, end), "score": s} for start, end, s in zip(*columns, strict=True)]
    return to_json({"seconds": seconds, "proposals": rows})  # 6 times as fast as from the models


def as_arrow(proposals: Proposals, seconds: float) -> bytes:
    """Return an Arrow stream of columns start, end and score; seconds are in the metadata."""
    import pyarrow as pa

    columns = {"start": proposals.start, "end": proposals.end, "score": proposals.score}
    table = pa.table(columns).replace_schema_metadata({"seconds": repr(seconds)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class Bodies:
    """Reader of the bodies of requests, with limits of time and of memory."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._free = _BODIES_AT_ONCE * limits.request_bytes  # bytes of memory for bodies

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield a body in memory; its memory counts as used until the block ends.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or others take
        up the memory (429).
        """
        body, reserved = bytearray(), 0
        try:
            async with _time_limit(self._limits.body_seconds):
                async for chunk in request.stream():
                    if len(chunk) > self._free:
                        line = "too many large requests at once; ask again"
                        raise self._metrics.refuse("memory", line, 1)
                    self._free -= len(chunk)
                    reserved += len(chunk)
                    body += chunk
            yield body
        except ClientDisconnect:
            raise ProblemError(400, _CLOSED) from None
        finally:
            self._free += reserved

    async def store(self, request: Request, path: Path) -> int:
        """Write a body durably to a new file and return its size. Remove the file on failure.

        Raises ProblemError if the body breaks off (400), arrives too slowly (408), or the disk is
        full (507).
        """
        try:
            return await _write(request, path, self._limits.body_seconds)
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
