"""Sources list, check and open the videos of a job: their contract, and features of a dataset."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from actspan.config.stages import Edge, FeatureSpec
from actspan.core.errors import BundleError, DataError
from actspan.core.files import sha256
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import quoted
from actspan.data.annotations.formats import find_annotations
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.names import VIDEOS
from actspan.data.remote import url_of
from actspan.data.shards import Packed
from actspan.data.store_manifest import MANIFEST
from actspan.data.timebase import SPEC_FILE
from actspan.jobs.checkpoint import Plan, Stamp
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Failure, Piece, VideoInput
from actspan.pipeline.steps import feature_inputs, pieces_of

OnError = Literal["fail", "skip"]
# A shard takes some tenths of a second, but one recording may last a day.
_SHARD_SIZE = {"rescale": 256, "window": 8}


class Source(ABC):
    """Videos to process: a dataset of features, boundary scores, video files, or a live video.

    Either `check` is called, to start a job, or `restore`, to resume one and in workers; the
    attributes then describe the videos that remain.
    """

    folder: Path | None = None  # the dataset, if the source is one
    edge: Edge = "clamp"  # how rescaling fills outer cells, if the bundle does not say
    is_decoded = False  # pieces come from a decoder, one by one, which itself reports progress

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        self.request, self.bundle, self.config = request, bundle, bundle.config
        self.shard_size = 1  # default number of videos per shard
        self.ids: tuple[str, ...] = ()  # of the videos, in the order of the answer
        self.problems: tuple[Problem, ...] = ()  # of videos that were left out, and notes
        self.notes: tuple[str, ...] = ()
        self.spec = FeatureSpec()
        self.seconds: tuple[float, ...] = ()  # of each video, if known without features
        self.paths: Mapping[str, Path] = {}  # video files by id; empty for features

    def close(self) -> None:
        """Close what was opened."""
        return

    def checksums(self) -> dict[str, str]:
        """Return checksums of the inputs that must be unchanged when a job is resumed."""
        return {}

    def record(self) -> dict[str, Any]:
        """Return the table `dataset` of `run.toml`."""
        return {}

    def protected(self) -> tuple[Path, ...]:
        """Return the files and folders that results must not replace."""
        return ()

    @abstractmethod
    def check(self, progress: Progress) -> None:
        """Check all videos before work starts, and keep those without problems.

        Raises DatasetError if there are problems and `on_error` is "fail", or no video is left.
        """

    @abstractmethod
    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the videos from a plan, and check those that are still missing as `check` does."""

    @abstractmethod
    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos: whole videos, or their windows in order."""

    def file(self, video: str) -> str:
        """Return the file or location of a video, for messages."""
        return str(self.paths[video])

    def stamps(self, videos: Sequence[str]) -> tuple[Stamp, ...]:
        """Return size and time of each video's file, to detect changes; None if there is none."""
        return stamps_of(self.paths.get(video) for video in videos)

    def ending_note(self, video: str) -> Problem | None:
        """Return a note about a video that was just read, such as damaged packets."""
        return None

    def end(self, video: str) -> float:
        """Return the second at which a video ends, if the source is videos."""
        return 0.0

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


def stamps_of(files: Iterable[Path | None]) -> tuple[Stamp, ...]:
    """Return size and time of files; None for one that does not exist."""
    known: dict[Path | None, Stamp] = {None: None}
    found = []
    for file in files:
        if file is not None and file not in known:
            try:
                status = file.stat()
                known[file] = status.st_size, status.st_mtime_ns
            except OSError:
                known[file] = None
        found.append(known[file])
    return tuple(found)


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
        if request.scores is None and "tem" not in bundle.nets:
            raise BundleError(
                f"{bundle.path}: holds no TEM, which features need; add one: actspan convert TEM "
                f"--out {quoted(bundle.path)}, or give boundary scores that were computed "
                "elsewhere: --scores"
            )
        assert request.dataset is not None
        self.folder = request.dataset
        self.shard_size = _SHARD_SIZE[bundle.config.mode]
        dataset = Dataset.load(self.folder)
        if request.subset is not None:
            dataset = dataset.subset(request.subset, bundle.set_apart)
        self._take(dataset)
        self.edge = self.dataset.edge

    def _take(self, dataset: Dataset) -> None:
        self.dataset, self.ids, self.spec = dataset, dataset.videos.ids, dataset.spec
        self.problems, self.notes = dataset.problems, dataset.notes

    def check(self, progress: Progress) -> None:
        """Read all features, and keep the videos without problems; see `Source.check`."""
        dataset = replace(self.dataset, problems=self.problems)
        self._take(check_features(dataset, self.bundle, self.request.on_error, progress))

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take videos and spec from a plan; check the features that are still needed."""
        self.dataset = replace(
            self.dataset, spec=plan.spec, problems=plan.problems, notes=plan.notes
        )
        needed = set(missing)
        if needed and self.request.on_error == "fail":
            left = [video for video in self.dataset if video.id in needed]
            check_features(self.dataset.select(left), self.bundle, "fail", progress)
        self.ids, self.spec = plan.videos, plan.spec
        self.problems, self.notes = plan.problems, plan.notes

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos; workers read them."""
        return pieces_of(feature_inputs(self.dataset, videos, self.config), self.config)

    def checksums(self) -> dict[str, str]:
        """Return checksums of the annotations, and of the description of the features."""
        assert self.folder is not None
        texts = [self.folder / SPEC_FILE, self.folder / MANIFEST]
        given = (find_annotations(self.folder), *texts)
        return {path.name: checksum(path) for path in given if path is not None}

    def record(self) -> dict[str, Any]:
        """Return where the dataset is, and its annotations."""
        assert self.folder is not None
        annotations, scores = find_annotations(self.folder), self.request.scores
        return {
            "path": str(url_of(self.folder) or self.folder.resolve()),
            "subset": self.request.subset,
            "annotations": None if annotations is None else annotations.name,
            "annotations_sha256": None if annotations is None else sha256(annotations),
            "scores": None if scores is None else str(scores),
        }

    def protected(self) -> tuple[Path, ...]:
        """Return the folders of features and videos, and the annotations."""
        assert self.folder is not None
        annotations = find_annotations(self.folder)
        folders = (self.folder / "features", self.folder / VIDEOS)
        return folders if annotations is None else (*folders, annotations)

    def file(self, video: str) -> str:
        """Return the file of a video's features."""
        return str(self.dataset.entries.get(video, self.folder))

    def stamps(self, videos: Iterable[str]) -> tuple[Stamp, ...]:
        """Return size and time of each video's features; None for packed ones."""
        entries = (self.dataset.entries.get(video) for video in videos)
        if self.dataset.packing is not None:  # the manifest of a store has checksums
            return tuple(None for _ in entries)
        return stamps_of(None if e is None or isinstance(e, Packed) else e.path for e in entries)


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
        trained_on=bundle.features,
        progress=progress,
    )


def inputs_from_features(
    dataset: Dataset, bundle: Bundle, on_error: OnError, progress: Progress = no_progress
) -> tuple[Dataset, Iterable[VideoInput]]:
    """Check like `check_features`; return the dataset without bad videos, and its jobs."""
    dataset = check_features(dataset, bundle, on_error, progress)
    return dataset, feature_inputs(dataset, dataset.videos.ids, bundle.config)
