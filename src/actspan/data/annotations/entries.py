"""Videos as entries of a JSON document: meanings of keys, and keys that are not understood."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from actspan.core.problems import Problem, Skipped
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.base import (
    Instance,
    canonical_id,
    make_video,
    number,
    repeated_id,
    seconds,
)
from actspan.data.annotations.column_names import KNOWN, LABEL_NUMBERS, TIMES, plain
from actspan.data.names import FileNames, Ignored
from actspan.data.videos import Videos, canonical_subset

# Keys of a video that are fields of Video. All others are kept unchanged.
COUNTS = ("frames", "feature_frames")
RATES = ("fps", "snippet_stride", "snippet_length")
_FIELDS = {"subset", "duration", "annotations", *COUNTS, *RATES}
_FIELD_OF = {
    **{name: role for role in ("subset", "duration", "fps", "frames") for name in KNOWN[role]},
    "featureframe": "feature_frames",
}
# An unknown key with one of these words, or with a list or object as value, may be an annotation.
_TELLING = {"subset", "split", "partition", "fold", "usage", "phase", "mode", "train", "training",
            "test", "testing", "val", "valid", "validation", "duration", "fps", "rate", "label",
            "labels", "class", "action", "segment", "time", "start", "end"}  # fmt: skip
_PLAIN = (str, int, float)
_WORDS = re.compile("[A-Z]?[a-z]+")
_FIX = "fix or remove the annotation"
# Keys that repeat the segment or the label of an annotation in other units.
_REPETITIONS = {"segment", "segmentframe", "segmentframes", "id", *LABEL_NUMBERS}
_REPETITIONS.update(*(KNOWN[role] for role in TIMES))


class EntryReader:
    """Reader that makes videos of entries, and counts the keys that it does not understand.

    Parameters
    ----------
    path : Path
        The document, for messages.
    usual : frozenset of str
        Other keys that the format always has, which are not reported.
    """

    def __init__(self, path: Path, usual: frozenset[str] = frozenset()) -> None:
        self.problems: list[Problem] = []
        self.clocks: set[str] = set()  # which of "times" and "durations" are clocks
        self._path, self._usual = path, usual
        self._files, self._ignored = FileNames(), Ignored()
        self._taken: Counter[str] = Counter()  # values found under other keys
        self._kept = Ignored("{} not understood, which JSON keeps")
        self._unlabelled = 0

    def videos(self, entries: Iterable[tuple[str, Any]]) -> Videos:
        """Return a video per entry; bad entries and repeated ids become problems."""
        return Videos(self._parsed(entries))

    def notes(self) -> tuple[str, ...]:
        """Return notes about keys that were used as other keys, and keys that were ignored."""
        notes = [*self._files.notes(self._path)]
        if self._taken:
            taken = listed((f"{what} ({n:,})" for what, n in self._taken.items()), 12)
            notes.append(f"{self._path}: taken from other keys: {taken}")
        if self._unlabelled:
            notes.append(f"{self._path}: {counted(self._unlabelled, 'annotation')} without a label")
        return (*notes, *self._kept.notes(self._path), *self._ignored.notes(self._path))

    def _parsed(self, entries: Iterable[tuple[str, Any]]) -> Iterator[Video]:
        seen: set[str] = set()
        for name, entry in entries:
            try:
                if not isinstance(entry, dict):
                    raise TypeError(f"{entry!r} is not an object")
                video = self._video(canonical_id(self._files.stem(name)), entry)
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
                why = f"no {error}" if isinstance(error, KeyError) else str(error)
                remedy = "fix or remove the entry"
                video_id, where = canonical_id(name), str(self._path)
                self.problems.append(Problem(video_id, where, f"bad entry: {why}", remedy))
                continue
            if video.id in seen:
                self.problems.append(repeated_id(video.id, self._path))
                continue
            seen.add(video.id)
            yield video

    def _video(self, name: str, entry: dict[str, Any]) -> Video:
        if not entry.keys() <= _FIELDS:
            entry = self._understood(entry)
        duration = self._duration_of(entry)
        counts = {key: _optional(entry, key) for key in COUNTS}
        return make_video(
            name,
            self._instances(name, entry),
            duration=math.nan if duration is None else duration,
            subset=_subset_of(entry),
            **{key: None if count is None else int(count) for key, count in counts.items()},
            **{key: _optional(entry, key) for key in RATES},
            extra={key: value for key, value in entry.items() if key not in _FIELDS},
        )

    def _duration_of(self, entry: dict[str, Any]) -> float | None:
        """Return the duration, which may be a clock, or frames / fps if it is missing."""
        value = entry.get("duration")
        if isinstance(value, str) and ":" in value:
            self.clocks.add("durations")
            return number(seconds(value), "duration")
        frames, fps = (_optional(entry, key) for key in ("frames", "fps"))
        if value is None and frames and fps:
            self._taken["duration from frames / fps"] += 1
            return frames / fps
        return _optional(entry, "duration")

    def _understood(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry with fields under their own keys; count other keys that may matter."""
        made = dict(entry)
        if "annotations" not in entry and isinstance(entry.get("actions"), list):
            # a tuple, which JSON lacks, marks an action
            made["annotations"] = [(action,) for action in made.pop("actions")]
            self._taken["annotations from 'actions'"] += 1
        for key in [key for key in made if key not in _FIELDS]:
            field, value = _field_of(key), entry[key]
            is_given = bool(value) or (field == "subset" and type(value) is int)  # one may be 0
            if field and made.get(field) is None and is_given and isinstance(value, _PLAIN):
                made[field] = made.pop(key)
                if key not in self._usual:
                    self._taken[f"{field} from {key!r}"] += 1
            elif _may_matter(key, value):
                self._kept.add("keys of videos", key)
        return made

    def _instances(self, video: str, entry: Mapping[str, Any]) -> Iterator[Instance]:
        """Yield the annotations of a video; each one that cannot be used becomes a problem.

        Raises
        ------
        TypeError
            They are not a list.
        """
        annotations = entry.get("annotations")
        if annotations is None:
            return
        if not isinstance(annotations, list):
            raise TypeError(f"'annotations' is {annotations!r}, not a list")
        for i, annotation in enumerate(annotations):
            try:
                yield self._instance(annotation)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                why = f"no {error}" if isinstance(error, KeyError) else str(error)
                where, remedy = f"{self._path}: video {video!r}, annotation {i}", _FIX
                self.problems.append(Problem(video, where, why, remedy, Skipped.SEGMENT))

    def _instance(self, annotation: Any) -> Instance:
        """Return an annotation of the form `{"segment": [start, end], "label": ...}` or an action.

        Raises
        ------
        KeyError, TypeError, ValueError, OverflowError
            It is neither.
        """
        if isinstance(annotation, tuple):
            annotation = _of_action(*annotation)
        if not isinstance(annotation, dict):
            raise TypeError(f"annotation {annotation!r} is not an object")
        label = annotation.get("label")
        if len(annotation) > 2 or not isinstance(label, str) or label.isdecimal():
            label = self._label_of(annotation)
        times = annotation if "segment" in annotation else self._with_segment(annotation)
        start, end = self._times(times["segment"])
        return start, end, label.strip()

    def _times(self, segment: Any) -> tuple[float, float]:
        if isinstance(segment, list) and len(segment) == 2:
            start, end = segment
            if type(start) is float is type(end):  # nearly all annotations are like this
                return start, end
            if any(isinstance(time, str) and ":" in time for time in segment):
                self.clocks.add("times")
            start, end = _moment(start), _moment(end)
            if start is not None and end is not None:
                return start, end
        raise ValueError(f"segment {segment!r} is not [start, end] in seconds")

    def _with_segment(self, annotation: Mapping[str, Any]) -> dict[str, Any]:
        """Return an annotation with a segment made of its start and end."""
        by_name = {plain(key): key for key in annotation}
        keys = [next((by_name[n] for n in KNOWN[r] if n in by_name), None) for r in TIMES]
        if None in keys:
            raise KeyError("segment")
        self._taken[f"segment from {' and '.join(map(repr, keys))}"] += 1
        return {"segment": [annotation[key] for key in keys if key is not None]}

    def _label_of(self, annotation: Mapping[str, Any]) -> str:
        """Return the name of the class, or its number if there is no name; count the other keys."""
        key = _label_key(annotation)
        value = "" if key is None else annotation[key]
        if isinstance(value, (list, dict)):
            raise TypeError(f"label {value!r} is not text or a number")
        if key is None and annotation.get("label") is None:
            self._unlabelled += 1
        elif key not in (None, "label"):
            self._taken[f"label from {key!r}"] += 1
        for other in annotation:
            if other not in (key, "label") and plain(other) not in _REPETITIONS:
                self._ignored.add("keys of annotations", other)
        return str(value)


