"""The settings of every stage: one frozen struct each, defaults = the published ones.

Read from TOML with unknown keys refused; written back to TOML without loss.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import tomli_w

from actspan.errors import ConfigError

T = TypeVar("T")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all settings: immutable, compared by value, checked where it is made."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


class TemConfig(Config, frozen=True, kw_only=True):
    """Temporal Evaluation Module (paper section 3.3)."""

    channels: int = 400  # two-stream CUHK features, 200 + 200
    length: int = 100  # T, the temporal scale
    hidden: int = 512

    def __post_init__(self) -> None:
        _require(min(self.channels, self.hidden) >= 1, "tem: channels and hidden must be >= 1")
        _require(self.length >= 2, "tem: length must be at least 2")


class PemConfig(Config, frozen=True, kw_only=True):
    """Proposal Evaluation Module (paper section 3.3)."""

    inputs: int = 32  # BSP features a proposal
    hidden: int = 256

    def __post_init__(self) -> None:
        _require(min(self.inputs, self.hidden) >= 1, "pem: inputs and hidden must be at least 1")


class ClassifierConfig(Config, frozen=True, kw_only=True):
    """The proposal classifier: pooled features to labels. It is ours, not the paper's."""

    labels: tuple[str, ...]  # in the order of the network's outputs; background comes after them
    channels: int  # of the features
    hidden: int = 128

    def __post_init__(self) -> None:
        _require(len(self.labels) >= 1, "classifier: there are no labels")
        _require(len(set(self.labels)) == len(self.labels), "classifier: a label is there twice")
        _require(
            min(self.channels, self.hidden) >= 1, "classifier: channels and hidden must be >= 1"
        )

    @property
    def inputs(self) -> int:
        """Pooled features a proposal: means inside it, shortly before it and shortly after it."""
        return 3 * self.channels


class ClassifierTrainConfig(Config, frozen=True, kw_only=True):
    """Training of the proposal classifier."""

    hidden: int = 128
    dropout: float = 0.5  # share of inputs and of hidden units dropped
    context_dropout: float = 0.5  # chance that an example is seen without what lies around it
    rate: float = 1e-3  # highest learning rate of one cycle (AdamW)
    weight_decay: float = 0.01
    steps: int = 1500
    batch: int = 256  # examples a step
    background_share: float = 0.25  # of a batch
    positive_tiou: float = 0.5  # a proposal that overlaps an instance so much carries its label
    negative_tiou: float = 0.3  # one that overlaps none so much is background
    positives: int = 32  # proposals a video at most, so that memory is bounded
    negatives: int = 16

    def __post_init__(self) -> None:
        counts = min(self.hidden, self.steps, self.batch, self.positives, self.negatives)
        _require(counts >= 1, "classifier: hidden, steps, batch, positives, negatives must be >= 1")
        _require(self.rate > 0, "classifier: rate must be positive")
        _require(self.weight_decay >= 0, "classifier: weight_decay must not be negative")
        for name, share in (
            ("dropout", self.dropout),
            ("context_dropout", self.context_dropout),
            ("background_share", self.background_share),
        ):
            _require(0 <= share < 1, f"classifier: {name} {share} is not in [0, 1)")
        _require(
            0 < self.negative_tiou <= self.positive_tiou <= 1,
            "classifier: 0 < negative_tiou <= positive_tiou <= 1 is needed",
        )


class RescaleConfig(Config, frozen=True, kw_only=True):
    """Snippets to the T cells of the nets."""

    # what cells before the first or after the last snippet centre hold: zeros as published,
    # or the nearest snippet; "auto" is zeros for the authors' layout and the nearest elsewhere
    edge: Literal["auto", "clamp", "zero"] = "auto"


class PgmConfig(Config, frozen=True, kw_only=True):
    """Proposal Generation Module: boundary peaks to candidates (paper section 3.3)."""

    peak_ratio: float = 0.5  # a cell above this share of the maximum is a candidate
    keep: int = 1000  # candidates a video that PEM scores
    keep_training: int = 500  # candidates a video that PEM learns from

    def __post_init__(self) -> None:
        _require(0 <= self.peak_ratio <= 1, f"pgm: peak_ratio {self.peak_ratio} is not in [0, 1]")
        _require(min(self.keep, self.keep_training) >= 1, "pgm: keep at least one candidate")


