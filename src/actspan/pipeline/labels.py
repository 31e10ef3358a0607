"""Labels of proposals from a file of scores (bsn.md section 12)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import NOT_JSON, OnError, explain_error
from actspan.core.errors import ConfigError, ResultError
from actspan.core.problems import Problem, Skipped
from actspan.core.segments import Proposals, require_unit
from actspan.core.types import Float64
from actspan.core.wording import counted, listed
from actspan.data.detections import Detections
from actspan.data.result_files import result_bytes
from actspan.data.videos import canonical_id

# Labels the proposals of a video (seconds): a method of a file or of a classifier. Best first.
Labeller = Callable[[str, Proposals], Detections]

_SLACK = 0.01  # seconds by which the file's segments may differ from the proposals'
_FORMS = (
    "{video: [{label, score}, ...]}, the same under 'results', 'results' with a list of scores "
    "per video next to a list 'class' of names, or entries with a segment each"
)


class _Entry(msgspec.Struct, gc=False):
    """Label of a video, or of one of its segments, in seconds."""

    label: str | int
    score: float | str | None = None  # some tools quote numbers
    segment: tuple[float, float] | None = None


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_names = msgspec.json.Decoder(list[str | int | float]).decode
_Entries = list[float | str | _Entry]
_decode_entries = msgspec.json.Decoder(_Entries).decode


class ScoredLabels(NamedTuple):
    """Labels of one video."""

    label: NDArray[np.int64]  # (S,), positions in the names of the file
    score: Float64  # (S,)
    segments: Float64 | None = None  # (S, 2), seconds; None: labels of the whole video


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """Labels of many videos, for their proposals.

    `names` are those of all labels in the file; each proposal gets the `top` best labels of its
    video. `notes` are messages about ignored or doubtful entries, with counts.

    Examples
    --------
    >>> labels = LabelFile.read("scores.json", top=2)  # doctest: +SKIP
    >>> labels.label("video_1", proposals).labels[:2]  # doctest: +SKIP
    ['Archery', 'Archery']
    """

    path: Path
    names: tuple[str, ...]
    videos: Mapping[str, ScoredLabels]
    top: int = 2
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | str, *, top: int = 2) -> LabelFile:
        """Read a score file.

        It is JSON: `{video: [{label, score}]}`; the same under `results`; `results` with a list of
        scores per video and the names in `class`, as classifiers of ActivityNet are published; or
        entries `{segment, label, score}` that label proposals one by one (`score` defaults to 1).

        Raises
        ------
        ResultError
            It cannot be read, is of another form, has no label for any video, or contains a score
            that is negative or not finite.
        ConfigError
            `top` is not positive.
        """
        path = Path(path)
        if top < 1:
            raise ConfigError(f"top {top}: each proposal needs at least one label")
        results, classes = _decode_parts(path)
        codes = {name: code for code, name in enumerate(classes)}
        videos: dict[str, ScoredLabels] = {}
        for name, raw in results.items():
            video = canonical_id(name)
            if video in videos:
                raise ResultError(f"{path}: video {video!r} occurs with and without 'v_'")
            try:
                videos[video] = _parse(_decode_entries(raw), codes, len(classes))
            except (*NOT_JSON, ValueError) as error:
                why = explain_error(str(error), _Entries)
                raise ResultError(f"{path}: video {name!r}: {why}; needed is {_FORMS}") from error
        if not any(len(scored.label) for scored in videos.values()):
            raise ResultError(f"{path}: no labels for any of its {counted(len(videos), 'video')}")
        names = tuple(codes)
        videos, notes = _tidy(videos, names)
        return cls(path, names, videos, top, tuple(notes))

    def label(self, video: str, proposals: Proposals) -> Detections:
        """Label every proposal (seconds); multiply its score by the score of the label.

        Detections are best first; without labels for this video there are none.

        Raises
        ------
        ResultError
            The file labels proposals one by one, and a proposal is missing.
        """
        require_unit(proposals, "seconds", "LabelFile.label")
        scored = self.videos.get(video)
        if scored is None or not len(scored.label):
            return Detections(Proposals.empty("seconds", video), np.empty(0, np.int64), self.names)
        row, chosen = self._pairs(video, proposals, scored)
        score = proposals.score[row] * scored.score[chosen]
        segments = proposals[row].with_score(score)
        return Detections(segments, scored.label[chosen], self.names).ranked()

    def _pairs(
        self, video: str, proposals: Proposals, scored: ScoredLabels
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pair proposals with labels: positions of both, one entry per detection."""
        if scored.segments is None:
            best = np.argsort(-scored.score, kind="stable")[: self.top]
            row = np.repeat(np.arange(len(proposals)), len(best))
            return row, np.tile(best, len(proposals))
        gaps = np.maximum(
            np.abs(proposals.start[:, None] - scored.segments[:, 0]),
            np.abs(proposals.end[:, None] - scored.segments[:, 1]),
        )  # (N, S)
        same = gaps <= _SLACK
        same &= gaps == gaps.min(axis=1, keepdims=True)
        if not same.any(axis=1).all():
            absent = int(np.argmin(same.any(axis=1)))
            raise ResultError(
                f"{self.path}: video {video!r}: no label for the proposal from "
                f"{proposals.start[absent]:.3f} to {proposals.end[absent]:.3f} s; label the "
                "proposals of this result"
            )
        row, chosen = np.nonzero(same)
        return row, chosen


