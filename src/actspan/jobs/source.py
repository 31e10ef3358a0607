"""Sources list, check and open the videos of a job: their contract, and features of a dataset."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from actspan.config.base import OnError, to_dict
from actspan.config.changes import changes_between, settings_text, with_changes
from actspan.config.stages import Edge
from actspan.core.errors import BundleError, DataError
from actspan.core.files import sha256
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Features
from actspan.core.wording import quoted
from actspan.data.annotations.formats import find_annotations
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset, Recording, url_of
from actspan.data.features import Entry
from actspan.data.names import VIDEOS
from actspan.data.store_manifest import MANIFEST
from actspan.data.timebase import SPEC_FILE
from actspan.jobs.checkpoint import FileStamp, Plan
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.pipeline.labels import Labeller
from actspan.pipeline.outcomes import Failure, Piece, VideoInput
from actspan.pipeline.steps import feature_inputs, pieces_of
from actspan.streams.addresses import Location

# A shard takes some tenths of a second, but one recording may last a day.
_SHARD_SIZE = {"rescale": 256, "window": 8}
_PACKAGES = ("actspan", "numpy", "numba", "onnxruntime")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


class Source(ABC):
    """Videos to process: a dataset of features, boundary scores, video files, or a live video.

    Either `check` is called, to start a job, or `restore`, to resume one and in workers.

    Attributes
    ----------
    config : PipelineConfig
        Settings of the model, with the changes of the request.
    changes : list of str
        These changes, KEY=VALUE.
    ids : tuple of str
        Videos that were found, in the order of the result.
    paths : mapping of str to Path or Address
        Videos by id, if the source is videos.
    files : mapping of str to Path, Address or Entry
        Files by id whose changes matter; none of a packed store, whose manifest has checksums.
    ends : mapping of str to float
        Seconds of each video, if the source is videos: announced, or once decoded its end.
    ending_notes : mapping of str to Problem
        Notes about videos that were decoded, such as damaged packets.
    checksums : mapping of str to str
        Checksums of the other inputs that must be unchanged when a job is resumed.
    protected : tuple of Path
        Files and folders that results must not replace.
    labeller : callable, optional
        Labels the proposals of a video by its id, of a live video at any time.
    """

    folder: Path | None = None  # the dataset, if the source is one
    edge: Edge = "clamp"  # how rescaling fills outer cells, if the bundle does not say
    is_decoded = False  # pieces come from a decoder, one by one, which itself reports progress
    shard_size = 1  # default number of videos per shard
    ids: tuple[str, ...] = ()
    paths: Mapping[str, Location] = MappingProxyType({})
    files: Mapping[str, Any] = MappingProxyType({})
    ends: Mapping[str, float] = MappingProxyType({})
    ending_notes: Mapping[str, Problem] = MappingProxyType({})
    checksums: Mapping[str, str] = MappingProxyType({})
    protected: tuple[Path, ...] = ()
    labeller: Labeller | None = None

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        self.request, self.bundle = request, bundle
        self.config, self.changes = bundle.config, list[str]()
        if request.changes:
            self.config = with_changes(bundle.config, request.changes)
            self.changes = settings_text(changes_between(bundle.config, self.config))

    def close(self) -> None:
        """Close what was opened."""
        return

    def record(self) -> dict[str, Any]:
        """Return the table `dataset` of `run.toml`."""
        return {}

    @abstractmethod
    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Check all videos before work starts; return the plan for those without problems.

        `problems` that were found elsewhere count as well. Raises DatasetError if there are
        problems and `on_error` is "fail", or no video is left.
        """

    @abstractmethod
    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the videos from a plan, and check those that are still missing as `check` does."""

    @abstractmethod
    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos: whole videos, or their windows in order."""

    @abstractmethod
    def features(self, video: str) -> Features | Recording:
        """Return the features of a video, of the one that is decoded now if videos are decoded."""

    def file(self, video: str) -> str:
        """Return the file or location of a video, for messages."""
        return str(self.files[video])

    def inputs(self) -> dict[str, dict[str, str]]:
        """Return everything that the result depends on, by kind, to compare it on resuming."""
        request, bundle = self.request, self.bundle
        config = hashlib.sha256(msgspec.json.encode(to_dict(bundle.config))).hexdigest()
        paths = {"scores": request.scores, "label scores": request.labels.labels_from}
        return {
            "bundle": {name: record.sha256 for name, record in bundle.files.items()}
            | {"settings": config},
            "dataset": dict(self.checksums),
            "settings": {
                "subset": str(request.subset),
                "backend": request.backend,
                "labels": str(request.labels.info()),
                "changes": ", ".join(self.changes) or "none",
                **{name: checksum(path) for name, path in paths.items() if path},
            },
            "versions": versions(),
        }

    def plan(self, videos: tuple[str, ...], problems: Iterable[Problem], **details: Any) -> Plan:
        """Return the plan of a new job on videos; `details` are further fields of it."""
        return Plan(
            inputs=self.inputs(),
            keeps="run" if self.request.writes_run else "result",
            videos=videos,
            shard_size=self.request.shard_size or self.shard_size,
            stamps=self.stamps(videos),
            problems=tuple(problems),
            **details,
        )

    def stamps(self, videos: Iterable[str]) -> tuple[FileStamp, ...]:
        """Return size and time of each video's file, to detect changes; None if there is none."""
        known: dict[Path | None, FileStamp] = {None: None}
        result = []
        for video in videos:
            file = self.files.get(video)
            path: Path | None = file.path if isinstance(file, Entry) else file
            path = path if isinstance(path, Path) else None  # the content of an address is unknown
            if path is not None and path not in known:
                try:
                    status = path.stat()
                    known[path] = status.st_size, status.st_mtime_ns
                except OSError:
                    known[path] = None
            result.append(known[path])
        return tuple(result)

    def skip_or_raise(self, failure: Failure) -> Problem:
        """Return the problem of a video that could not be read, or raise if none may be skipped."""
        folder = self.folder
        if folder is not None and not folder.is_dir():
            raise DataError(
                f"{folder}: the dataset is gone; is its disk still there?"
            ) from failure.error
        file = self.file(failure.id)
        what = str(failure.error).removeprefix(f"{file}: ")
        if self.request.on_error == "fail":
            raise DataError(
                f"{file}: {what}; fix it, or leave this video out: --on-error skip"
            ) from failure.error
        return Problem(failure.id, file, what, "compute it again, or leave it out")


