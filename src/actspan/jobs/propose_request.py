"""Request and summary of `propose`. The command makes its options of the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from msgspec import field

from actspan.config.base import (
    Bounds,
    Config,
    Existing,
    ExistingBundle,
    ExistingOrUrl,
    OnError,
    Positive,
    doc,
    require_setting,
)
from actspan.config.stages import BATCH
from actspan.config.streams import TIMEOUT
from actspan.core.errors import ConfigError
from actspan.core.folders import work_folder
from actspan.data.data_requests import ANSWER_SUFFIXES
from actspan.model import LABEL_FREE
from actspan.pipeline.labelling import LabelChoice

if TYPE_CHECKING:
    from actspan.core.problems import Problem
    from actspan.core.segments import Proposals
    from actspan.pipeline.outcomes import Stage
    from actspan.streams.addresses import Location
    from actspan.streams.video_decoding import FollowedVideo


class Selection(Config, frozen=True):
    """Choice of the proposals of each video to output; all by default."""

    top: Annotated[
        Positive | None,
        doc(
            "Keep the N best proposals per video. [default: 10 in a table and as clips, else all]",
            group="Output",
        ),
    ] = None
    min_score: Annotated[
        float, doc("Leave out proposals that score less than this.", "SCORE", group="Output")
    ] = 0.0

    def of(self, proposals: Proposals) -> Proposals:
        """Return the chosen proposals."""
        return proposals.best(self.top, self.min_score)


class LiveVideo(Protocol):
    """A video that is still being recorded: a growing file, a pipe, or an address."""

    @property
    def path(self) -> Location:
        """File or address, whose name is the id of the video."""
        ...

    def open(self) -> FollowedVideo:
        """Wait for the head of the video, and return what decodes it, once."""
        ...


class ProposeRequest(Config, frozen=True):
    """Request of `propose`. Exactly one of `dataset`, `videos` and `live` is the source.

    `videos` are as for `find_videos`. `changes` are changes of the model's settings, in the shape
    of `read_changes`: {"soft_nms": {"decay": 0.4}}. Without `out` nothing is written or saved, and
    results only go to the sinks.
    """

    model: Annotated[
        ExistingBundle,
        doc(
            "Bundle: a folder, an archive, a URL or hf://OWNER/NAME. [default: none, find "
            "label-free where the stream changes]",
            group="Model",
        ),
    ] = LABEL_FREE
    dataset: Annotated[
        ExistingOrUrl | None,
        doc("A dataset of features: a folder or URL (s3://...).", group="Input"),
    ] = None
    out: Annotated[
        Path | None,
        doc(
            "A run folder to write (no suffix), or FILE.json, FILE.csv or FILE.parquet for the "
            "result alone.",
            group="Output",
        ),
    ] = None
    videos: tuple[str, ...] = ()
    live: LiveVideo | None = None
    selection: Selection = field(default_factory=Selection)
    backbone: Annotated[
        str | None,
        doc("Custom backbone of the model, with VIDEOS or --follow.", "onnx:FILE", group="Model"),
    ] = None
    timeout: Annotated[
        float,
        Bounds(0, excluded=0),
        doc(
            "Time without data after which the connection to an address has failed.",
            "SECONDS",
            group="Input",
        ),
    ] = TIMEOUT
    subset: Annotated[
        str | None,
        doc(
            "Process only the videos of this subset: training, validation, ... [default: all]",
            "NAME",
            group="Input",
        ),
    ] = None
    scores: Annotated[
        Existing | None,
        doc(
            "Start from boundary scores: scores.npz, a run, or a folder of TEM CSVs.", group="Input"
        ),
    ] = None
    labels: LabelChoice = field(default_factory=LabelChoice)
    changes: dict[str, Any] = field(default_factory=dict)
    backend: Annotated[
        str, doc("Inference runtime; see actspan backends.", "NAME", group="Speed")
    ] = "auto"
    threads: Annotated[
        Positive | None, doc("Number of threads. [default: all cores]", group="Speed")
    ] = None
    batch: Annotated[Positive, doc("With --dataset: videos per batch.", group="Speed")] = BATCH
    on_error: Annotated[
        OnError, doc("Stop at problems in the input, or skip what cannot be used.", group="Input")
    ] = "fail"
    overwrite: Annotated[
        bool,
        doc(
            "Replace an existing or unfinished run, or a FILE that is not a result.", group="Output"
        ),
    ] = False
    resume: Annotated[bool, doc("Resume a run that was interrupted.", group="Resume")] = False
    shard_size: Annotated[
        Positive | None,
        doc(
            "Videos that are saved together during the run. [default: 256; 8 for recordings, 1 "
            "for VIDEOS]",
            group="Resume",
        ),
    ] = None
    shards: Annotated[
        str | None,
        doc(
            "Folder or URL (s3://...) for these shards. [default: OUT.partial]",
            "PLACE",
            group="Resume",
        ),
    ] = None

    def check(self) -> None:
        """Raise ConfigError if settings contradict each other."""
        sources = sum(source is not None for source in (self.dataset, self.live))
        sources += bool(self.videos)
        unsaved = self.out is None and (self.resume or self.shards is not None)
        labels = self.labels
        for fault, message in (
            (sources != 1, "propose needs one source: a dataset, videos, or a live video"),
            (unsaved, "without out nothing is saved, so nothing can be resumed"),
            (self.resume and self.live, "a live video cannot be resumed: unread parts are gone"),
            (
                self.scores and "rescale" in self.changes,
                "rescale.edge has no effect on boundary scores: leave it out",
            ),
            (self.scores and not self.dataset, "boundary scores belong to a dataset: name it, too"),
            (
                labels.classify and labels.labels_from,
                "take labels from a file or from the bundle's classifier, not from both",
            ),
            (
                labels.classify and self.scores,
                "the classifier needs features, and boundary scores come without; label the result "
                "afterwards: actspan label",
            ),
        ):
            if fault:
                raise ConfigError(message)

    @property
    def writes_run(self) -> bool:
        """True if `out` is a run folder, not a result file."""
        return self.out is not None and self.out.suffix.lower() not in ANSWER_SUFFIXES

    @property
    def partial(self) -> Path:
        """Folder for the unfinished run, next to `out` or in it; see `work_folder`."""
        assert self.out is not None
        if self.writes_run:
            return work_folder(self.out, "partial")
        return self.out.with_name(f"{self.out.name}.partial")


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a finished job."""

    out: Path | None
    videos: int
    proposals: int
    detections: int
    seconds: float  # wall time from the first video's start to the last result, without start-up
    stages: dict[Stage, float]  # shares of the workers' time, in [0, 1]
    problems: tuple[Problem, ...]  # of skipped videos, and notes about videos
    notes: tuple[str, ...]
    kept: int = 0  # videos whose results were saved before an interruption
    video_seconds: float = 0.0  # seconds of the videos, if the source is videos

    @property
    def rate(self) -> float:
        """Videos per second, counting only those that were computed."""
        return (self.videos - self.kept) / self.seconds if self.seconds else 0.0