def _label_key(annotation: Mapping[str, Any]) -> str | None:
    """Return the key of the label: the first whose value has words, or the first with any value."""
    by_name = {plain(key): key for key in annotation}
    names = ("label", *KNOWN["label"], *LABEL_NUMBERS)
    keys = [by_name[name] for name in names if name in by_name]
    filled = [key for key in keys if annotation[key] not in (None, "")]
    words = (key for key in filled if _is_words(annotation[key]))
    return next(words, filled[0] if filled else None)


def _is_words(value: Any) -> bool:
    return isinstance(value, str) and not value.isdecimal()


def _of_action(action: Any) -> dict[str, Any]:
    """Return an annotation from [class, start, end], as Charades and MultiTHUMOS write it."""
    if not isinstance(action, list) or len(action) != 3 or not isinstance(action[0], (int, str)):
        raise ValueError(f"action {action!r} is not [class, start, end]")
    return {"label": str(action[0]), "segment": action[1:]}


def _moment(value: Any) -> float | None:
    """Return a time in seconds from a number or text (quoted numbers, clocks); None for others."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return seconds(value) if isinstance(value, str) else None


def _subset_of(entry: Mapping[str, Any]) -> str:
    """Return the subset: a text or a number, or a list with one of them."""
    value = entry.get("subset")
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    if isinstance(value, (list, dict)):
        raise TypeError(f"'subset' is {value!r}, not one name")
    return canonical_subset("" if value is None else str(value).strip())


def _optional(entry: Mapping[str, Any], key: str) -> float | None:
    """Return a positive number, or None if the key is missing or null."""
    return None if entry.get(key) is None else number(entry[key], key)


def _may_matter(key: str, value: Any) -> bool:
    return len(value) > 0 if isinstance(value, (list, dict)) else _is_telling(key)


@lru_cache(1000)
def _is_telling(key: str) -> bool:
    return not _TELLING.isdisjoint(word.lower() for word in _WORDS.findall(key))


@lru_cache(1000)
def _field_of(key: str) -> str | None:
    return _FIELD_OF.get(plain(key))
