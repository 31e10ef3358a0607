"""Jobs as they are kept: rows of the database, uploads beside it."""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from actspan.server.answers import JobAnswer, State, Wish
from actspan.server.database import Database
from actspan.server.formats import Kind

UPLOADS = "uploads"
_ATTEMPTS = 3  # how often a job may bring the service down before it is given up
_SELECT = (
    "SELECT id, name, kind, state, progress, size, created, started, finished, error FROM jobs "
)
_COUNT = "SELECT count(*) FROM jobs "
_IN_STATE = "WHERE (?1 IS NULL OR state = ?1) "


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is to be done now."""

    id: str
    kind: Kind
    wish: Wish


class JobStore:
    """The jobs of a data folder. What a method did is on the disk when it returns.

    Parameters
    ----------
    database : Database
    folder : Path
        The data folder; uploads lie in `uploads/`, named by their job.
    kept : int
        Finished jobs that are kept.
    """

    def __init__(self, database: Database, folder: Path, kept: int) -> None:
        self._database, self._kept = database, kept
        self._uploads = folder / UPLOADS
        self._uploads.mkdir(exist_ok=True)

    def new_id(self) -> str:
        """An id that nobody can guess."""
        return uuid.uuid4().hex

    def upload(self, job: str) -> Path:
        """Where a job's upload lies."""
        return self._uploads / job

    def features(self, job: str) -> Path:
        """Where a job's features lie once they are decoded."""
        return self._uploads / f"{job}.features.npy"

    def add(self, job: str, name: str, kind: Kind, wish: Wish, size: int) -> JobAnswer:
        """Accept a job whose upload is on the disk."""
        values = (job, name, kind, msgspec.json.encode(wish).decode(), size, time.time())
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO jobs (id, name, kind, wish, size, created, state) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued')",
                values,
            )
        found = self.find(job)
        assert found is not None
        return found

    def find(self, job: str) -> JobAnswer | None:
        """A job, or None."""
        rows = self._database.rows(_SELECT + "WHERE id = ?", job)
        return _answer(rows[0]) if rows else None

    def listed(self, state: State | None, limit: int, offset: int) -> tuple[list[JobAnswer], int]:
        """Jobs, newest first, and how many there are in all."""
        page = _IN_STATE + "ORDER BY created DESC, id LIMIT ?2 OFFSET ?3"
        rows = self._database.rows(_SELECT + page, state, limit, offset)
        ((total,),) = self._database.rows(_COUNT + _IN_STATE, state)
        return list(map(_answer, rows)), total

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(("queued", "running", "done", "failed"), 0) | dict(map(tuple, found))

    def result(self, job: str) -> bytes | None:
        """The answer of a job that is done, JSON."""
        rows = self._database.rows("SELECT result FROM jobs WHERE id = ? AND state = 'done'", job)
        return rows[0][0] if rows else None

    def recover(self) -> None:
        """After a start: take up what was interrupted, remove uploads that were never accepted."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'failed', finished = ?, error = ? "
                "WHERE state = 'running' AND attempts >= ?",
                (time.time(), f"the service ended {_ATTEMPTS} times while it ran", _ATTEMPTS),
            )
            connection.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
        wanted = {
            row[0] for row in self._database.rows("SELECT id FROM jobs WHERE state = 'queued'")
        }
        for path in self._uploads.iterdir():
            if path.name.split(".")[0] not in wanted:
                path.unlink()

    def claim(self) -> Claimed | None:
        """The job that waits longest, now running; None where none waits."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1 "
                "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY created LIMIT 1) "
                "RETURNING id, kind, wish",
                (time.time(),),
            ).fetchone()
        if row is None:
            return None
        return Claimed(row["id"], row["kind"], msgspec.json.decode(row["wish"], type=Wish))

    def put_back(self, job: str) -> None:
        """A job that was interrupted in good order: it waits again, and this was no attempt."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', attempts = attempts - 1 WHERE id = ?", (job,)
            )

    def note_progress(self, job: str, progress: float) -> None:
        """How far a job is, in [0, 1]."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE jobs SET progress = ? WHERE id = ?", (progress, job))

    def finish(self, job: str, *, result: bytes | None = None, error: str | None = None) -> None:
        """Keep a job's result, or why it failed; the oldest finished jobs beyond the limit go."""
        state = "failed" if result is None else "done"
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, result = ?, error = ?, finished = ?, "
                "progress = CASE ? WHEN 'done' THEN 1 ELSE progress END WHERE id = ?",
                (state, result, error, time.time(), state, job),
            )
            connection.execute(
                "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs "
                "WHERE state IN ('done', 'failed') ORDER BY finished DESC LIMIT -1 OFFSET ?)",
                (self._kept,),
            )
        self.drop_files(job)

    def remove(self, job: str) -> bool:
        """Forget a job; whether there was one."""
        with self._database.transaction() as connection:
            gone = connection.execute("DELETE FROM jobs WHERE id = ?", (job,)).rowcount
        self.drop_files(job)
        return gone > 0

    def drop_files(self, job: str) -> None:
        """Remove what a job needs no more."""
        for path in (self.upload(job), self.features(job)):
            path.unlink(missing_ok=True)


def _answer(row: sqlite3.Row) -> JobAnswer:
    return JobAnswer(**{key: row[key] for key in row.keys()})  # noqa: SIM118  a Row is no mapping