class BspConfig(Config, frozen=True, kw_only=True):
    """Boundary-Sensitive Proposal features (paper section 3.3)."""

    action_samples: int = 16  # over the proposal
    boundary_samples: int = 8  # around its start, and around its end
    boundary_ratio: float = 0.2  # half width of a boundary region, as a share of the proposal

    def __post_init__(self) -> None:
        _require(
            min(self.action_samples, self.boundary_samples) >= 2, "bsp: at least 2 samples a region"
        )
        _require(self.boundary_ratio > 0, "bsp: boundary_ratio must be positive")

    @property
    def size(self) -> int:
        """Features a proposal."""
        return self.action_samples + 2 * self.boundary_samples


class SoftNmsConfig(Config, frozen=True, kw_only=True):
    """Soft-NMS (paper section 3.4, thresholds of the published code)."""

    threshold_short: float = 0.65  # tIoU above which a neighbour of an infinitely short pick decays
    threshold_long: float = 0.9  # ... of a pick as long as the video
    decay: float = 0.75  # score *= exp(-tIoU^2 / decay)
    picks: int = 101  # the published loop takes one more than it keeps
    keep: int = 100

    def __post_init__(self) -> None:
        _require(self.decay > 0, "soft_nms: decay must be positive")
        _require(min(self.picks, self.keep) >= 1, "soft_nms: picks and keep must be at least 1")


class FeatureSpec(Config, frozen=True, kw_only=True):
    """What the features of a dataset are, or what a bundle expects: `dataset.toml`, `[features]`.

    The snippet grid is in frames or in seconds. Where neither is given the features are taken as
    spread evenly over the whole video (`csv_mean_100` is such a set).
    """

    channels: int | None = None
    layout: Literal["TC", "CT"] | None = None
    stride_frames: float | None = None
    length_frames: float | None = None
    stride_seconds: float | None = None
    length_seconds: float | None = None
    fps: float | None = None  # where stride is in frames and annotations give no rate
    backbone: str | None = None

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
    """Every stage between features and proposals."""

    # a video to T cells, or a long recording in windows of T snippets (bsn.md section 11)
    mode: Literal["rescale", "window"] = "rescale"
    tem: TemConfig | None = None
    pem: PemConfig | None = None
    rescale: RescaleConfig = RescaleConfig()
    pgm: PgmConfig = PgmConfig()
    bsp: BspConfig = BspConfig()
    soft_nms: SoftNmsConfig = SoftNmsConfig()
    classifier: ClassifierConfig | None = None


class OptimConfig(Config, frozen=True):
    """How the weights of one network are moved, and how often one looks whether it got better."""

    method: Literal["adam", "adamw"] = "adam"
    rate: float = 1e-3  # highest learning rate
    weight_decay: float = 1e-4  # with "adam" part of the gradient, with "adamw" apart from it
    schedule: Literal["step", "one-cycle"] = "step"
    decay_epochs: int = 7  # "step": epochs between two drops of the rate
    decay_factor: float = 0.1  # "step": what a drop multiplies the rate by
    warmup: float = 0.2  # "one-cycle": share of the steps in which the rate rises
    batch: int = 16  # videos a step
    epochs: int = 20  # equal parts of the training; after each the validation set is judged
    passes: int = 20  # how often every training video is seen at least
    steps: int = 0  # optimiser steps at least; a small set is passed more often for them
    average: float = 0.0  # decay of the running average of the weights, a step; 0 is none

    def __post_init__(self) -> None:
        counts = min(self.batch, self.epochs, self.passes, self.decay_epochs)
        _require(counts >= 1, "training: batch, epochs, passes and decay_epochs must be >= 1")
        _require(self.rate > 0, "training: rate must be positive")
        _require(min(self.weight_decay, self.steps) >= 0, "training: nothing may be negative")
        _require(0 <= self.warmup < 1, f"training: warmup {self.warmup} is not in [0, 1)")
        _require(0 <= self.average < 1, f"training: average {self.average} is not in [0, 1)")


