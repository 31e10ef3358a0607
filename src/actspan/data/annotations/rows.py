"""Videos assembled from rows, of which most formats of annotations consist."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from actspan.core.problems import Problem, Skipped
from actspan.data.annotations.base import Instance, canonical_id, check_segment, make_video
from actspan.data.names import FileNames
from actspan.data.videos import Videos

_CLIP = "cut it off with actspan annotate convert --clip, or fix the row"


class Facts(NamedTuple):
    """Facts about a video that a row may give beside a segment."""

    duration: float | None = None
    subset: str | None = None
    fps: float | None = None
    frames: int | None = None


class RefusedError(ValueError):
    """A row cannot be used, for a reason with its own remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


class Rows:
    """Videos assembled from rows, in order of first mention.

    A row is used as a whole or not at all: every fault is a problem with its place.

    Parameters
    ----------
    will_clip : bool
        Whether segments may start before their video, because they will be clipped.
    """

    def __init__(self, *, will_clip: bool = False) -> None:
        self._will_clip = will_clip
        self._facts: dict[str, dict[str, Any]] = {}
        self._instances: dict[str, list[Instance]] = {}
        self._ids: dict[str, str] = {}  # by the names in rows
        self._files = FileNames()
        self.problems: list[Problem] = []

    def __contains__(self, name: str) -> bool:
        return canonical_id(name) in self._facts

    def add(self, name: str, instance: Instance | None = None, facts: Facts | None = None) -> None:
        """Add a row: a segment of a video, or None for a mention of the video alone.

        Raises
        ------
        ValueError
            The row has no video, a segment without length, or contradicts an earlier row.
        """
        name = self._ids.get(name) or self._id_of(name)
        if not name:
            raise RefusedError("no video id", "repeat the id in each row")
        if instance is not None:
            self._check(*instance[:2])
        said = {k: v for k, v in (facts or Facts())._asdict().items() if v is not None}
        known = self._facts.get(name, {})
        for key, value in said.items():
            if known.get(key, value) != value:
                raise ValueError(f"{key} {value!r}, but {known[key]!r} in an earlier row")
        self._facts.setdefault(name, {}).update(said)
        self._instances.setdefault(name, [])
        if instance is not None:
            self._instances[name].append(instance)

    def _check(self, start: float, end: float) -> None:
        try:
            check_segment(start, end, may_be_early=self._will_clip)
        except ValueError as error:
            if start < 0 < end:
                raise RefusedError(str(error), _CLIP) from error
            raise

    def _id_of(self, name: str) -> str:
        found = canonical_id(self._files.stem(name.strip()))
        self._ids[name] = found
        return found

    def refuse(
        self, video: str, where: str, what: object, skipped: Skipped = Skipped.SEGMENT
    ) -> None:
        """Add the problem that a row, or a whole file, cannot be used."""
        remedy = "fix or remove the row" if skipped is Skipped.SEGMENT else "fix or remove it"
        remedy = what.remedy if isinstance(what, RefusedError) else remedy
        self.problems.append(
            Problem(canonical_id(video.strip()), where, str(what), remedy, skipped)
        )

    def notes(self, where: object) -> tuple[str, ...]:
        """Return notes about ids that were shortened."""
        return self._files.notes(where)

    def videos(self) -> Videos:
        """Return all videos that occur in a usable row."""
        return Videos(
            make_video(name, self._instances[name], **{"duration": math.nan, "subset": "", **facts})
            for name, facts in self._facts.items()
        )