def _decode_parts(path: Path) -> tuple[dict[str, msgspec.Raw], list[str]]:
    """Return the entries of each video of a score file, not yet decoded, and its class names."""
    data = result_bytes(path)
    try:
        document = _decode_object(data)
        if "results" not in document:
            return document, []
        classes = _decode_names(document.get("class", b"[]"))
        return _decode_object(document["results"]), list(map(str, classes))
    except msgspec.ValidationError as error:
        why = explain_error(str(error), dict)
        raise ResultError(f"{path}: not an object of videos: {why}; needed is {_FORMS}") from error
    except NOT_JSON as error:
        raise ResultError(f"{path}: not valid JSON: {error}; JSON is needed: {_FORMS}") from error


def _parse(
    entries: Sequence[float | str | _Entry], codes: dict[str, int], classes: int
) -> ScoredLabels:
    """Return the labels of a video; new names are added to `codes`.

    A list of scores belongs to the first `classes` names.
    """
    labelled = [entry for entry in entries if isinstance(entry, _Entry)]
    if not labelled and entries:
        if len(entries) != classes:
            raise ValueError(f"{len(entries)} scores, but {classes or 'no'} names in 'class'")
        return ScoredLabels(np.arange(classes), np.array([_score(x) for x in entries], np.float64))
    if len(labelled) != len(entries):
        raise ValueError("some entries are scores, and some have a label")
    labels = [codes.setdefault(str(entry.label), len(codes)) for entry in labelled]
    segments = [entry.segment for entry in labelled if entry.segment is not None]
    if segments and len(segments) != len(labelled):
        raise ValueError("some entries have a segment and some have none")
    usual = 1.0 if segments else None
    scores = [_score(usual if entry.score is None else entry.score) for entry in labelled]
    return ScoredLabels(
        np.array(labels, np.int64),
        np.array(scores, np.float64),
        np.array(segments, np.float64) if segments else None,
    )


def _tidy(
    videos: Mapping[str, ScoredLabels], names: Sequence[str]
) -> tuple[dict[str, ScoredLabels], list[str]]:
    """Drop empty labels, and equal ones except the best; return a note per kind of bad entry."""
    empty = names.index("") if "" in names else -1
    unnamed, bare, twice, tidied = 0, [], [], {}
    for video, found in videos.items():
        kept = np.flatnonzero(found.label != empty)
        unnamed += len(found.label) - len(kept)
        if not len(kept):
            bare.append(video)
        if len(np.unique(found.label[kept])) < len(kept):  # entries may be equal
            ranked = kept[np.argsort(-found.score[kept], kind="stable")]
            keys = found.label[ranked, None].astype(np.float64)
            if found.segments is not None:
                keys = np.hstack([keys, found.segments[ranked]])
            best = np.sort(ranked[np.unique(keys, axis=0, return_index=True)[1]])
            if len(best) < len(kept):
                twice.append(video)
            kept = best
        segments = None if found.segments is None else found.segments[kept]
        tidied[video] = ScoredLabels(found.label[kept], found.score[kept], segments)
    total = sum(len(found.score) for found in videos.values())
    high = sum(int(np.count_nonzero(found.score > 1)) for found in videos.values())
    of_bare, of_twice = (f"{counted(len(v), 'video')} ({listed(v)})" for v in (bare, twice))
    notes = {
        f"no labels for {of_bare}: their proposals become no detections": bare,
        f"{unnamed:,} of {counted(total, 'label')} empty: left out": unnamed,
        f"a label twice for {of_twice}: its best score counts": twice,
        f"{high:,} of {counted(total, 'score')} above 1: probabilities are expected": high,
    }
    return tidied, [note for note, found in notes.items() if found]


def _score(value: object) -> float:
    """Return a score, which may be a text; raise ValueError if it is none."""
    try:
        score = float(value) if isinstance(value, (float, str)) else math.nan
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{value!r} is not a number")
    if score < 0:
        raise ValueError(f"score {score:g} is negative: probabilities are needed, not logits")
    return score


def read_labels(
    path: Path, top: int, videos: Iterable[str], on_error: OnError
) -> tuple[LabelFile, tuple[Problem, ...]]:
    """Read a score file; return it with problems such as videos without labels.

    Problems are only notes if proposals are written in any case.
    """
    labels, videos = LabelFile.read(path, top=top), list(videos)
    skipped = Skipped.VIDEO if on_error == "fail" else Skipped.NOTHING
    remedy = "score it, or leave the video out"
    problems = [
        Problem(name, str(path), "no label scores", remedy, skipped)
        for name in videos
        if name not in labels.videos
    ]
    notes = list(labels.notes)
    if others := sorted(labels.videos.keys() - set(videos)):
        what = f"{counted(len(others), 'video')} without proposals ({listed(others)})"
        notes.insert(0, f"{what}: their labels are not used")
    for note in notes:
        what, consequence = note.split(": ", 1)
        problems.append(Problem("", str(path), what, consequence, Skipped.NOTHING))
    return labels, tuple(problems)