def checksum(path: Path) -> str:
    """Return the checksum of a file, or of the files directly in a folder."""
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        return "absent"
    listed = [(f.name, sha256(f)) for f in sorted(path.iterdir()) if f.is_file()]
    return hashlib.sha256(msgspec.json.encode(listed)).hexdigest()


class FeatureSource(Source):
    """The features of a dataset, one file per video or a packed store."""

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        if bundle.config.label_free is not None:
            if request.scores is not None:
                raise BundleError("boundary scores need a model with a PEM: give --model")
        elif request.scores is None and "tem" not in bundle.nets:
            raise BundleError(
                f"{bundle.path}: contains no TEM, which features need; add one: actspan convert "
                f"TEM --out {quoted(bundle.path)}, or give boundary scores that were computed "
                "elsewhere: --scores"
            )
        if request.scores is not None and self.config.fusion.label_free:
            raise BundleError(
                "this model uses label-free proposals, which boundary scores do not give; leave "
                "them out: --set fusion.label_free=0"
            )
        assert request.dataset is not None
        self.folder = folder = request.dataset
        self.shard_size = _SHARD_SIZE[bundle.config.mode]
        dataset = Dataset.load(folder)
        dataset.require_fit(self.config)
        if request.subset is not None:
            dataset = dataset.subset(request.subset, bundle.set_apart)
        self.dataset, self.ids, self.edge = dataset, dataset.videos.ids, dataset.edge
        self._annotations = annotations = find_annotations(folder)
        if dataset.packing is None:
            self.files = dataset.entries
        files = [folder / SPEC_FILE, folder / MANIFEST]
        self.protected = (folder / "features", folder / VIDEOS)
        if annotations is not None:
            files.insert(0, annotations)
            self.protected = (*self.protected, annotations)
        self.checksums = {path.name: checksum(path) for path in files}

    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Read all features, and keep the videos without problems; see `Source.check`."""
        dataset = replace(self.dataset, problems=(*self.dataset.problems, *problems))
        checked = check_features(dataset, self.bundle, self.request.on_error, progress)
        self.dataset = checked
        return self.plan(
            checked.videos.ids, checked.problems, notes=checked.notes, spec=checked.spec
        )

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the spec from a plan; check the features that are still needed."""
        self.dataset = replace(
            self.dataset, spec=plan.spec, problems=plan.problems, notes=plan.notes
        )
        needed = set(missing)
        if needed and self.request.on_error == "fail":
            left = [video for video in self.dataset if video.id in needed]
            check_features(self.dataset.select(left), self.bundle, "fail", progress)

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos; workers read them."""
        return pieces_of(feature_inputs(self.dataset, videos, self.config), self.config)

    def features(self, video: str) -> Features | Recording:
        """Return the features of any video of the dataset."""
        return self.dataset.open(video)

    def record(self) -> dict[str, Any]:
        """Return where the dataset is, and its annotations."""
        folder, annotations, scores = self.dataset.path, self._annotations, self.request.scores
        return {
            "path": str(url_of(folder) or folder.resolve()),
            "subset": self.request.subset,
            "annotations": None if annotations is None else annotations.name,
            "annotations_sha256": None if annotations is None else sha256(annotations),
            "scores": None if scores is None else str(scores),
        }

    def file(self, video: str) -> str:
        """Return the location of a video's features."""
        return str(self.dataset.entries.get(video, self.dataset.path))


def check_features(
    dataset: Dataset, bundle: Bundle, on_error: OnError, progress: Progress = no_progress
) -> Dataset:
    """Check all features, and return the dataset without videos that have problems.

    Raises the same as `check_dataset`, and StoreError if it was packed for another kind of model.
    """
    dataset.require_fit(bundle.config)
    return check_dataset(
        dataset,
        channels=None if bundle.config.tem is None else bundle.config.tem.channels,
        on_error=on_error,
        trained_on=None if bundle.config.label_free else bundle.features,
        progress=progress,
    )


def inputs_from_features(
    dataset: Dataset, bundle: Bundle, on_error: OnError, progress: Progress = no_progress
) -> tuple[Dataset, Iterable[VideoInput]]:
    """Check like `check_features`; return the dataset without bad videos, and its jobs."""
    dataset = check_features(dataset, bundle, on_error, progress)
    return dataset, feature_inputs(dataset, dataset.videos.ids, bundle.config)