class ClusterConfig(Config, frozen=True, kw_only=True):
    """Workers of a job on Ray. `worker_resources` are by Ray's names: {"NPU": 1}."""

    address: Annotated[
        str | None,
        doc(
            "Address of a running cluster, or auto. [default: start one on this machine]",
            "ADDRESS",
            group="Workers of Ray",
        ),
    ] = None
    workers: Annotated[Positive, doc("Number of worker processes.", group="Workers of Ray")] = 1
    worker_cpus: Annotated[
        Positive, doc("Number of CPUs and threads per worker.", group="Workers of Ray")
    ] = 1
    worker_gpus: Annotated[
        float, Bounds(0), doc("Number of GPUs per worker.", group="Workers of Ray")
    ] = 0.0
    worker_resources: Annotated[
        dict[str, float],
        doc("Other resources per worker, as in '{\"NPU\": 1}'.", "JSON", group="Workers of Ray"),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, amount in self.worker_resources.items():
            known = name in ("CPU", "GPU")
            require_setting(not known, f"worker_resources: {name} has its own option")
            require_setting(amount > 0, f"worker_resources: {name} is {amount}, not above 0")

    @property
    def needs(self) -> dict[str, float]:
        """Resources that a worker needs, by Ray's names."""
        needs = {"CPU": float(self.worker_cpus), **self.worker_resources}
        return needs | {"GPU": self.worker_gpus} if self.worker_gpus else needs

    def capacity(self, node: Mapping[str, float]) -> int:
        """Return the number of workers that a node with these resources has room for."""
        return min(floor(node.get(name, 0.0) / need) for name, need in self.needs.items())
