"""Segments that people corrected, kept in the data directory's SQLite database."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

from actspan.errors import ConfigError, DataError

MOST_SEGMENTS, LONGEST_LABEL, LATEST = 10_000, 200, 1e7  # a video; characters; seconds

Segment = tuple[float, float, str]  # start and end in seconds, label

_TABLE = """CREATE TABLE IF NOT EXISTS corrections (
    video TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    segments TEXT,  -- JSON: [[start, end, label], ...]; NULL once they were taken back
    changed TEXT NOT NULL
) STRICT"""


class StaleCorrectionError(DataError):
    """Somebody else changed a video's corrections meanwhile."""


class Correction(NamedTuple):
    """What a person says is in a video.

    Attributes
    ----------
    revision : int
        Counts the changes; the next change has to name it.
    segments : tuple of (start, end, label)
        Seconds, by start.
    changed : str
        When, ISO 8601, UTC.
    """

    revision: int
    segments: tuple[Segment, ...]
    changed: str


class Corrections:
    """The corrections of all videos, by id; safe to use from several threads.

    Parameters
    ----------
    path : Path
        The database file; it is made if it is not there.

    Raises
    ------
    DataError
        It cannot be opened, or is no database.

    Examples
    --------
    >>> kept = Corrections(Path("actspan.sqlite"))  # doctest: +SKIP
    >>> kept.put("video_1", [(12.5, 60.0, "jump")], revision=0).revision  # doctest: +SKIP
    1
    """

    FILE: ClassVar = "actspan.sqlite"  # in the data folder

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=10
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{path}: cannot keep corrections: {error}") from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def get(self, video: str) -> Correction | None:
        """The corrections of a video; None where it was never corrected, or they were removed."""
        query = "SELECT revision, segments, changed FROM corrections WHERE video = ?"
        rows = self._rows(query, video)
        return _correction(*rows[0]) if rows and rows[0][1] is not None else None

    def revision(self, video: str) -> int:
        """How often a video's corrections were changed."""
        rows = self._rows("SELECT revision FROM corrections WHERE video = ?", video)
        return int(rows[0][0]) if rows else 0

    def ids(self) -> frozenset[str]:
        """Videos that were corrected."""
        rows = self._rows("SELECT video FROM corrections WHERE segments IS NOT NULL")
        return frozenset(str(row[0]) for row in rows)

    def all(self) -> dict[str, Correction]:
        """The corrections of every video that was corrected, by id."""
        rows = self._rows(
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
            Seconds, in any order; none says that nothing is in the video.
        revision : int
            What the change was made on: that of `get`, 0 where there was none.

        Raises
        ------
        ConfigError
            A segment has no length, starts before the video, or its label is too long; or there
            are too many.
        StaleCorrectionError
            It is not the newest revision.
        """
        kept = tuple(sorted(_checked(segments)))
        text = json.dumps(kept, ensure_ascii=True, allow_nan=False)
        changed = self._write(video, text, revision)
        return Correction(revision + 1, kept, changed)

    def remove(self, video: str, *, revision: int) -> None:
        """Forget a video's corrections; raises as `put`."""
        self._write(video, None, revision)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def _write(self, video: str, segments: str | None, revision: int) -> str:
        """Keep the next revision of a video; when that was."""
        changed = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock, self._database:  # one transaction: all or nothing
            self._database.execute("BEGIN IMMEDIATE")  # others may write to the file too
            row = self._database.execute(
                "SELECT revision FROM corrections WHERE video = ?", (video,)
            ).fetchone()
            newest = row[0] if row else 0
            if revision != newest:
                raise StaleCorrectionError(
                    f"corrections of {video!r} are at revision {newest}, not {revision}: somebody "
                    "else changed them; load them again"
                )
            self._database.execute(
                "INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, ?)",
                (video, revision + 1, segments, changed),
            )
        return changed


def _checked(segments: Sequence[Segment]) -> Sequence[Segment]:
    if len(segments) > MOST_SEGMENTS:
        raise ConfigError(f"{len(segments)} segments; at most {MOST_SEGMENTS} a video")
    for start, end, label in segments:
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end <= LATEST):
            raise ConfigError(f"segment [{start:g}, {end:g}] s: 0 <= start < end is needed")
        if len(label) > LONGEST_LABEL:
            raise ConfigError(f"a label of {len(label)} characters; at most {LONGEST_LABEL}")
    return segments


def _correction(revision: int, segments: str, changed: str) -> Correction:
    kept = tuple((float(s), float(e), str(label)) for s, e, label in json.loads(segments))
    return Correction(revision, kept, changed)
