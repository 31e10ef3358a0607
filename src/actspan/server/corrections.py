"""Segments that people corrected: their storage in the database, and their routes."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Self

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from actspan.core.types import Video
from actspan.server.database import Database
from actspan.server.error_responses import ProblemError, RequestBody, failures
from actspan.server.library import Library

MOST_SEGMENTS, LONGEST_LABEL, LATEST = 10_000, 200, 1e7  # per video; characters; seconds
_FRAME = 0.1  # seconds; longer than a frame at any usual rate
_DIGITS = 6  # of seconds

VideoId = Annotated[str, Query(alias="id", max_length=1000, description="Id of the video.")]
Seconds = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]
Revision = Annotated[int, Field(ge=0, le=2**53, description="Revision that was edited.")]


class Instance(RequestBody):
    """Labelled segment, seconds, rounded: 5.375 for 5.375000000000001.

    It is the same wherever it comes from: a page, which gets it and sends it back, or a run.
    """

    start: Seconds
    end: Seconds
    label: str = Field("", max_length=LONGEST_LABEL)

    @model_validator(mode="after")
    def refuse_no_length(self) -> Self:
        """Raise ValueError unless the segment has a length."""
        if self.start >= self.end:
            raise ValueError(f"segment [{self.start:g}, {self.end:g}] s: start < end is needed")
        start, end = _rounded(self.start, self.end)
        if start < end:
            self.start, self.end = start, end
        return self

    @classmethod
    def of_truth(cls, video: Video) -> list[Self]:
        """Return the instances of a video of the ground truth, which are not checked again."""
        rounded = [(*_rounded(start, end), label) for start, end, label in video.instances()]
        return [cls.model_construct(start=s, end=e, label=label) for s, e, label in rounded]


def _rounded(start: float, end: float) -> tuple[float, float]:
    return round(start, _DIGITS), round(end, _DIGITS)


class NewCorrections(RequestBody):
    """Segments that replace a video's corrections; none if the video has no instances."""

    revision: Revision
    segments: list[Instance] = Field(max_length=MOST_SEGMENTS)


class Corrected(BaseModel):
    """Corrections of a video, sorted by start; `segments` is null if there are none.

    The next change must state the revision, the number of changes so far. `changed` is the time of
    the last change, ISO 8601, UTC.
    """

    revision: int
    segments: list[Instance] | None
    changed: str | None = None