class TemTrainConfig(Config, frozen=True):
    """Training of TEM (bsn.md section 3)."""

    optim: OptimConfig = OptimConfig()
    action_weight: float = 2.0  # of the action loss; start and end count 1
    standardize: bool = False  # scale every input channel to mean 0 and variance 1
    dropout: float = 0.0  # share of input channels dropped
    hidden_dropout: float = 0.0  # share of hidden channels dropped
    crop: float = 0.0  # chance that a video is seen through a random window of its span
    crop_shortest: float = 0.5  # ... whose length is at least this share of the span
    crop_longest: float = 1.3  # ... and at most this; beyond the span the outer cells repeat

    def __post_init__(self) -> None:
        _require(self.action_weight >= 0, "training: action_weight must not be negative")
        for share in (self.dropout, self.hidden_dropout):
            _require(0 <= share < 1, f"training: dropout {share} is not in [0, 1)")
        _require(0 <= self.crop <= 1, f"training: crop {self.crop} is not in [0, 1]")
        _require(
            0 < self.crop_shortest <= self.crop_longest,
            "training: crop_shortest must be positive and not above crop_longest",
        )


PemLoss = Literal["published", "weighted", "weighted-logistic"]


class PemTrainConfig(Config, frozen=True):
    """Training of PEM (bsn.md section 6)."""

    optim: OptimConfig = OptimConfig(rate=0.01, weight_decay=1e-5, decay_epochs=10)
    loss: PemLoss = "published"  # the published code averages before it weights
    dropout: float = 0.0  # share of hidden units dropped

    def __post_init__(self) -> None:
        _require(0 <= self.dropout < 1, f"training: dropout {self.dropout} is not in [0, 1)")


class WindowTrainConfig(Config, frozen=True):
    """Which windows of long recordings are learnt from (bsn.md section 11)."""

    instance_share: float = 0.9  # a window counts if it holds this share of some instance
    empty_share: float = 0.25  # share of the other windows that is learnt from as well

    def __post_init__(self) -> None:
        _require(0 < self.instance_share <= 1, "training: instance_share is not in (0, 1]")
        _require(0 <= self.empty_share <= 1, "training: empty_share is not in [0, 1]")


class TrainConfig(Config, frozen=True):
    """Both trainings, and the pipeline that the bundle shall have.

    The channels of TEM are those of the dataset, whatever `pipeline` says.
    """

    # "auto": windows where the training videos' median length is above two windows
    mode: Literal["auto", "rescale", "window"] = "auto"
    windows: WindowTrainConfig = WindowTrainConfig()
    pipeline: PipelineConfig = PipelineConfig(tem=TemConfig(), pem=PemConfig())
    tem: TemTrainConfig = TemTrainConfig()
    pem: PemTrainConfig = PemTrainConfig()


DEFAULT_PRESET = "default"

# docs/log.md has the measurements behind "default". It counts optimiser steps, so that thirty
# recordings are trained as thoroughly as thousands.
PRESETS: dict[str, TrainConfig] = {
    "published": TrainConfig(),
    "default": TrainConfig(
        tem=TemTrainConfig(
            optim=OptimConfig(
                method="adamw",
                weight_decay=0.01,
                schedule="one-cycle",
                epochs=20,
                passes=20,
                steps=1800,
                average=0.99,
            ),
            standardize=True,
            dropout=0.3,
            hidden_dropout=0.3,
            crop=0.7,
        ),
        pem=PemTrainConfig(
            optim=OptimConfig(
                method="adamw",
                rate=0.01,
                weight_decay=1e-3,
                schedule="one-cycle",
                epochs=20,
                passes=20,
                steps=600,
                average=0.99,
            ),
            loss="weighted-logistic",
        ),
    ),
}


def preset(name: str = DEFAULT_PRESET) -> TrainConfig:
    """Training settings by name.

    Raises
    ------
    ConfigError
        There is no such preset; names those that there are.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


def from_dict(kind: type[T], values: Any, *, where: str) -> T:
    """Check plain values (of a TOML or JSON file) and make a config of them.

    Raises
    ------
    ConfigError
        A key is unknown, a value of the wrong type or out of range; names `where` and the key.
    """
    try:
        return msgspec.convert(values, kind, strict=True)
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from error


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values for TOML, which has no null: unset options are left out."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return _without_none(plain)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises
    ------
    ConfigError
        It is missing or not TOML; says where.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def dump_toml(values: dict[str, Any]) -> str:
    """Plain values as TOML text."""
    return tomli_w.dumps(_without_none(values))
