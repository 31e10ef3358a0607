"""Request to extract features, from which the command makes its options, and the snippet grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from msgspec import field

from actspan.config.base import Bounds, Config, OnError, Positive, doc
from actspan.config.stages import FeatureSpec, Streams
from actspan.config.streams import TIMEOUT, Statistic, StreamKind, TimeUnit
from actspan.core.errors import ConfigError
from actspan.runtime.devices import backend_on

Precision = Literal["float16", "float32"]


class Span(NamedTuple):
    """A length of time, in seconds or in frames: `0.25s`, `8f`."""

    value: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0.25s`, `250ms` or `8f`; raise ConfigError for another text, or for 0."""
        match = re.fullmatch(r"(-?(?:\d+\.?\d*|\.\d+))\s*(s|ms|f)", text.strip().lower())
        if match is None:
            raise ConfigError(
                f"{text!r} is not a length of time: give seconds (0.25s), milliseconds (250ms) or "
                "frames (8f)"
            )
        value = float(match[1])
        if value <= 0:
            raise ConfigError(f"a length of time must be more than 0, not {text!r}")
        return cls(value / 1000, "s") if match[2] == "ms" else cls(value, match[2])

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    def seconds(self, fps: float) -> float:
        """Return the length in seconds, in a video of `fps` frames per second."""
        return self.value if self.unit == "s" else self.value / fps


@dataclass(frozen=True, slots=True)
class Grid:
    """Snippets of equal length at a fixed stride, in the same unit (otherwise ConfigError).

    Snippet i has its middle at (i + 0.5) * stride: a snippet longer than the stride
    overlaps its neighbours on both sides.
    """

    stride: Span
    length: Span

    def __post_init__(self) -> None:
        if self.stride.unit != self.length.unit:
            raise ConfigError(
                f"stride {self.stride} and length {self.length}: give both in seconds, or both in "
                "frames"
            )

    @classmethod
    def of(cls, spec: FeatureSpec) -> Self:
        """Return the grid of existing features; raise ConfigError if they have none."""
        if spec.stride_seconds is not None:
            stride, unit, length = spec.stride_seconds, "s", spec.length_seconds
        elif spec.stride_frames is not None:
            stride, unit, length = spec.stride_frames, "f", spec.length_frames
        else:
            raise ConfigError("features without a stride: the length of their snippets is unknown")
        return cls(Span(stride, unit), Span(length or stride, unit))

    def settings(self) -> dict[str, Any]:
        """Return the fields for `FeatureSpec`."""
        unit = {"s": "seconds", "f": "frames"}[self.stride.unit]
        return {f"stride_{unit}": self.stride.value, f"length_{unit}": self.length.value}


class SampleRequest(Config, frozen=True):
    """Settings of streams other than video; what is not given is found in the first recording."""

    rate: Annotated[
        float | None,
        Bounds(0, excluded=0),
        doc(
            "Samples per second of tables without times, frames per second of poses, or the rate "
            "to which sound is resampled. [default for audio: 16000]",
            "HZ",
            group="Tables, sound and poses",
        ),
    ] = None
    time: Annotated[
        str | None,
        doc(
            "Column of times in tables. [default: found by its name or type]",
            "COLUMN",
            group="Tables, sound and poses",
        ),
    ] = None
    time_unit: Annotated[
        TimeUnit | None,
        doc(
            "Unit of these times, if they are numbers. [default: by their name]",
            group="Tables, sound and poses",
        ),
    ] = None
    columns: Annotated[
        tuple[str, ...],
        doc(
            "Use this column of tables or joint of poses; may be repeated. [default: all]",
            "NAME",
            group="Tables, sound and poses",
        ),
    ] = ()
    statistics: Annotated[
        tuple[Statistic, ...],
        doc(
            "Statistic of the samples in a snippet; may be repeated. [default: mean, std, and for "
            "sensors min, max, change]",
            group="Tables, sound and poses",
        ),
    ] = ()
    bands: Annotated[
        Positive | None, doc("Mel bands of sound. [default: 64]", group="Tables, sound and poses")
    ] = None
    likelihood: Annotated[
        float | None,
        Bounds(0, 1),
        doc(
            "Points of poses below this likelihood are missing. [default: 0.6]",
            group="Tables, sound and poses",
        ),
    ] = None


