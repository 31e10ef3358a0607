"""`POST /api/propose`: features to proposals, answered at once."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from actspan.core.types import Features, Float32
from actspan.server.answers import ARROW, JSON, ProposeAnswer, as_arrow, as_json
from actspan.server.bodies import Bodies
from actspan.server.decode_worker import Task, check_table
from actspan.server.decoding import Decoder
from actspan.server.formats import HEAD, kind_of, npy_array
from actspan.server.model import ServedModel
from actspan.server.openapi import BINARY, answered, body
from actspan.server.problems import ProblemError, may_fail
from actspan.server.settings import Limits
from actspan.server.wishes import Length, MinScore, Stride, Top, check_stride, wish_of

NPY = "application/x-npy"
FEATURE_MEDIA = {NPY: BINARY, ARROW: BINARY, "application/octet-stream": BINARY}
_LARGE = 1 << 22  # bytes; the conversion of larger arrays would block other requests
NO_VIDEOS = (
    "; this service takes no videos: its model was not trained on features of actspan extract, or "
    "the extra 'video' is missing"
)
FEATURES = "An npy or Arrow IPC file of features, (n, C): a row a snippet."


def router(model: ServedModel, bodies: Bodies, limits: Limits, decoder: Decoder) -> APIRouter:
    """Return the operation that answers at once."""
    routes = APIRouter(tags=["proposals"])
    answers = answered(ProposeAnswer, "The proposals, best first, seconds.")
    answers[200]["content"][ARROW] = {"schema": BINARY}

    @routes.post(
        "/api/propose",
        response_class=Response,
        responses=answers | may_fail(408, 413, 415, 422, 429, 503, 504),
        openapi_extra=body(FEATURE_MEDIA, FEATURES),
    )
    async def propose(
        request: Request,
        stride: Stride = None,
        length: Length = None,
        top: Top = None,
        min_score: MinScore = 0.0,
    ) -> Response:
        """Find the scored segments of a video from its features.

        Send long recordings as jobs. With `Accept: application/vnd.apache.arrow.stream` the answer
        is an Arrow stream with columns start, end and score.
        """
        wish = wish_of(model, stride, length, top, min_score)
        check_stride(wish)
        async with bodies.read(request) as data:
            array = await _array(data, model, limits, decoder)
            check_table(array.shape, model.channels)
            if len(array) * wish.stride > limits.recording_seconds:
                raise ProblemError(
                    413, f"it lasts longer than the {limits.recording_seconds:g} s allowed here"
                )
            make = partial(Features, array, wish.stride, wish.length)
            features = make() if array.nbytes < _LARGE else await asyncio.to_thread(make)
            (found,) = await model.videos.answer([features], 1)
        chosen = wish.chosen(found)
        if ARROW in request.headers.get("accept", ""):
            return Response(as_arrow(chosen, features.seconds), media_type=ARROW)
        return Response(as_json(chosen, features.seconds), media_type=JSON)

    return routes


async def _array(
    data: bytearray, model: ServedModel, limits: Limits, decoder: Decoder
) -> NDArray[Any]:
    kind = kind_of(bytes(data[:HEAD]))
    if kind == "npy":
        return npy_array(data)
    if kind == "arrow":
        try:
            async with asyncio.timeout(limits.answer_seconds):  # includes a wait for others
                return await asyncio.to_thread(_decoded, data, model.channels, decoder)
        except TimeoutError:
            raise ProblemError(
                504, f"not decoded within {limits.answer_seconds:g} s; send npy, or use /api/jobs"
            ) from None
    videos = "; send videos to /api/jobs" if model.takes_videos else NO_VIDEOS
    raise ProblemError(415, f"the body is neither an npy file nor Arrow IPC{videos}")


def _decoded(data: bytearray, channels: int, decoder: Decoder) -> Float32:
    """Return the features of an Arrow file, which is decoded in another process."""
    with TemporaryDirectory(prefix="actspan-") as folder:
        source, target = Path(folder) / "upload", Path(folder) / "features.npy"
        source.write_bytes(data)
        decoder.decode(Task("arrow", str(source), str(target), channels, 1.0))
        features: Float32 = np.load(target, allow_pickle=False)
    return features
