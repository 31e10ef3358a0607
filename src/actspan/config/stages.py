"""Settings of the stages between videos and proposals, and the description of features."""

from __future__ import annotations

from typing import Annotated, Literal

from actspan.config.base import Bounds, Config
from actspan.config.base import require_setting as _require
from actspan.config.bmn import BmnConfig, MatchingConfig
from actspan.config.streams import AudioConfig, PoseConfig, SensorConfig, Statistic, StreamKind
from actspan.core.errors import ConfigError
from actspan.core.limits import CANDIDATES, CELLS, DILATED, LAYERS, SIZE

# Memory and time grow with these counts, so they have bounds that no model reaches.
_Size = Annotated[int, Bounds(1, SIZE)]
_Samples = Annotated[int, Bounds(2, SIZE)]
_Candidates = Annotated[int, Bounds(1, CANDIDATES)]
_Positive = Annotated[float, Bounds(0, excluded=0)]
_Exponent = Annotated[float, Bounds(0, 100)]
_OptionalPositive = Annotated[float | None, Bounds(0, excluded=0)]

Streams = Literal["appearance", "motion", "both"]
BATCH = 16  # videos per chunk: large enough for TEM's throughput, small enough for the caches
Edge = Literal["clamp", "zero"]  # how rescaling fills cells beyond the outer snippets
DType = Literal["float32", "float16"]  # of the features in a store
Unit = Literal["seconds", "frames", "milliseconds"]  # of times in annotations
Triple = tuple[float, float, float]


