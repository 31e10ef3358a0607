"""Segments that people corrected, stored in the service's database."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from actspan.core.errors import ConfigError, DataError
from actspan.server.database import Database

MOST_SEGMENTS, LONGEST_LABEL, LATEST = 10_000, 200, 1e7  # per video; characters; seconds

Segment = tuple[float, float, str]  # start and end in seconds, label


class StaleCorrectionError(DataError):
    """Error of a change that is based on an outdated revision."""


class Correction(NamedTuple):
    """Instances of a video as a person corrected them.

    Attributes
    ----------
    revision : int
        Number of changes so far; the next change must state it.
    segments : tuple of (start, end, label)
        Seconds, sorted by start.
    changed : str
        Time of the change, ISO 8601, UTC.
    """

    revision: int
    segments: tuple[Segment, ...]
    changed: str


class Corrections:
    """Corrections of all videos, by id; safe to use from several threads.

    Examples
    --------
    >>> corrections = Corrections(Database(Path("actspan-serve")))  # doctest: +SKIP
    >>> corrections.put("video_1", [(12.5, 60.0, "jump")], revision=0).revision  # doctest: +SKIP
    1
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, video: str) -> Correction | None:
        """Return the corrections of a video, or None if it has none or they were removed."""
        query = "SELECT revision, segments, changed FROM corrections WHERE video = ?"
        rows = self._database.rows(query, video)
        return _correction(*rows[0]) if rows and rows[0][1] is not None else None

    def revision(self, video: str) -> int:
        """Return the number of changes to a video's corrections."""
        rows = self._database.rows("SELECT revision FROM corrections WHERE video = ?", video)
        return int(rows[0][0]) if rows else 0

    def ids(self) -> frozenset[str]:
        """Return the ids of corrected videos."""
        rows = self._database.rows("SELECT video FROM corrections WHERE segments IS NOT NULL")
        return frozenset(str(row[0]) for row in rows)

    def all(self) -> dict[str, Correction]:
        """Return the corrections of all corrected videos, by id."""
        rows = self._database.rows(
            "SELECT video, revision, segments, changed FROM corrections "
            "WHERE segments IS NOT NULL ORDER BY video"
        )
        return {str(video): _correction(*rest) for video, *rest in rows}

    def put(self, video: str, segments: Sequence[Segment], *, revision: int) -> Correction:
        """Replace a video's corrections.

        Parameters
        ----------
        video : str
        segments : sequence of (start, end, label)
            Seconds, in any order; an empty sequence says that the video has no instances.
        revision : int
            Revision that was edited: that of `get`, 0 if there was none.

        Raises
        ------
        ConfigError
            A segment has no length, starts before the video or has a label that is too long, or
            there are too many segments.
        StaleCorrectionError
            The revision is not the newest.
        """
        _check(segments)
        ordered = tuple(sorted(segments))
        text = json.dumps(ordered, ensure_ascii=True, allow_nan=False)
        return Correction(revision + 1, ordered, self._write(video, text, revision))

    def remove(self, video: str, *, revision: int) -> None:
        """Remove a video's corrections; raise as `put`."""
        self._write(video, None, revision)

    def _write(self, video: str, segments: str | None, revision: int) -> str:
        """Store the next revision of a video and return its time."""
        changed = datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.transaction() as connection:
            newest = self.revision(video)
            if revision != newest:
                raise StaleCorrectionError(
                    f"corrections of {video!r} are at revision {newest}, not {revision}: somebody "
                    "else changed them; load them again"
                )
            connection.execute(
                "INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, ?)",
                (video, revision + 1, segments, changed),
            )
        return changed


def _check(segments: Sequence[Segment]) -> None:
    if len(segments) > MOST_SEGMENTS:
        raise ConfigError(f"{len(segments)} segments; at most {MOST_SEGMENTS} per video")
    for start, end, label in segments:
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end <= LATEST):
            raise ConfigError(f"segment [{start:g}, {end:g}] s: 0 <= start < end is needed")
        if len(label) > LONGEST_LABEL:
            raise ConfigError(f"a label of {len(label)} characters; at most {LONGEST_LABEL}")


def _correction(revision: int, segments: str, changed: str) -> Correction:
    loaded = tuple((float(s), float(e), str(label)) for s, e, label in json.loads(segments))
    return Correction(revision, loaded, changed)
