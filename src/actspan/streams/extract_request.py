"""Request to extract features. The command makes its options of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from actspan.config.base import Config, OnError, Positive, doc
from actspan.config.stages import Streams
from actspan.streams.snippet_grid import Grid, Span

Precision = Literal["float16", "float32"]


class ExtractRequest(Config, frozen=True):
    """Request to extract features from videos; for `videos` see `find_videos`."""

    videos: tuple[str, ...]
    out: Annotated[Path, doc("Dataset folder to write.")]
    backbone: Annotated[
        str,
        doc(
            "Encoder of the snippets: default (EfficientNet-Lite0), or onnx:FILE with its "
            "preprocessing in FILE's .toml."
        ),
    ] = "default"
    stride: Annotated[
        str,
        doc("Time from one snippet to the next: seconds (0.25s) or frames (8f).", "TIME"),
    ] = "0.25s"
    length: Annotated[
        str | None, doc("Length of a snippet. [default: twice the stride]", "TIME")
    ] = None
    frames: Annotated[Positive | None, doc("Number of frames used per snippet. [default: 4]")] = (
        None
    )
    streams: Annotated[
        Streams | None,
        doc("Encode what the frames show, how they change, or both. [default: both]"),
    ] = None
    channels: Annotated[
        Positive | None,
        doc("Project features to N principal components of the training part. [default: keep all]"),
    ] = None
    precision: Annotated[Precision, doc("Precision of the features on disk.")] = "float16"
    threads: Annotated[
        Positive | None, doc("Number of threads of the backbone. [default: all cores]")
    ] = None
    backend: Annotated[str, doc("Inference runtime for the backbone.")] = "auto"
    on_error: Annotated[OnError, doc("Stop at videos that cannot be opened, or skip them.")] = (
        "fail"
    )
    force: Annotated[bool, doc("Remove features in --out that were made with other settings.")] = (
        False
    )

    @property
    def grid(self) -> Grid:
        """Grid of the snippets; by default, neighbouring snippets overlap by half."""
        stride = Span.parse(self.stride)
        return Grid(stride, stride.twice() if self.length is None else Span.parse(self.length))