class TemConfig(Config, frozen=True, kw_only=True):
    """Temporal Evaluation Module (paper section 3.3)."""

    channels: _Size = 400  # of the features; two-stream CUHK features have 200 + 200
    length: Annotated[int, Bounds(2, CELLS)] = 100  # T, the number of cells that the network sees
    hidden: _Size = 512  # channels of the hidden layers
    # Residual layers after the second convolution, whose dilations are 2, 4, 8, ... cells.
    dilated: Annotated[int, Bounds(0, DILATED)] = 0
    # Networks side by side in the hidden layers, whose logits are averaged.
    members: Annotated[int, Bounds(1)] = 1
    # Learnt curves per cell, which PEM sees instead of the action scores. A network with curves
    # also gives the position of a start and of an end within its cell.
    curves: Annotated[int, Bounds(0, SIZE)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden % self.members:
            raise ConfigError(
                f"tem: hidden {self.hidden} is not a multiple of its {self.members} members"
            )

    @property
    def outputs(self) -> int:
        """Values per cell: action, start and end; positions of start and end, and the curves."""
        return 5 + self.curves if self.curves else 3


class PemConfig(Config, frozen=True, kw_only=True):
    """Proposal Evaluation Module (paper section 3.3)."""

    inputs: _Size = 32  # features per proposal, `PipelineConfig.pem_inputs`
    hidden: _Size = 256  # units of each hidden layer
    layers: Annotated[int, Bounds(1, LAYERS)] = 1  # hidden layers


class ClassifierConfig(Config, frozen=True, kw_only=True):
    """Proposal classifier: pooled features to labels. It is not part of the paper."""

    labels: tuple[str, ...]  # in the order of the network's outputs; background comes after them
    channels: _Size  # of the features
    hidden: _Size = 128  # units of the hidden layer

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(len(self.labels) >= 1, "classifier: there are no labels")
        _require(len(set(self.labels)) == len(self.labels), "classifier: a label is repeated")

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

    # A cell above this share of the maximum is a candidate.
    peak_ratio: Annotated[float, Bounds(0, 1)] = 0.5
    keep: _Candidates = 1000  # candidates per video that PEM scores
    keep_training: _Candidates = 500  # candidates per video that PEM is trained on


class BspConfig(Config, frozen=True, kw_only=True):
    """Boundary-Sensitive Proposal features (paper section 3.3)."""

    action_samples: _Samples = 16  # samples of the action score over the proposal
    boundary_samples: _Samples = 8  # samples around its start, and around its end
    boundary_ratio: _Positive = 0.2  # half width of a boundary region, as a share of the proposal
    curve_samples: _Size = 8  # samples of every learnt curve over the proposal
    curve_boundary_samples: _Samples = 4  # samples around its start, and around its end
    # Half width of the region of these samples, as a share of the proposal; at least one cell.
    curve_boundary_ratio: _Positive = 0.25

    @property
    def size(self) -> int:
        """Features per proposal, without learnt curves."""
        return self.action_samples + 2 * self.boundary_samples

    def curve_size(self, curves: int) -> int:
        """Return the features per proposal of learnt curves: samples, and the duration."""
        return curves * (self.curve_samples + 2 * self.curve_boundary_samples) + 1


class FusionConfig(Config, frozen=True, kw_only=True):
    """Score of a candidate before Soft-NMS: a product of three powers (bsn.md section 7)."""

    start: _Exponent = 1.0  # exponent of TEM's start score
    end: _Exponent = 1.0  # exponent of TEM's end score
    confidence: _Exponent = 1.0  # exponent of PEM's score; 0 ranks candidates without it
    # Exponent of label-free support in PEM's score; 0 leaves label-free proposals out.
    label_free: _Exponent = 0.0


class SoftNmsConfig(Config, frozen=True, kw_only=True):
    """Soft-NMS (paper section 3.4, thresholds of the published code)."""

    threshold_short: float = 0.65  # tIoU above which a neighbour of an infinitely short pick decays
    threshold_long: float = 0.9  # the same for a pick as long as the video
    # A decaying score is multiplied by exp(-tIoU^2 / decay): a smaller value suppresses more.
    decay: _Positive = 0.75
    # The published loop picks one more than it keeps. Training sets both to 1000 for windows.
    picks: _Candidates = 101
    keep: _Candidates = 100  # proposals per video in the result, the best of the picks
    # Length from which the union of two segments is computed: the pick's or its neighbour's. On a
    # grid some tIoU equal the threshold exactly, so the last bit of the union decides.
    union: Literal["pick-first", "neighbour-first"] = "pick-first"
    # If true, picking stops when one proposal is left, as in some published code; a video's only
    # proposal is picked all the same.
    leave_last: bool = False


class LabelFreeConfig(Config, frozen=True, kw_only=True):
    """Label-free proposals; docs/project/log.md has the measurements behind the weights."""

    window: Annotated[int, Bounds(8, CELLS)] = 4096  # snippets that are seen at once
    components: _Size = 32  # principal components of the features
    boundaries: Annotated[int, Bounds(2, 2000)] = 250  # highest change points; all pairs are tried
    keep: _Candidates = 3000  # candidates that are suppressed
    longest: Annotated[float, Bounds(0, 1, excluded=0)] = 0.5  # share of the stream
    contrast: float = 2.0  # exponent of the distance to the surroundings
    length: float = 1.0  # logarithm of the likeliest length over the stream's usual one
    length_weight: float = 0.5  # of the squared logarithm of a length over the likeliest
    activity: float = 1.0  # weight of activity above the surroundings', less motion inside
    asymmetry: float = 0.9  # weight of the difference of both boundaries' logarithmic heights
    persistence: float = 0.2  # exponent of the lower boundary over the highest one inside


class PictureConfig(Config, frozen=True, kw_only=True):
    """Preprocessing of a backbone's pictures: `encoder.toml` next to `encoder.onnx`."""

    mean: Triple  # subtracted from the three channels, in the units of `range`
    std: Triple  # by which the channels are divided then
    range: Literal[1, 255] = 1  # pixel values before mean and std: 0 to 1, or 0 to 255
    order: Literal["rgb", "bgr"] = "rgb"  # order of the channels
    size: tuple[int, int] | None = None  # height and width, if the network accepts any
    # "stretch": the whole picture, distorted if necessary; "crop": its middle
    fit: Literal["stretch", "crop"] = "stretch"
    resize: int | None = None  # "crop": pixels of the shorter side before; the crop's if None

    def __post_init__(self) -> None:
        _require(min(self.std) > 0, "pictures: std must be positive")
        _require(self.size is None or min(self.size) >= 1, "pictures: size must be positive")
        if self.resize is not None:
            _require(self.fit == "crop", 'pictures: resize is only for fit = "crop"')
            large = self.resize >= max(self.size or (1,))
            _require(large, "pictures: resize is smaller than what is cropped from it")


class ExtractionConfig(Config, frozen=True, kw_only=True):
    """Extraction settings of features: `dataset.toml`, `[features.extraction]`.

    The kind of stream is the one whose table is given: `pictures` (video), `sensors`, `audio` or
    `pose`.
    """

    sha256: str | None = None  # checksum of the backbone: its ONNX file, or the default's weights
    streams: Streams | None = None  # mean of a snippet's frames, their deviation, or both
    frames: Annotated[int | None, Bounds(1)] = None  # frames per snippet that the backbone sees
    pictures: PictureConfig | None = None
    projection: str | None = None  # checksum of `projection.safetensors`, if there is one
    statistics: tuple[Statistic, ...] | None = None  # of the samples in a snippet, if no video
    sensors: SensorConfig | None = None
    audio: AudioConfig | None = None
    pose: PoseConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [self.pictures, self.sensors, self.audio, self.pose]
        tables = sum(table is not None for table in given)
        _require(tables == 1, "extraction: one of pictures, sensors, audio and pose is needed")
        if self.pictures is None:
            found = self.statistics or ()
            once = len(set(found)) == len(found) > 0
            _require(once, "extraction: statistics are needed, each once")
            return
        whole = None not in (self.sha256, self.streams, self.frames)
        _require(whole, "extraction: pictures need sha256, streams and frames")
        _require(
            self.streams == "appearance" or (self.frames or 0) >= 2,
            "extraction: motion is the change between frames of a snippet: two are needed at least",
        )

    @property
    def kind(self) -> StreamKind:
        """Kind of stream that the features were made of."""
        if self.sensors is not None:
            return "sensors"
        if self.audio is not None:
            return "audio"
        return "video" if self.pose is None else "pose"


class FeatureSpec(Config, frozen=True, kw_only=True):
    """Description of a dataset's features, or of those that a bundle expects: `[features]`.

    The snippet grid is in frames or in seconds. If neither is given, the features are spread
    evenly over the whole video (as in `csv_mean_100`).
    """

    channels: Annotated[int | None, Bounds(1, SIZE)] = None  # values per snippet
    # Axes of the files: snippets in rows ("TC") or in columns ("CT").
    layout: Literal["TC", "CT"] | None = None
    # Arrays of each video's file (npz, HDF5) whose channels are concatenated.
    join: tuple[str, ...] | None = None
    stride_frames: _OptionalPositive = None  # frames from one snippet to the next
    length_frames: _OptionalPositive = None  # frames of a snippet; the stride if unset
    stride_seconds: _OptionalPositive = None  # seconds from one snippet to the next
    length_seconds: _OptionalPositive = None  # seconds of a snippet; the stride if unset
    fps: _OptionalPositive = None  # frame rate, if stride is in frames and annotations give no rate
    backbone: str | None = None  # name of the network that computed the features, for people
    extraction: ExtractionConfig | None = None  # if made by `actspan extract`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.join is not None:
            once = len(set(self.join)) == len(self.join) > 0
            _require(once, "features: join must name arrays, each once")
        pairs = {"frames": (self.stride_frames, self.length_frames)}
        pairs["seconds"] = (self.stride_seconds, self.length_seconds)
        for unit, (stride, length) in pairs.items():
            if length is not None and stride is None:
                raise ConfigError(f"features: length_{unit} needs stride_{unit}")
        if all(stride is not None for stride, _ in pairs.values()):
            raise ConfigError("features: give frames or seconds, not both")


class PipelineConfig(Config, frozen=True, kw_only=True):
    """Settings of every stage between features and proposals."""

    # One video on T cells, or a long recording in windows of T snippets (bsn.md section 11).
    mode: Literal["rescale", "window"] = "rescale"
    tem: TemConfig | None = None
    pem: PemConfig | None = None
    bmn: BmnConfig | None = None  # instead of TEM and PEM
    matching: MatchingConfig = MatchingConfig()
    rescale: RescaleConfig = RescaleConfig()
    pgm: PgmConfig = PgmConfig()
    bsp: BspConfig = BspConfig()
    fusion: FusionConfig = FusionConfig()
    soft_nms: SoftNmsConfig = SoftNmsConfig()
    classifier: ClassifierConfig | None = None
    label_free: LabelFreeConfig | None = None  # instead of TEM and PEM, in mode "window"

    @property
    def video_network(self) -> TemConfig | BmnConfig | None:
        """Settings of the network that sees the features; None without one."""
        return self.bmn or self.tem

    @property
    def curves(self) -> int:
        """Number of learnt curves; 0 if PEM sees samples of the action scores."""
        return 0 if self.tem is None else self.tem.curves

    @property
    def pem_inputs(self) -> int:
        """Features per proposal, which PEM sees."""
        return self.bsp.curve_size(self.curves) if self.curves else self.bsp.size

    @property
    def cells(self) -> int:
        """Number of cells per video, T, or of snippets per window."""
        if self.label_free is not None:
            return self.label_free.window
        return (self.video_network or TemConfig()).length
