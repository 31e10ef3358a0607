"""Database of the service, one SQLite file with a versioned schema, and the jobs that it stores.

Every change is durable before the call that makes it returns (WAL, synchronous=FULL). An answered
request therefore survives `kill -9` and a power failure.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import RLock
from typing import IO, Literal, NamedTuple, get_args

from pydantic import BaseModel

from actspan.core.errors import DataError
from actspan.server.error_responses import ProblemError
from actspan.server.proposal_answers import JobOptions
from actspan.server.uploads import Kind

State = Literal["queued", "running", "done", "failed"]

FILE, LOCK = "actspan.sqlite", "lock"
_ATTEMPTS = 3  # starts of a job that end with the service, before the job fails
_SELECT = (
    "SELECT id, name, kind, state, progress, size, created, started, finished, error FROM jobs "
)

# Each script raises the schema by one version. Append scripts, but never edit one: existing files
# have already run it.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        wish TEXT NOT NULL,      -- JSON: stride, length, top, min_score
        size INTEGER NOT NULL,   -- bytes of the upload
        state TEXT NOT NULL,
        progress REAL NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,   -- seconds since 1970
        started REAL,
        finished REAL,
        error TEXT,
        result BLOB              -- JSON, as it is answered
    );
    CREATE INDEX jobs_by_state ON jobs (state, created);
    """,
    """
    CREATE TABLE corrections (
        video TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        segments TEXT,           -- JSON: [[start, end, label], ...]; NULL after their removal
        changed TEXT NOT NULL    -- ISO 8601, UTC
    );
    """,
)


class Database:
    """Connection that threads share; the folder belongs to this process until `close`.

    Raises DataError if the folder cannot be used, another service uses it, or the file is damaged
    or of a newer version.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = RLock()
        path = folder / FILE
        with ExitStack() as opened:  # everything is closed again if a step fails
            self._owner = opened.enter_context(_lock_folder(folder))
            try:
                self._connection = opened.enter_context(
                    closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
                )
                self._prepare(path)
            except sqlite3.Error as error:
                raise DataError(
                    f"{path}: cannot be used: {error}; move it away to start with an empty one, or "
                    "restore a backup"
                ) from error
            opened.pop_all()

    def _prepare(self, path: Path) -> None:
        self._connection.row_factory = sqlite3.Row
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {setting}")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise DataError(f"{path}: was written by a newer version of ActSpan; update this one")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;"
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run all statements of the block, or none; they are on disk when it ends."""
        with self._lock, self._connection:  # commits, or rolls back after an exception
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    def execute(self, statement: str, *values: object) -> int:
        """Run one statement in a transaction, and return the number of changed rows."""
        with self.transaction() as connection:
            return connection.execute(statement, values).rowcount

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows that a SELECT finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file and release the folder. May be called twice."""
        with self._lock:
            self._connection.close()
            self._owner.close()


def _lock_folder(folder: Path) -> IO[bytes]:
    """Create the folder and lock it against a second service."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        owner = (folder / LOCK).open("wb")
    except OSError as error:
        raise DataError(f"{folder}: cannot be used for data: {error.strerror}") from error
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner.close()
        raise DataError(
            f"{folder}: another service uses it; stop that one, or choose another --data"
        ) from error
    return owner


class JobAnswer(BaseModel):
    """Job: times are seconds since 1970, progress is in [0, 1], size is the upload's, bytes."""

    id: str
    name: str
    kind: Literal["npy", "arrow", "video"]
    state: State
    progress: float
    size: int
    created: float
    started: float | None = None
    finished: float | None = None
    error: str | None = None


class JobList(BaseModel):
    """Jobs, newest first, and the number of all jobs."""

    jobs: list[JobAnswer]
    total: int


class ClaimedJob(NamedTuple):
    """Job to run now."""

    id: str
    kind: Kind
    options: JobOptions