class ExtractRequest(Config, frozen=True):
    """Request to extract features from videos or other streams; for `videos` see `find_videos`."""

    videos: tuple[str, ...]
    out: Annotated[Path, doc("Dataset folder to write.", group="Output")]
    backbone: Annotated[
        str,
        doc(
            "Encoder of the snippets: default (EfficientNet-Lite0), onnx:FILE with its "
            "preprocessing in FILE's .toml, or hf:OWNER/NAME@COMMIT.",
            "NAME",
            group="Features",
        ),
    ] = "default"
    stride: Annotated[
        str,
        doc(
            "Time from one snippet to the next: seconds (0.25s) or frames (8f).",
            "TIME",
            group="Features",
        ),
    ] = "0.25s"
    length: Annotated[
        str | None,
        doc("Length of a snippet. [default: twice the stride]", "TIME", group="Features"),
    ] = None
    frames: Annotated[
        Positive | None, doc("Number of frames used per snippet. [default: 4]", group="Features")
    ] = None
    streams: Annotated[
        Streams | None,
        doc(
            "Encode what the frames show, how they change, or both. [default: both]",
            group="Features",
        ),
    ] = None
    channels: Annotated[
        Positive | None,
        doc(
            "Project features to N principal components of the training part. [default: keep all]",
            group="Features",
        ),
    ] = None
    precision: Annotated[
        Precision | None,
        doc(
            "Precision of the features on disk. [default: float16 for video, else float32]",
            group="Features",
        ),
    ] = None
    threads: Annotated[
        Positive | None,
        doc("Number of threads of the backbone. [default: all cores]", group="Speed"),
    ] = None
    backend: Annotated[str, doc("Inference runtime for the backbone.", "NAME", group="Speed")] = (
        "auto"
    )
    device: Annotated[
        str,
        doc(
            "Run the backbone with ONNX Runtime on cpu, cuda, or a GPU by its number (cuda:1); "
            "auto leaves the choice to --backend.",
            "DEVICE",
            group="Speed",
        ),
    ] = "auto"
    on_error: Annotated[
        OnError, doc("Stop at videos that cannot be opened, or skip them.", group="Input")
    ] = "fail"
    force: Annotated[
        bool, doc("Remove features in --out that were made with other settings.", group="Output")
    ] = False
    timeout: Annotated[
        float,
        Bounds(0, excluded=0),
        doc(
            "Time without data after which the connection to an address has failed.",
            "SECONDS",
            group="Input",
        ),
    ] = TIMEOUT
    kind: Annotated[
        StreamKind | None,
        doc("Kind of the streams. [default: by their suffix and content]", group="Input"),
    ] = None
    samples: SampleRequest = field(default_factory=SampleRequest)

    def __post_init__(self) -> None:
        super().__post_init__()
        if "auto" not in (self.backend, backend_on(self.device)):
            raise ConfigError(
                f"--device {self.device} selects the backend {backend_on(self.device)}; give it or "
                f"--backend {self.backend}, not both"
            )

    @property
    def runtime(self) -> str:
        """Name of the backend: that of the device, if one is given."""
        return self.backend if self.device == "auto" else backend_on(self.device)

    @property
    def noun(self) -> str:
        """Word for one of the streams of a known kind."""
        return "video" if self.kind in (None, "video") else "recording"

    @property
    def grid(self) -> Grid:
        """Grid of the snippets; by default, neighbouring snippets overlap by half."""
        stride = Span.parse(self.stride)
        twice = Span(2 * stride.value, stride.unit)
        return Grid(stride, twice if self.length is None else Span.parse(self.length))
