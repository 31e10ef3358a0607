"""Settings of training, and the presets."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from msgspec.structs import replace

from actspan.config.base import Bounds, Config
from actspan.config.base import require_setting as _require
from actspan.config.bmn import Anchor, BmnLossConfig, BmnPreset
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.config.stages import FusionConfig, PemConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.core.errors import ConfigError
from actspan.core.wording import suggestion

CLASSIFIER_EPOCH = 50  # steps of an epoch of the classifier, after which its state is saved
_STEPS = 10  # minimum number of steps of one cycle of the learning rate

_Count = Annotated[int, Bounds(1)]
_NaturalNumber = Annotated[int, Bounds(0)]
_Steps = Annotated[int, Bounds(_STEPS)]
_Share = Annotated[float, Bounds(0, 1)]
_BelowOne = Annotated[float, Bounds(0, 1, excluded=1)]
_Positive = Annotated[float, Bounds(0, excluded=0)]
_NotNegative = Annotated[float, Bounds(0)]


class ClassifierTrainConfig(Config, frozen=True, kw_only=True):
    """Training of the proposal classifier."""

    hidden: _Count = 128  # units of the hidden layer
    dropout: _BelowOne = 0.5  # share of inputs and of hidden units dropped
    context_dropout: _BelowOne = 0.5  # probability that an example is seen without its context
    rate: _Positive = 1e-3  # highest learning rate of one cycle (AdamW)
    weight_decay: _NotNegative = 0.01  # of AdamW
    steps: _Steps = 1500  # maximum number of steps
    passes: _Count = 60  # average number of draws of each example, if that takes fewer steps
    least_steps: _Steps = 200  # minimum number of steps, for few examples
    batch: _Count = 256  # examples per step
    background_share: _BelowOne = 0.25  # share of background in a batch
    positive_tiou: float = 0.5  # a proposal with this overlap gets the instance's label
    negative_tiou: float = 0.3  # a proposal with less overlap is background
    positives: _Count = 32  # maximum number of labelled proposals per video, to bound memory
    negatives: _Count = 16  # maximum number of background proposals per video

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(
            0 < self.negative_tiou <= self.positive_tiou <= 1,
            "classifier: 0 < negative_tiou <= positive_tiou <= 1 is needed",
        )

    def steps_for(self, examples: int) -> int:
        """Return the steps for a number of examples: `passes` over them, within the limits."""
        wanted = math.ceil(self.passes * examples / self.batch)
        return min(max(wanted, self.least_steps), self.steps)

    @classmethod
    def of_epochs(cls, epochs: int) -> Self:
        """Return settings with this number of epochs, whatever the number of examples."""
        steps = epochs * CLASSIFIER_EPOCH
        return cls(least_steps=steps, steps=steps)


class OptimConfig(Config, frozen=True):
    """Optimisation of one network, and how often it is validated."""

    method: Literal["adam", "adamw"] = "adam"  # optimiser
    rate: _Positive = 1e-3  # highest learning rate
    weight_decay: _NotNegative = 1e-4  # "adam": part of the gradient; "adamw": decoupled
    # Learning rate over time: drops at steps, or one rise and one fall.
    schedule: Literal["step", "one-cycle"] = "step"
    decay_epochs: _Count = 7  # "step": epochs between two drops of the rate
    decay_factor: float = 0.1  # "step": factor of a drop of the rate
    warmup: _BelowOne = 0.2  # "one-cycle": share of the steps in which the rate rises
    batch: _Count = 16  # videos per step
    epochs: _Count = 20  # equal parts of the training; each ends with a validation
    passes: _Count = 20  # minimum number of passes over the training videos
    # Optimiser steps that a small set reaches by more passes, up to `most_passes`.
    steps: _NaturalNumber = 0
    most_passes: _NaturalNumber = 0  # maximum number of passes to reach `steps`; 0: no limit
    least_steps: _NaturalNumber = 0  # minimum number of steps, whatever the number of passes
    # Epoch whose weights are kept: the one with the lowest validation loss, or the last one.
    select: Literal["best", "last"] = "best"
    average: _BelowOne = 0.0  # decay of the running average of the weights per step; 0: no average
    longest_gradient: _NotNegative = 0.0  # norm above which the gradient is scaled; 0: no limit
    # Leave out the rest of a pass that does not fill a batch.
    whole_batches: bool = False

    def of_epochs(self, epochs: int) -> Self:
        """Return settings with this number of epochs, each as long as one of these settings."""
        names = ("passes", "steps", "most_passes", "least_steps")
        limits = {name: math.ceil(getattr(self, name) * epochs / self.epochs) for name in names}
        return replace(self, epochs=epochs, **limits)


class TemTrainConfig(Config, frozen=True):
    """Training of TEM (bsn.md section 3)."""

    optim: OptimConfig = OptimConfig()
    action_weight: _NotNegative = 2.0  # weight of the action loss; start and end have 1
    standardize: bool = False  # scale every input channel to mean 0 and variance 1
    # Leading principal components of the input that are trained on, or one per training video or
    # window if those are more; 0 for all channels. The trained network has all channels: the
    # projection becomes part of its first layer.
    components: _NaturalNumber = 0
    dropout: _BelowOne = 0.0  # share of input channels dropped
    hidden_dropout: _BelowOne = 0.0  # share of hidden channels dropped
    crop: _Share = 0.0  # probability that a video is seen through a random window of its span
    crop_shortest: _Positive = 0.5  # minimum length of the window, as a share of the span
    crop_longest: float = 1.3  # maximum length; beyond the span the outer cells repeat
    position_weight: _NotNegative = 1.0  # weight of the loss of positions, with learnt curves
    mix: _Share = 0.0  # maximum share of another video's background that is added to a video
    splice: _Share = 0.0  # probability that a stretch is taken from another video

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_crop(self, "tem")
        scaled = self.standardize or not self.components
        _require(scaled, "tem: components are those of standardized channels: set standardize")


Precision = Literal["fp32", "bf16"]  # of the networks while they are trained
# Names of trainings: of a network, or "bsn" for TEM and PEM together.
TrainingName = Literal["tem", "pem", "bsn", "bmn"]
TRAININGS: tuple[TrainingName, ...] = ("tem", "pem", "bsn", "bmn")

PemLoss = Literal["published", "weighted", "weighted-logistic"]


class PemTrainConfig(Config, frozen=True):
    """Training of PEM (bsn.md section 6)."""

    optim: OptimConfig = OptimConfig(rate=0.01, weight_decay=1e-5, decay_epochs=10)
    loss: PemLoss = "published"  # the published code averages before it weights
    dropout: _BelowOne = 0.0  # share of hidden units dropped
    # With learnt curves TEM and PEM are trained together, by the optimisation of TEM.
    weight: _NotNegative = 2.0  # learnt curves: weight of PEM's loss beside TEM's
    drawn: Annotated[int, Bounds(4)] = 96  # learnt curves: candidates per video and step


class BmnTrainConfig(Config, frozen=True):
    """Training of BMN (bmn.md sections 3 to 5)."""

    optim: OptimConfig = OptimConfig(epochs=9, passes=9, select="last")
    # Part of the video that the start and end scores of a cell are trained for: the cell; two
    # cells' length around its middle; or a cell's length around its first edge.
    anchor: Anchor = "cell"
    loss: BmnLossConfig = BmnLossConfig()
    standardize: bool = False  # scale every input channel to mean 0 and variance 1
    dropout: _BelowOne = 0.0  # share of input channels dropped
    crop: _Share = 0.0  # probability that a video is seen through a random window of its span
    crop_shortest: _Positive = 0.5  # minimum length of the window, as a share of the span
    crop_longest: float = 1.3  # maximum length; beyond the span the outer cells repeat

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_crop(self, "bmn")


def _check_crop(config: TemTrainConfig | BmnTrainConfig, net: str) -> None:
    ordered = config.crop_shortest <= config.crop_longest
    _require(ordered, f"{net}: crop_shortest must not be above crop_longest")


class RankingConfig(Config, frozen=True):
    """Suppression and fusion that a model gets, unless `pipeline` changes them."""

    soft_nms: SoftNmsConfig = SoftNmsConfig()
    fusion: FusionConfig = FusionConfig()


class WindowTrainConfig(Config, frozen=True):
    """Selection of windows of long recordings for training (bsn.md section 11)."""

    # A window is used if it contains this share of an instance.
    instance_share: Annotated[float, Bounds(0, 1, excluded=0)] = 0.9
    empty_share: _Share = 0.25  # share of the other windows that is used too
    ranking: RankingConfig = RankingConfig(soft_nms=SoftNmsConfig(picks=1000, keep=1000))


class TrainConfig(Config, frozen=True):
    """Settings of the training of every network, and the pipeline of the bundle.

    `pipeline` has settings of TEM and PEM, or of BMN: these are trained. TEM and BMN get the
    dataset's number of channels.
    """

    # "auto": windows if the training videos' median length is above two windows
    mode: Literal["auto", "rescale", "window"] = "auto"
    windows: WindowTrainConfig = WindowTrainConfig()
    ranking: RankingConfig = RankingConfig()  # of models of whole videos
    few_videos: _NaturalNumber = 0  # maximum number of training videos that `few` applies to
    few: RankingConfig = RankingConfig()  # instead of `ranking`, for few training videos
    pipeline: PipelineConfig = PipelineConfig(tem=TemConfig(), pem=PemConfig())
    tem: TemTrainConfig = TemTrainConfig()
    pem: PemTrainConfig = PemTrainConfig()
    bmn: BmnTrainConfig = BmnTrainConfig()
    # Number of networks with different seeds, merged into one bundle; only for TEM and PEM.
    ensemble: _Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        pipeline = self.pipeline
        one_kind = pipeline.bmn is None or (pipeline.tem is None and pipeline.pem is None)
        _require(one_kind, f"pipeline: TEM and PEM, or BMN; presets of BMN: {', '.join(_BMN)}")
        one_network = pipeline.bmn is None or self.ensemble == 1
        _require(one_network, "ensemble: BMN is one network; only TEM and PEM can be merged")
        for net, usual in _USUAL.items():
            used = net in self.nets or getattr(self, net) == usual
            trained = " and ".join(name.upper() for name in self.nets)
            _require(used, f"{net}: these settings train {trained}")
        if self.trains_together:
            usual_pem, own = PemTrainConfig(), (self.pem.optim, self.pem.loss)
            _require(
                own == (usual_pem.optim, usual_pem.loss),
                "pem: optim and loss are those of a PEM that is trained after TEM; with learnt "
                "curves both are trained together: change tem.optim",
            )
            _require(not self.tem.splice, "tem: splice is not possible with learnt curves")

    @property
    def trains_together(self) -> bool:
        """True if TEM and PEM are trained in one loop, because PEM sees TEM's learnt curves."""
        return self.pipeline.curves > 0

    @property
    def nets(self) -> tuple[Literal["tem", "pem", "bmn"], ...]:
        """Networks that are trained, in their order."""
        return ("tem", "pem") if self.pipeline.bmn is None else ("bmn",)

    @property
    def trainings(self) -> tuple[TrainingName, ...]:
        """Names of the trainings, in their order."""
        return ("bsn",) if self.trains_together else self.nets

    def of_epochs(self, epochs: int) -> Self:
        """Return settings with this number of epochs of every network, as long as before."""
        changes: dict[str, Any] = {}
        for net in ("tem",) if self.trains_together else self.nets:
            settings = getattr(self, net)
            changes[net] = replace(settings, optim=settings.optim.of_epochs(epochs))
        return replace(self, **changes)


