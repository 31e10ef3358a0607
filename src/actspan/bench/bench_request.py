"""Request of a benchmark. The command makes its options of it."""

from __future__ import annotations

from typing import Annotated

from actspan.config.base import (
    Bounds,
    Config,
    ExistingFolder,
    OnError,
    Positive,
    Seconds,
    doc,
)

CHANNELS, LENGTH = 400, 100  # of published networks


class BenchRequest(Config, frozen=True, kw_only=True):
    """Request of `run_benchmark`; `command` is the command line that repeats it."""

    model: Annotated[
        ExistingFolder | None,
        doc("A bundle. [default: made-up networks of published sizes]"),
    ] = None
    dataset: Annotated[
        ExistingFolder | None, doc("A dataset folder. [default: made-up features]")
    ] = None
    subset: Annotated[
        str | None,
        doc("Use only the videos of this subset: validation, ... [default: all]"),
    ] = None
    videos: Annotated[
        Positive | None, doc("Use at most N videos. [default: all, or 128 made-up ones]")
    ] = None
    batches: Annotated[tuple[Positive, ...], doc("Videos per batch; may be repeated.")] = (1, 16)
    backend: Annotated[str, doc("Inference runtime, with its precision; see actspan backends.")] = (
        "auto"
    )
    variant: Annotated[
        str, doc("Variant of the graphs of the bundle: fp16 uses tem.fp16.onnx.")
    ] = ""
    threads: Annotated[Positive, doc("Threads per call.")] = 1
    streams: Annotated[
        Positive, doc("Calls that run at the same time. [default: cores / threads]")
    ] = 1
    seconds: Annotated[
        Seconds,
        doc("Longest time per measurement; it ends earlier when its median settles."),
    ] = 3.0
    channels: Annotated[Positive, doc("Channels of made-up networks.")] = CHANNELS
    length: Annotated[int, Bounds(2), doc("Cells of made-up networks.")] = LENGTH
    snippets: Annotated[
        Positive | None,
        doc("Snippets of made-up videos. [default: as many as cells]"),
    ] = None
    on_error: Annotated[
        OnError, doc("Stop at problems in the dataset, or skip what cannot be used.")
    ] = "fail"
    command: str = ""
