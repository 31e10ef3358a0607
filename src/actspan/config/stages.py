"""Settings of the stages between features and proposals, and the description of features."""

from __future__ import annotations

from typing import Literal

from actspan.config.base import Config
from actspan.config.base import require_setting as _require
from actspan.config.video import ExtractionConfig
from actspan.core.limits import CANDIDATES, CELLS, SIZE


def _within(stage: str, low: int, high: int, **settings: int) -> None:
    """Raise for counts that no model has: memory and time grow with them."""
    for name, value in settings.items():
        _require(low <= value <= high, f"{stage}: {name} {value} is not in {low} to {high}")


class TemConfig(Config, frozen=True, kw_only=True):
    """Temporal Evaluation Module (paper section 3.3)."""

    channels: int = 400  # two-stream CUHK features, 200 + 200
    length: int = 100  # T, the temporal scale
    hidden: int = 512
    members: int = 1  # networks side by side in the hidden layers, whose logits are averaged

    def __post_init__(self) -> None:
        _within("tem", 1, SIZE, channels=self.channels, hidden=self.hidden)
        _require(self.members >= 1, "tem: members must be at least 1")
        _require(
            self.hidden % self.members == 0,
            f"tem: hidden {self.hidden} is not a multiple of its {self.members} members",
        )
        _within("tem", 2, CELLS, length=self.length)


class PemConfig(Config, frozen=True, kw_only=True):
    """Proposal Evaluation Module (paper section 3.3)."""

    inputs: int = 32  # BSP features per proposal
    hidden: int = 256

    def __post_init__(self) -> None:
        _within("pem", 1, SIZE, inputs=self.inputs, hidden=self.hidden)


class ClassifierConfig(Config, frozen=True, kw_only=True):
    """Proposal classifier: pooled features to labels. It is not part of the paper."""

    labels: tuple[str, ...]  # in the order of the network's outputs; background comes after them
    channels: int  # of the features
    hidden: int = 128

    def __post_init__(self) -> None:
        _require(len(self.labels) >= 1, "classifier: there are no labels")
        _require(len(set(self.labels)) == len(self.labels), "classifier: a label is there twice")
        _within("classifier", 1, SIZE, channels=self.channels, hidden=self.hidden)

    @property
    def inputs(self) -> int:
        """Pooled features per proposal: means inside it, shortly before it and shortly after it."""
        return 3 * self.channels


class RescaleConfig(Config, frozen=True, kw_only=True):
    """Rescaling of snippets to the T cells of the networks."""

    # Content of cells before the first or after the last snippet centre: zeros as published,
    # or the nearest snippet. "auto" is zeros for the authors' layout and the nearest elsewhere.
    edge: Literal["auto", "clamp", "zero"] = "auto"


class PgmConfig(Config, frozen=True, kw_only=True):
    """Proposal Generation Module: boundary peaks to candidates (paper section 3.3)."""

    peak_ratio: float = 0.5  # a cell above this share of the maximum is a candidate
    keep: int = 1000  # candidates per video that PEM scores
    keep_training: int = 500  # candidates per video that PEM is trained on

    def __post_init__(self) -> None:
        _require(0 <= self.peak_ratio <= 1, f"pgm: peak_ratio {self.peak_ratio} is not in [0, 1]")
        _within("pgm", 1, CANDIDATES, keep=self.keep, keep_training=self.keep_training)


class BspConfig(Config, frozen=True, kw_only=True):
    """Boundary-Sensitive Proposal features (paper section 3.3)."""

    action_samples: int = 16  # over the proposal
    boundary_samples: int = 8  # around its start, and around its end
    boundary_ratio: float = 0.2  # half width of a boundary region, as a share of the proposal

    def __post_init__(self) -> None:
        samples = {"action_samples": self.action_samples, "boundary_samples": self.boundary_samples}
        _within("bsp", 2, SIZE, **samples)
        _require(self.boundary_ratio > 0, "bsp: boundary_ratio must be positive")

    @property
    def size(self) -> int:
        """Features per proposal."""
        return self.action_samples + 2 * self.boundary_samples


class SoftNmsConfig(Config, frozen=True, kw_only=True):
    """Soft-NMS (paper section 3.4, thresholds of the published code)."""

    threshold_short: float = 0.65  # tIoU above which a neighbour of an infinitely short pick decays
    threshold_long: float = 0.9  # ... of a pick as long as the video
    decay: float = 0.75  # score *= exp(-tIoU^2 / decay)
    picks: int = 101  # the published loop picks one more than it keeps
    keep: int = 100

    def __post_init__(self) -> None:
        _require(self.decay > 0, "soft_nms: decay must be positive")
        _within("soft_nms", 1, CANDIDATES, picks=self.picks, keep=self.keep)


class FeatureSpec(Config, frozen=True, kw_only=True):
    """Description of a dataset's features, or of those that a bundle expects: `[features]`.

    The snippet grid is in frames or in seconds. If neither is given, the features are spread
    evenly over the whole video (as in `csv_mean_100`).
    """

    channels: int | None = None
    layout: Literal["TC", "CT"] | None = None
    # Arrays of each video's file (npz, HDF5) whose channels are concatenated.
    join: tuple[str, ...] | None = None
    stride_frames: float | None = None
    length_frames: float | None = None
    stride_seconds: float | None = None
    length_seconds: float | None = None
    fps: float | None = None  # if stride is in frames and annotations give no rate
    backbone: str | None = None
    extraction: ExtractionConfig | None = None  # if made by `actspan extract`

    def __post_init__(self) -> None:
        grid = {
            "stride_frames": self.stride_frames,
            "length_frames": self.length_frames,
            "stride_seconds": self.stride_seconds,
            "length_seconds": self.length_seconds,
            "fps": self.fps,
            "channels": self.channels,
        }
        for name, value in grid.items():
            _require(value is None or value > 0, f"features: {name} must be positive, not {value}")
        _require((self.channels or 1) <= SIZE, f"features: channels must be at most {SIZE}")
        _require(
            self.join is None or len(set(self.join)) == len(self.join) > 0,
            "features: join must name arrays, each once",
        )
        frames = self.stride_frames is not None or self.length_frames is not None
        seconds = self.stride_seconds is not None or self.length_seconds is not None
        _require(not (frames and seconds), "features: give frames or seconds, not both")
        _require(
            not frames or self.stride_frames is not None,
            "features: length_frames needs a stride",
        )
        _require(
            not seconds or self.stride_seconds is not None,
            "features: length_seconds needs a stride",
        )


class PipelineConfig(Config, frozen=True, kw_only=True):
    """Settings of every stage between features and proposals."""

    # One video on T cells, or a long recording in windows of T snippets (bsn.md section 11).
    mode: Literal["rescale", "window"] = "rescale"
    tem: TemConfig | None = None
    pem: PemConfig | None = None
    rescale: RescaleConfig = RescaleConfig()
    pgm: PgmConfig = PgmConfig()
    bsp: BspConfig = BspConfig()
    soft_nms: SoftNmsConfig = SoftNmsConfig()
    classifier: ClassifierConfig | None = None
