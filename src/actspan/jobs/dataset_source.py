"""Sources of a job from a dataset: its features, or boundary scores that were computed before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from actspan.config.base import OnError
from actspan.core.errors import BundleError, DatasetError, FeatureError, ResultError
from actspan.core.files import sha256
from actspan.core.problems import Problem, Skipped, raise_errors, raise_nothing_left
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import counted, quoted
from actspan.data.annotations.formats import find_annotations
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.faults import annotation_faults, missing_features
from actspan.data.layout import SPEC_FILE
from actspan.data.names import VIDEOS
from actspan.data.remote import url_of
from actspan.data.scores import ScoreFiles
from actspan.data.store.shards import Packed
from actspan.data.store.store_manifest import MANIFEST
from actspan.jobs.checkpoint import Plan, Stamp
from actspan.jobs.origin import checksum
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.source import Source, stamps_of
from actspan.model.bundle import Bundle
from actspan.pipeline.outcomes import Piece, ScoredVideo, VideoInput
from actspan.pipeline.steps import feature_inputs, pieces_of

# A shard takes some tenths of a second, but one recording may last a day.
_SHARD_SIZE = {"rescale": 256, "window": 8}


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
        self._take(Dataset.load(self.folder).subset(request.subset, bundle.set_apart))
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


class ScoreSource(FeatureSource):
    """Boundary scores of the videos of a dataset, whose features need not exist."""

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        assert request.scores is not None
        self._scores = ScoreFiles(request.scores)

    def close(self) -> None:
        """Close the scores."""
        self._scores.close()

    def check(self, progress: Progress) -> None:
        """Keep the videos that have good scores and a known duration; see `Source.check`."""
        dataset, on_error = replace(self.dataset, problems=self.problems), self.request.on_error
        checked = _checked(dataset)
        seconds, note = _seconds_of(dataset, checked)
        cells = _cells_of(dataset, self.bundle, checked)
        problems = [
            *_annotation_faults(dataset, checked),
            *_score_problems(dataset, self._scores, seconds, cells),
        ]
        bad = {p.video for p in problems if p.skipped is Skipped.VIDEO}
        kept = [place for place, name in enumerate(dataset.videos.ids) if name not in bad]
        if on_error == "fail":
            raise_errors(problems, leaves_something=bool(kept))
        if not kept:
            raise_nothing_left(problems, len(dataset))
        self._take(
            replace(
                dataset,
                videos=dataset.videos.select(kept),
                problems=tuple(problems),
                notes=(*dataset.notes, note),
            )
        )
        self.seconds = tuple(seconds[video] for video in self.ids)

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take videos and their seconds from a plan."""
        super().restore(plan, (), progress)
        self.seconds = plan.seconds

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the scores of videos, or their windows."""
        seconds = dict(zip(self.ids, self.seconds, strict=True))

        def read(video: str) -> ScoredVideo:
            return ScoredVideo(self._scores.read(video), seconds[video])

        return pieces_of((VideoInput(video, partial(read, video)) for video in videos), self.config)

    def file(self, video: str) -> str:
        """Return the location of the scores."""
        return str(self._scores.path)


def _score_problems(
    dataset: Dataset,
    scores: ScoreFiles,
    seconds: Mapping[str, float],
    cells: Mapping[str, int],
) -> Iterator[Problem]:
    file, strangers = str(scores.path), [n for n in scores.ids if n not in dataset.known.places]
    cause, cure = missing_features(
        dataset.videos, set(scores.ids), strangers, dataset.path, "boundary scores"
    )
    for video in dataset.videos:
        if video.id not in scores:
            what, remedy = cause or "no boundary scores", cure or "compute them, or leave it out"
            yield Problem(video.id, file, what, remedy)
        elif math.isnan(seconds[video.id]):
            remedy = "annotate its duration, in seconds"
            yield Problem(video.id, str(dataset.path), "no duration", remedy)
        elif what := _score_fault(scores, video.id, cells.get(video.id)):
            yield Problem(video.id, file, what, "compute them again, or leave it out")
    for name in () if cause else strangers:
        yield Problem(name, file, "scores without annotation", "check it", Skipped.NOTHING)


def _score_fault(scores: ScoreFiles, name: str, cells: int | None) -> str:
    """Return why the scores of a video cannot be used, or "" if they can.

    `cells` is the number of cells that the network gives, if known.
    """
    try:
        found = len(scores.read(name))
    except ResultError as error:
        return str(error).removeprefix(f"{scores.path}: scores of {name!r}: ")
    if cells is None or found == cells:
        return ""
    return f"scores of {counted(found, 'cell')}, {cells:,} expected: of other features"


def _checked(dataset: Dataset) -> Dataset | None:
    """Return the dataset with checked features, or None if no features can be used."""
    try:
        return check_dataset(dataset, on_error="skip") if dataset.entries else None
    except (FeatureError, DatasetError):
        return None


def _annotation_faults(dataset: Dataset, checked: Dataset | None) -> list[Problem]:
    """Return the problems that matter; those of features do not, since features are not read."""
    if checked is None:
        return annotation_faults(dataset, uses_instances=False)
    return [p for p in checked.problems if not p.is_error or p in dataset.problems]


def _cells_of(dataset: Dataset, bundle: Bundle, checked: Dataset | None) -> dict[str, int]:
    """Return the number of cells that the network gives per video, where it is known."""
    if bundle.config.mode == "rescale":
        tem = bundle.config.tem
        return {} if tem is None else dict.fromkeys(dataset.videos.ids, tem.length)
    return {} if checked is None else {v: len(checked.open(v)) for v in checked.videos.ids}


def _seconds_of(dataset: Dataset, checked: Dataset | None) -> tuple[dict[str, float], str]:
    """Return the seconds at position 1.0 (the span of the features if they exist), and a note."""
    seconds = {v.id: dataset.annotated_seconds(v) for v in dataset.videos}
    if checked is None:
        return seconds, "positions are scaled by the videos' annotated durations"
    seconds |= {v.id: checked.open(v.id).seconds for v in checked.videos}
    others = len(dataset) - len(checked)
    rest = f", of {counted(others, 'video')} by the annotated duration" if others else ""
    return seconds, f"positions are scaled by the span of the features in the dataset{rest}"