class Corrections:
    """Corrections of all videos, by id; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, video: str) -> Corrected:
        """Return the corrections of a video."""
        query = "SELECT revision, segments, changed FROM corrections WHERE video = ?"
        for revision, segments, changed in self._database.rows(query, video):
            if segments is None:  # they were removed
                return Corrected(revision=revision, segments=None)
            return Corrected(
                revision=revision, segments=_decode_segments(segments), changed=changed
            )
        return Corrected(revision=0, segments=None)

    def ids(self) -> frozenset[str]:
        """Return the ids of corrected videos."""
        rows = self._database.rows("SELECT video FROM corrections WHERE segments IS NOT NULL")
        return frozenset(str(row[0]) for row in rows)

    def all(self) -> dict[str, list[Instance]]:
        """Return the segments of all corrected videos, by id."""
        rows = self._database.rows(
            "SELECT video, segments FROM corrections WHERE segments IS NOT NULL ORDER BY video"
        )
        return {str(video): _decode_segments(segments) for video, segments in rows}

    def put(self, video: str, segments: Sequence[Instance] | None, *, revision: int) -> Corrected:
        """Replace a video's corrections, or remove them; return the new ones.

        Raises ProblemError (409) if `revision`, which was edited (0 for none), is not the newest.
        """
        with self._database.transaction() as connection:
            return self.replace(connection, video, segments, revision=revision)

    def check_revision(self, video: str, revision: int) -> None:
        """Raise ProblemError (409) if a revision is not the newest."""
        newest = self.get(video).revision
        if revision != newest:
            raise ProblemError(
                409,
                f"corrections of {video!r} are at revision {newest}, not {revision}: someone "
                "else changed them; load them again",
            )

    def replace(
        self,
        connection: sqlite3.Connection,
        video: str,
        segments: Sequence[Instance] | None,
        *,
        revision: int,
    ) -> Corrected:
        """Do what `put` does, as a part of a transaction."""
        text = None
        if segments is not None:
            rows = sorted((segment.start, segment.end, segment.label) for segment in segments)
            text = json.dumps(rows, ensure_ascii=True, allow_nan=False)
        changed = datetime.now(UTC).isoformat(timespec="seconds")
        self.check_revision(video, revision)
        connection.execute(
            "INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, ?)",
            (video, revision + 1, text, changed),
        )
        return self.get(video)


def _decode_segments(segments: str) -> list[Instance]:
    rows = json.loads(segments)
    return [Instance(start=start, end=end, label=label) for start, end, label in rows]


def add_corrections(router: APIRouter, library: Library, corrections: Corrections) -> None:
    """Add the routes that read, replace and remove corrections."""

    @router.get("/corrections", responses=failures(404, 422))
    def read_corrections(name: VideoId) -> Corrected:
        """Return the corrections of a video."""
        library.video(name)
        return corrections.get(name)

    @router.put("/corrections", responses=failures(404, 409, 422, 507))
    def replace_corrections(name: VideoId, new: NewCorrections) -> Corrected:
        """Replace the corrections of a video; no new segment may end after it."""
        known = corrections.get(name).segments or ()
        check_ends(library, name, [one for one in new.segments if one not in known])
        corrected = corrections.put(name, new.segments, revision=new.revision)
        library.correct({name: corrected_video(library, name, corrected.segments or ())})
        return corrected

    @router.delete("/corrections", responses=failures(404, 409, 422, 507))
    def remove_corrections(name: VideoId, revision: Annotated[Revision, Query()]) -> Corrected:
        """Remove the corrections of a video."""
        library.video(name)
        removed = corrections.put(name, None, revision=revision)
        library.correct({name: None})
        return removed


def corrected_videos(
    library: Library, corrections: Corrections, *, everything: bool = False
) -> list[Video]:
    """Return the videos with corrected instances and all other facts of the ground truth.

    They are in the order of the ground truth, then others by id. With `everything`, videos without
    corrections are among them, with the instances of the ground truth.
    """
    segments_by_id = corrections.all()
    names = [name for name in library.truth if everything or name in segments_by_id]
    names += [name for name in segments_by_id if name not in library.truth]
    return [
        corrected_video(library, name, segments_by_id[name])
        if name in segments_by_id
        else library.truth[name]
        for name in names
    ]


def corrected_video(library: Library, name: str, instances: Sequence[Instance]) -> Video:
    """Return a video with corrected instances and all other facts of the ground truth."""
    video = library.truth.get(name)
    if video is None:
        video = Video(name, library.seconds(name) if name in library.ids else math.nan)
    segments = np.array([(instance.start, instance.end) for instance in instances], np.float64)
    labels = tuple(instance.label for instance in instances)
    return replace(video, segments=segments, labels=labels, scores=None)


def check_ends(library: Library, name: str, segments: Iterable[Instance]) -> None:
    """Raise ProblemError (422) if a segment that is not in the ground truth ends after the video.

    One frame more is no error. The end is known if a file, the annotations or curves say it.
    """
    truth = {(one.start, one.end) for one in Instance.of_truth(library.video(name))}
    length = library.last_end(name)
    for one in segments:
        if one.end > length + _FRAME and (one.start, one.end) not in truth:
            raise ProblemError(
                422,
                f"segment [{one.start:g}, {one.end:g}] s ends after the video, which is "
                f"{length:.2f} s long; let it end there",
            )