_BMN = tuple(BMN_PIPELINES)
_USUAL = {"tem": TemTrainConfig(), "pem": PemTrainConfig(), "bmn": BmnTrainConfig()}


DEFAULT_PRESET = "default"

_CYCLE = OptimConfig(
    method="adamw",
    schedule="one-cycle",
    epochs=20,
    passes=20,
    most_passes=190,
    select="last",
    average=0.99,
)


def _bmn_preset(name: BmnPreset, training: BmnTrainConfig) -> TrainConfig:
    """Return settings of a published code of BMN, with the safe rules of bmn.md section 4."""
    return TrainConfig(pipeline=BMN_PIPELINES[name], bmn=training)


# docs/project/log.md has the measurements behind "default". It counts optimiser steps, so that
# thirty recordings are trained as long as thousands; a handful of them is trained less. Candidates
# in whole videos are weighted by label-free proposals, most for a model of few recordings; in
# windows the confidence alone is better, even for two recordings.
PRESETS: dict[str, TrainConfig] = {
    "published": TrainConfig(),
    "default": TrainConfig(
        windows=WindowTrainConfig(
            ranking=RankingConfig(
                SoftNmsConfig(
                    threshold_short=0.5, threshold_long=0.8, decay=0.5, picks=1000, keep=1000
                ),
                FusionConfig(confidence=2.0),
            )
        ),
        ranking=RankingConfig(
            fusion=FusionConfig(start=0.5, end=0.5, confidence=2.0, label_free=0.1)
        ),
        few_videos=5,
        few=RankingConfig(
            SoftNmsConfig(threshold_short=0.35, threshold_long=0.65, decay=0.5),
            FusionConfig(start=0.5, end=0.5, label_free=1.0),
        ),
        pipeline=PipelineConfig(
            tem=TemConfig(hidden=128, dilated=3, curves=16), pem=PemConfig(hidden=64, layers=2)
        ),
        tem=TemTrainConfig(
            optim=replace(_CYCLE, rate=2e-3, weight_decay=0.01, steps=1800, least_steps=600),
            standardize=True,
            components=64,
            dropout=0.3,
            hidden_dropout=0.3,
            crop=0.7,
        ),
        pem=PemTrainConfig(dropout=0.1),
    ),
    "jjboy2020": _bmn_preset("jjboy2020", BmnTrainConfig(anchor="around-edge")),
    "jjboy2019": _bmn_preset("jjboy2019", BmnTrainConfig(anchor="around-cell")),
    "mmaction2": _bmn_preset(
        "mmaction2",
        BmnTrainConfig(
            optim=OptimConfig(
                epochs=9, passes=9, select="best", longest_gradient=40.0, whole_batches=True
            ),
            anchor="around-cell",
            loss=BmnLossConfig(epsilon=1e-5, least_ratio=1.05, most_ratio=21.0),
        ),
    ),
    "paddle": _bmn_preset(
        "paddle",
        BmnTrainConfig(anchor="cell", loss=BmnLossConfig(without_overlap=True, shared_draw=True)),
    ),
}


def preset(name: str = DEFAULT_PRESET) -> TrainConfig:
    """Return training settings by name; raise ConfigError, with the names, for an unknown one."""
    if name not in PRESETS:
        raise ConfigError(
            f"no preset {name!r}{suggestion(name, PRESETS)}; available: {', '.join(PRESETS)}"
        )
    return PRESETS[name]