class JobStore:
    """Jobs of a data folder, of which the newest `kept` finished ones are kept.

    The effect of a method is on disk when it returns. Uploads are files named by their job.
    """

    def __init__(self, database: Database, folder: Path, kept: int) -> None:
        self._database, self._kept = database, kept
        self._uploads = folder / "uploads"
        self._uploads.mkdir(exist_ok=True)

    def new_id(self) -> str:
        """Return an id that cannot be guessed."""
        return uuid.uuid4().hex

    def upload(self, job: str) -> Path:
        """Return the path of the upload of a job."""
        return self._uploads / job

    def features(self, job: str) -> Path:
        """Return the path of a job's decoded features."""
        return self._uploads / f"{job}.features.npy"

    def add(self, job: str, name: str, kind: Kind, options: JobOptions, size: int) -> None:
        """Accept a job whose upload is on disk."""
        stored = options.model_dump_json(include=set(JobOptions.model_fields))
        self._database.execute(
            "INSERT INTO jobs (id, name, kind, wish, size, created, state) "
            "VALUES (?, ?, ?, ?, ?, ?, 'queued')",
            *(job, name, kind, stored, size, time.time()),
        )

    def find(self, job: str) -> JobAnswer:
        """Return a job, or raise ProblemError (404)."""
        for row in self._database.rows(_SELECT + "WHERE id = ?", job):
            return JobAnswer(**row)
        raise _no_such_job(job)

    def page(self, state: State | None, limit: int, offset: int) -> JobList:
        """Return some jobs in a state, or in any."""
        page = "WHERE (?1 IS NULL OR state = ?1) ORDER BY created DESC, id LIMIT ?2 OFFSET ?3"
        rows = self._database.rows(_SELECT + page, state, limit, offset)
        count = "SELECT count(*) FROM jobs WHERE (?1 IS NULL OR state = ?1)"
        ((total,),) = self._database.rows(count, state)
        return JobList(jobs=[JobAnswer(**row) for row in rows], total=total)

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        rows = self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state")
        return dict.fromkeys(get_args(State), 0) | dict(map(tuple, rows))

    def result(self, job: str) -> bytes | None:
        """Return the answer of a job that is done, JSON, or None."""
        rows = self._database.rows("SELECT result FROM jobs WHERE id = ? AND state = 'done'", job)
        return rows[0]["result"] if rows else None

    def recover(self) -> None:
        """Queue interrupted jobs again, and remove uploads that were never accepted."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'failed', finished = ?, error = ? "
                "WHERE state = 'running' AND attempts >= ?",
                (time.time(), f"the service ended {_ATTEMPTS} times while it ran", _ATTEMPTS),
            )
            connection.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
        needed = {
            row["id"] for row in self._database.rows("SELECT id FROM jobs WHERE state='queued'")
        }
        for path in self._uploads.iterdir():
            if path.name.split(".")[0] not in needed:
                path.unlink()

    def claim(self) -> ClaimedJob | None:
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
        options = JobOptions.model_construct(**json.loads(row["wish"]))  # checked before
        return ClaimedJob(row["id"], row["kind"], options)

    def requeue(self, job: str) -> None:
        """Queue a job again after an orderly stop, without counting an attempt."""
        self._database.execute(
            "UPDATE jobs SET state = 'queued', attempts = attempts - 1 WHERE id = ?", job
        )

    def set_progress(self, job: str, progress: float) -> None:
        """Record the progress of a job, in [0, 1]."""
        self._database.execute("UPDATE jobs SET progress = ? WHERE id = ?", progress, job)

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
        self.remove_files(job)

    def remove(self, job: str) -> None:
        """Remove a job, or raise ProblemError (404) if there is none."""
        removed = self._database.execute("DELETE FROM jobs WHERE id = ?", job)
        self.remove_files(job)
        if not removed:
            raise _no_such_job(job)

    def remove_files(self, job: str) -> None:
        """Remove the upload and the features of a job."""
        for path in (self.upload(job), self.features(job)):
            path.unlink(missing_ok=True)


def _no_such_job(job: str) -> ProblemError:
    return ProblemError(404, f"there is no job {job}; it was removed, or never accepted")
