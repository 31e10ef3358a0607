"""Videos as entries of a JSON document: meanings of keys, and keys that are not understood."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from actspan.core.problems import Skipped
from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations, Instance, decode, make_video
from actspan.data.annotations.fields import LABEL_NUMBERS, NAMES, TIMES, normalized, number, seconds
from actspan.data.annotations.video_builder import Collector
from actspan.data.names import Ignored
from actspan.data.videos import Videos, canonical_id, canonical_subset

# Keys of a video that are fields of Video. All others are kept unchanged.
COUNTS = ("frames", "feature_frames")
RATES = ("fps", "snippet_stride", "snippet_length")
FIELDS = {"subset", "duration", "annotations", *COUNTS, *RATES}
_FIELD_OF = {
    **{name: role for role in ("subset", "duration", "fps", "frames") for name in NAMES[role]},
    "featureframe": "feature_frames",
}
# An unknown key with one of these words, or with a list or object as value, may be an annotation.
_TELLING = {"subset", "split", "partition", "fold", "usage", "phase", "mode", "train", "training",
            "test", "testing", "val", "valid", "validation", "duration", "fps", "rate", "label",
            "labels", "class", "action", "segment", "time", "start", "end"}  # fmt: skip
_WORDS = re.compile("[A-Z]?[a-z]+")
# Keys that repeat the segment or the label of an annotation in other units.
_REPETITIONS = {"segment", "segmentframe", "segmentframes", "id", *LABEL_NUMBERS}
_REPETITIONS.update(*(NAMES[role] for role in TIMES))
_TWICE = ("id listed twice", "keep one entry per id", Skipped.ENTRY)
_UNUSABLE = (KeyError, TypeError, ValueError, OverflowError)


class EntryReader(Collector):
    """Reader that makes videos of entries, and counts the keys that it does not understand.

    `usual` are other keys that the format always has, which are not reported.
    """

    def __init__(self, path: Path, usual: frozenset[str] = frozenset()) -> None:
        super().__init__(path)
        self.kept = Ignored()  # keys that are not understood, and kept
        self._usual = usual
        self._taken: Counter[str] = Counter()  # values found under other keys
        self._unlabelled = 0

    def videos(
        self,
        entries: Mapping[str, Any],
        repeated: Iterable[str] = (),
        subsets: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Video]:
        """Yield a video per entry; bad entries, and ids and keys that repeat, become problems.

        `entries` and the `repeated` ids are as `split` returns them. `subsets` replace those of the
        entries, by id.
        """
        for name in repeated:
            self.add_problem(canonical_id(name), self.path, *_TWICE)
        seen: set[str] = set()
        for name, part in entries.items():
            entry, keys = decode(part)
            self.reject_repeated(keys, name)
            try:
                video_id = canonical_id(self.files.stem(name))
                if not isinstance(entry, dict):
                    raise TypeError(f"{entry!r} is not an object")
                if video_id in subsets:
                    entry["subset"] = subsets[video_id]
                video = self._video(video_id, entry)
            except (*_UNUSABLE, RecursionError) as error:
                why = f"bad entry: {f'no {error}' if isinstance(error, KeyError) else error}"
                remedy = "fix or remove the entry"
                self.add_problem(canonical_id(name), self.path, why, remedy, Skipped.VIDEO)
                continue
            if video_id in seen:
                self.add_problem(video_id, self.path, *_TWICE)
                continue
            seen.add(video_id)
            yield video

    def built(
        self,
        format: str,
        videos: Videos,
        document: Mapping[str, Any] | None = None,
        notes: Iterable[str] = (),
    ) -> Annotations:
        """Return the annotations; `notes` follow those about keys and names."""
        path, own_notes = self.path, []
        if self._taken:
            taken = listed((f"{what} ({n:,})" for what, n in self._taken.items()), 12)
            own_notes.append(f"{path}: taken from other keys: {taken}")
        if self._unlabelled:
            own_notes.append(f"{path}: {counted(self._unlabelled, 'annotation')} without a label")
        own_notes += self.kept.notes(path, "{} not understood, which JSON keeps")
        notes = (*own_notes, *self.ignored.notes(path), *notes)
        return self.collected(format, videos, notes, document)

    def reject_repeated(self, keys: Iterable[str], entry: str = "") -> None:
        """Add a problem per key that is repeated in an entry, or in the document beside them."""
        where = f"video {entry!r}" if entry else "the document"
        for key in keys:
            what, remedy = f"key {key!r} occurs twice in {where}", "keep one; the first is read"
            self.add_problem(canonical_id(entry), self.path, what, remedy, Skipped.ENTRY)

    def _video(self, name: str, entry: dict[str, Any]) -> Video:
        if not entry.keys() <= FIELDS:
            entry = self._understood(entry)
        facts: dict[str, Any] = dict.fromkeys((*COUNTS, *RATES))
        for key in facts:
            if entry.get(key) is not None:
                value = number(entry[key], key)
                facts[key] = int(value) if key in COUNTS else value
        duration, (frames, fps) = entry.get("duration"), (facts["frames"], facts["fps"])
        if isinstance(duration, str) and ":" in duration:
            self.clocks.add("durations")
            duration = seconds(duration)
        if duration is None and frames and fps:
            self._taken["duration from frames / fps"] += 1
            duration = frames / fps
        subset = entry.get("subset", "")
        subset = subset.strip() if isinstance(subset, str) else _subset_text(subset)
        return make_video(
            name,
            self._instances(name, entry),
            duration=math.nan if duration is None else number(duration, "duration"),
            subset=canonical_subset(subset),
            **facts,
            extra={key: value for key, value in entry.items() if key not in FIELDS},
        )

    def _understood(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry with fields under their own keys; count other keys that may matter."""
        known = dict(entry)
        if "annotations" not in entry and isinstance(entry.get("actions"), list):
            # a tuple, which JSON lacks, marks an action
            known["annotations"] = [(action,) for action in known.pop("actions")]
            self._taken["annotations from 'actions'"] += 1
        for key in [key for key in known if key not in FIELDS]:
            field, value = _FIELD_OF.get(normalized(key)), entry[key]
            is_given = bool(value) or (field == "subset" and type(value) is int)  # one may be 0
            plain = is_given and isinstance(value, (str, int, float))
            if field and plain and known.get(field) is None:
                known[field] = known.pop(key)
                if key not in self._usual:
                    self._taken[f"{field} from {key!r}"] += 1
            elif bool(value) if isinstance(value, (list, dict)) else _is_telling(key):
                self.kept["keys of videos", key] += 1
        return known

    def _instances(self, video: str, entry: Mapping[str, Any]) -> Iterator[Instance]:
        """Yield the annotations of a video; each one that cannot be used becomes a problem."""
        annotations = entry.get("annotations")
        if not isinstance(annotations, (list, type(None))):
            raise TypeError(f"'annotations' is {annotations!r}, not a list")
        for i, annotation in enumerate(annotations or ()):
            try:
                yield self._instance(annotation)
            except _UNUSABLE as error:
                where = f"{self.path}: video {video!r}, annotation {i}"
                self.add_problem(video, where, error, "fix or remove the annotation")

    def _instance(self, annotation: Any) -> Instance:
        """Return an annotation `{"segment": [start, end], "label": ...}`, or an action."""
        if isinstance(annotation, tuple):  # Charades and MultiTHUMOS
            (action,) = annotation
            is_action = isinstance(action, list) and len(action) == 3
            if not is_action or not isinstance(action[0], (int, str)):
                raise ValueError(f"action {action!r} is not [class, start, end]")
            annotation = {"label": str(action[0]), "segment": action[1:]}
        if not isinstance(annotation, dict):
            raise TypeError(f"annotation {annotation!r} is not an object")
        label = annotation.get("label")
        if len(annotation) > 2 or not isinstance(label, str) or label.isdecimal():
            label = self._label_of(annotation)
        segment = annotation["segment"] if "segment" in annotation else self._segment_of(annotation)
        if isinstance(segment, list) and len(segment) == 2:
            start, end = (t if type(t) is float else self._time(t) for t in segment)
            if start is not None and end is not None:
                return start, end, label.strip()
        raise ValueError(f"segment {segment!r} is not [start, end] in seconds")

    def _time(self, value: Any) -> Any:
        """Return a time in seconds from a number, a quoted number or a clock; None for others."""
        if isinstance(value, str):
            if ":" in value:
                self.clocks.add("times")
            return seconds(value)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if is_number else None

    def _segment_of(self, annotation: Mapping[str, Any]) -> list[Any]:
        """Return the values of the keys that mean start and end."""
        by_name = {normalized(key): key for key in annotation}
        keys = [next((by_name[n] for n in NAMES[role] if n in by_name), None) for role in TIMES]
        if None in keys:
            raise KeyError("segment")
        self._taken[f"segment from {' and '.join(map(repr, keys))}"] += 1
        return [annotation[key] for key in keys if key is not None]

    def _label_of(self, annotation: Mapping[str, Any]) -> str:
        """Return the name of the class, or its number if there is no name; count the other keys.

        The label is the first value that has words, or else the first one that is filled.
        """
        by_name = {normalized(key): key for key in annotation}
        keys = [by_name[n] for n in ("label", *NAMES["label"], *LABEL_NUMBERS) if n in by_name]
        filled = {key: annotation[key] for key in keys if annotation[key] not in (None, "")}
        words = (k for k, v in filled.items() if isinstance(v, str) and not v.isdecimal())
        key = next(words, next(iter(filled), None))
        value = "" if key is None else filled[key]
        if isinstance(value, (list, dict)):
            raise TypeError(f"label {value!r} is not text or a number")
        if key is None and annotation.get("label") is None:
            self._unlabelled += 1
        elif key not in (None, "label"):
            self._taken[f"label from {key!r}"] += 1
        for other in annotation:
            if other not in (key, "label") and normalized(other) not in _REPETITIONS:
                self.ignored["keys of annotations", other] += 1
        return str(value)


def _subset_text(value: Any) -> str:
    """Return a subset that is a number, or a list with one of them, as text."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    if isinstance(value, (list, dict)):
        raise TypeError(f"'subset' is {value!r}, not one name")
    return "" if value is None else str(value).strip()


@lru_cache(1000)
def _is_telling(key: str) -> bool:
    return not _TELLING.isdisjoint(word.lower() for word in _WORDS.findall(key))
