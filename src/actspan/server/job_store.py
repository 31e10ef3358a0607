"""Storage of jobs: rows of the database, and files of uploads."""

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
_ATTEMPTS = 3  # starts of a job that end with the service, before the job fails
_SELECT = (
    "SELECT id, name, kind, state, progress, size, created, started, finished, error FROM jobs "
)
_COUNT = "SELECT count(*) FROM jobs "
_IN_STATE = "WHERE (?1 IS NULL OR state = ?1) "


@dataclass(frozen=True, slots=True)
class Claimed:
    """Job to run now."""

    id: str
    kind: Kind
    wish: Wish


class JobStore:
    """Jobs of a data folder. The effect of a method is on disk when it returns.

    Parameters
    ----------
    database : Database
    folder : Path
        Data folder; uploads are in `uploads/`, named by their job.
    kept : int
        Number of finished jobs to keep.
    """

    def __init__(self, database: Database, folder: Path, kept: int) -> None:
        self._database, self._kept = database, kept
        self._uploads = folder / UPLOADS
        self._uploads.mkdir(exist_ok=True)

    def new_id(self) -> str:
        """Return an id that nobody can guess."""
        return uuid.uuid4().hex

    def upload(self, job: str) -> Path:
        """Return the path of a job's upload."""
        return self._uploads / job

    def features(self, job: str) -> Path:
        """Return the path of a job's decoded features."""
        return self._uploads / f"{job}.features.npy"

    def add(self, job: str, name: str, kind: Kind, wish: Wish, size: int) -> JobAnswer:
        """Accept a job whose upload is on disk."""
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
        """Return a job, or None."""
        rows = self._database.rows(_SELECT + "WHERE id = ?", job)
        return _answer(rows[0]) if rows else None

    def listed(self, state: State | None, limit: int, offset: int) -> tuple[list[JobAnswer], int]:
        """Return jobs, newest first, and the number of all jobs in this state."""
        page = _IN_STATE + "ORDER BY created DESC, id LIMIT ?2 OFFSET ?3"
        rows = self._database.rows(_SELECT + page, state, limit, offset)
        ((total,),) = self._database.rows(_COUNT + _IN_STATE, state)
        return list(map(_answer, rows)), total

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        found = self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(("queued", "running", "done", "failed"), 0) | dict(map(tuple, found))

    def result(self, job: str) -> bytes | None:
        """Return the answer of a job that is done, JSON, or None."""
        rows = self._database.rows("SELECT result FROM jobs WHERE id = ? AND state = 'done'", job)
        return rows[0][0] if rows else None

    def recover(self) -> None:
        """Queue interrupted jobs again, and remove uploads that were never accepted."""
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
        """Return the oldest queued job, now marked as running, or None."""
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
        """Queue a job again after an orderly stop, without counting an attempt."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', attempts = attempts - 1 WHERE id = ?", (job,)
            )

    def note_progress(self, job: str, progress: float) -> None:
        """Record the progress of a job, in [0, 1]."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE jobs SET progress = ? WHERE id = ?", (progress, job))

    def finish(self, job: str, *, result: bytes | None = None, error: str | None = None) -> None:
        """Store a job's result or error; delete the oldest finished jobs beyond the limit."""
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
        """Remove a job; return whether it existed."""
        with self._database.transaction() as connection:
            gone = connection.execute("DELETE FROM jobs WHERE id = ?", (job,)).rowcount
        self.drop_files(job)
        return gone > 0

    def drop_files(self, job: str) -> None:
        """Remove files that a job needs no more."""
        for path in (self.upload(job), self.features(job)):
            path.unlink(missing_ok=True)


def _answer(row: sqlite3.Row) -> JobAnswer:
    return JobAnswer(**{key: row[key] for key in row.keys()})  # noqa: SIM118  a Row is no mapping
