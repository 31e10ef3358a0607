"""Detections: labelled proposals, in the format of result files with `label` in every entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ResultError, ShapeError
from actspan.core.limits import SECONDS
from actspan.core.segments import Proposals, require_unit
from actspan.core.types import Float64
from actspan.core.wording import quoted
from actspan.data.names import FileNames
from actspan.data.result_files import late_error, read_entries
from actspan.data.result_writers import result_writer
from actspan.data.run_info import check_recorded

DETECTIONS_FILE = "detections.json"  # file name in a run folder
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Scored and labelled segments of one video.

    Examples
    --------
    >>> segments = Proposals([0.0], [9.5], [0.8], unit="seconds")
    >>> found = Detections(segments, [1], ("jump", "run"))
    >>> found.labels
    ['run']
    """

    segments: Proposals  # N segments, seconds; their `score` is what detections are ranked by
    label: Labels  # (N,) int64, positions in `names`
    names: tuple[str, ...]  # all labels; often shared by many videos

    def __post_init__(self) -> None:
        require_unit(self.segments, "seconds", "Detections")
        label = np.ascontiguousarray(self.label, dtype=np.int64)
        if label.shape != (len(self.segments),):
            raise ShapeError(f"label has shape {label.shape}; ({len(self.segments)},) is needed")
        if len(label) and not 0 <= label.min() <= label.max() < len(self.names):
            raise ShapeError(f"label points outside the {len(self.names)} names")
        object.__setattr__(self, "label", label)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: Any) -> Self:
        """Return the detections selected by a slice, mask or indices."""
        return type(self)(self.segments[index], self.label[index], self.names)

    @property
    def labels(self) -> list[str]:
        """Return the label of each entry, as text."""
        return [self.names[code] for code in self.label.tolist()]

    def labelled(self) -> Proposals:
        """Return the segments with their labels."""
        return self.segments.with_label(self.labels)

    @classmethod
    def of(cls, segments: Proposals, labels: Sequence[str]) -> Self:
        """Return detections from labels as text, one per segment."""
        codes = {name: code for code, name in enumerate(dict.fromkeys(labels))}
        return cls(segments, np.array([codes[name] for name in labels], np.int64), tuple(codes))

    def ranked(self) -> Self:
        """Return the detections by falling score; equal scores keep their order."""
        return self[np.argsort(-self.segments.score, kind="stable")]

    def best_labels(self, proposals: Proposals) -> list[str]:
        """Return the best label of each of some proposals, "" for segments without a detection."""
        ranked = self.ranked()
        labels: dict[tuple[float, float], str] = {}
        for segment, label in zip(_ends(ranked.segments), ranked.labels, strict=True):
            labels.setdefault(segment, label)
        return [labels.get(segment, "") for segment in _ends(proposals)]


@dataclass(frozen=True, slots=True, eq=False)
class ProposalLabels:
    """The K best labels of each of N proposals, and what they do to the score of a proposal."""

    label: Labels  # (N, K) int64, positions in a list of names, best first
    factor: Float64  # (N, K), by which the score of a proposal is multiplied

    def first(self, count: int) -> Self:
        """Return the labels of the first `count` proposals."""
        return type(self)(self.label[:count], self.factor[:count])

    def detections(self, proposals: Proposals, names: tuple[str, ...]) -> Detections:
        """Return a detection per proposal and label, best first."""
        count, top = self.label.shape
        row = np.repeat(np.arange(count), top)
        score = proposals.score[row] * self.factor.ravel()
        segments = proposals[row].with_score(score)
        return Detections(segments, self.label.ravel(), names).ranked()


def _ends(segments: Proposals) -> Iterator[tuple[float, float]]:
    return zip(segments.start.tolist(), segments.end.tolist(), strict=True)


class _Entry(msgspec.Struct, gc=False):
    score: float
    segment: tuple[float, float]
    label: str


def read_detections(path: Path | str, files: FileNames | None = None) -> dict[str, Detections]:
    """Read a detections file, or that of a run folder (`detections.json`).

    `files` collects the ids that are names of video files. Times are seconds; videos and entries
    are in the file's order, all with the same `names`. A leading `v_` of an id is stripped. Raises
    ResultError if the file is missing, damaged, has NaN, an entry is without a label, or the file
    of a run differs from its checksum in `run.toml`.
    """
    path = Path(path)
    if path.is_dir() and not (path / DETECTIONS_FILE).is_file():
        raise ResultError(
            f"{path}: no {DETECTIONS_FILE} in this run; label its proposals: "
            f"actspan label {quoted(path)} --labels-from SCORES.json"
        )
    if path.is_dir():
        path = path / DETECTIONS_FILE
        check_recorded(path)
    columns: dict[str, tuple[Float64, list[float], list[str]]] = {}
    codes: dict[str, int] = {}
    for video, entries in read_entries(path, _Entry, files or FileNames()):
        segments = np.array([entry.segment for entry in entries], np.float64).reshape(-1, 2)
        for start, end in segments[np.abs(segments).max(axis=1, initial=0.0) > SECONDS]:
            raise late_error(path, video, start, end)
        labels = [entry.label for entry in entries]
        for name in labels:
            codes.setdefault(name, len(codes))
        columns[video] = (segments, [entry.score for entry in entries], labels)
    names = tuple(codes)
    return {
        video: Detections(
            Proposals(segments[:, 0], segments[:, 1], score, unit="seconds", video=video),
            np.array([codes[name] for name in labels], np.int64),
            names,
        )
        for video, (segments, score, labels) in columns.items()
    }


def write_detections(path: Path | str, detections: Mapping[str, Detections]) -> None:
    """Write the detections of many videos, in seconds; raise as `result_writer` and `add` do."""
    with result_writer(path, labelled=True) as writer:
        for video, detections_of_video in detections.items():
            writer.add(video, detections_of_video.segments, detections_of_video.labels)
