"""Jobs in the database: of uploads, and of the served videos."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, Field

from actspan.server.database import Database
from actspan.server.error_responses import ProblemError

State = Literal["queued", "running", "done", "failed"]

_ATTEMPTS = 3  # starts of a job that end with the service, before the job fails
_SELECT = (
    "SELECT id, name, kind, state, progress, size, created, started, finished, error, status "
    "FROM jobs "
)
_COUNT = "SELECT count(*) FROM jobs "


class JobAnswer(BaseModel):
    """Job: times are seconds since 1970, progress is in [0, 1], size is the upload's, bytes."""

    id: str
    name: str
    kind: Literal["npy", "arrow", "video", "propose", "train"]
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
    """Job to run now, with the options that it was accepted with."""

    id: str
    name: str
    kind: str
    options: dict[str, Any]


class JobStore:
    """Jobs of a family, "upload" or "work", of which the newest `kept` finished ones are kept.

    The effect of a method is on disk when it returns.
    """

    def __init__(self, database: Database, family: str, kept: int) -> None:
        self._database, self._family, self._kept = database, family, kept

    @property
    def can_write(self) -> bool:
        """Return True unless the database is known to be full or locked."""
        return self._database.fault is None

    def new_id(self) -> str:
        """Return an id that cannot be guessed."""
        return uuid.uuid4().hex

    def add(self, job: str, name: str, kind: str, options: dict[str, Any], size: int = 0) -> None:
        """Accept a job."""
        self._database.execute(
            "INSERT INTO jobs (id, family, name, kind, wish, size, created, state) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued')",
            *(job, self._family, name, kind, json.dumps(options), size, time.time()),
        )

    def _row(self, job: str) -> dict[str, Any]:
        for row in self._database.rows(_SELECT + "WHERE family = ? AND id = ?", self._family, job):
            return dict(row)
        raise ProblemError(404, f"there is no job {job}; it was removed, or never accepted")

    def find(self, job: str) -> JobAnswer:
        """Return a job, or raise ProblemError (404)."""
        return JobAnswer(**self._row(job))

    def page(self, state: State | None, limit: int, offset: int) -> JobList:
        """Return some jobs in a state, or in any."""
        chosen = "WHERE family = ? AND state = coalesce(?, state) "
        page = chosen + "ORDER BY created DESC, id LIMIT ? OFFSET ?"
        rows = self._database.rows(_SELECT + page, self._family, state, limit, offset)
        ((total,),) = self._database.rows(_COUNT + chosen, self._family, state)
        return JobList(jobs=[JobAnswer(**row) for row in rows], total=total)

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        query = "SELECT state, count(*) FROM jobs WHERE family = ? GROUP BY state"
        rows = self._database.rows(query, self._family)
        return dict.fromkeys(get_args(State), 0) | dict(map(tuple, rows))

    def result(self, job: str) -> bytes | None:
        """Return the answer of a job that is done, JSON, or None."""
        rows = self._database.rows("SELECT result FROM jobs WHERE id = ? AND state = 'done'", job)
        return rows[0]["result"] if rows else None

    def recover(self) -> None:
        """Queue interrupted jobs again, except those that ended the service several times."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'failed', finished = ?, error = ? "
                "WHERE family = ? AND state = 'running' AND attempts >= ?",
                (
                    *(time.time(), f"the service ended {_ATTEMPTS} times while it ran"),
                    *(self._family, _ATTEMPTS),
                ),
            )
            connection.execute(
                "UPDATE jobs SET state = 'queued' WHERE family = ? AND state = 'running'",
                (self._family,),
            )

    def claim(self) -> ClaimedJob | None:
        """Return the oldest queued job, now marked as running, or None."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1 "
                "WHERE id = (SELECT id FROM jobs WHERE family = ? AND state = 'queued' "
                "ORDER BY created LIMIT 1) RETURNING id, name, kind, wish",
                (time.time(), self._family),
            ).fetchone()
        if row is None:
            return None
        return ClaimedJob(row["id"], row["name"], row["kind"], json.loads(row["wish"]))

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
                "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE family = ? "
                "AND state IN ('done', 'failed') ORDER BY finished DESC LIMIT -1 OFFSET ?)",
                (self._family, self._kept),
            )
        self.remove_files(job)

    def remove(self, job: str) -> None:
        """Remove a job, or raise ProblemError (404) if there is none."""
        self._row(job)
        self._database.execute("DELETE FROM jobs WHERE id = ?", job)
        self.remove_files(job)

    def remove_files(self, job: str) -> None:
        """Remove the files that only an unfinished job needs."""


class UploadStore(JobStore):
    """Jobs of uploads, which are files named by their job in a folder."""

    def __init__(self, database: Database, folder: Path, kept: int) -> None:
        super().__init__(database, "upload", kept)
        self._uploads, self._kept_uploads = folder / "uploads", folder / "kept"
        for path in (self._uploads, self._kept_uploads):
            path.mkdir(exist_ok=True)

    def upload(self, job: str) -> Path:
        """Return the path of the upload of a job."""
        return self._uploads / job

    def features(self, job: str) -> Path:
        """Return the path of a job's decoded features."""
        return self._uploads / f"{job}.features.npy"

    def recover(self) -> None:
        """Queue interrupted jobs again, and remove uploads that were never accepted."""
        super().recover()
        queued = self._database.rows("SELECT id FROM jobs WHERE state = 'queued'")
        needed = {row["id"] for row in queued}
        for path in self._uploads.iterdir():
            if path.name.split(".")[0] not in needed:
                path.unlink()
        shown = self._database.rows("SELECT id FROM jobs UNION SELECT id FROM runs")
        ids = {row["id"] for row in shown}
        for path in self._kept_uploads.iterdir():
            if path.stem not in ids:
                path.unlink()

    def keep(self, job: str) -> None:
        """Keep the upload of a job, a video, beyond the end of the job."""
        with self.upload(job).open("rb") as stream:
            is_mp4 = stream.read(8)[4:] == b"ftyp"
        suffix = ".mp4" if is_mp4 else ".webm"  # what browsers play; they look at the name
        os.replace(self.upload(job), self._kept_uploads / f"{job}{suffix}")

    def kept(self, job: str) -> Path | None:
        """Return the kept upload of a job, or None."""
        return next(self._kept_uploads.glob(f"{job}.*"), None)

    def remove(self, job: str) -> None:
        """Remove a job and its files, except those of a run that was made of it."""
        super().remove(job)
        is_run = self._database.rows("SELECT 1 FROM runs WHERE id = ?", job)
        if not is_run and (path := self.kept(job)) is not None:
            path.unlink(missing_ok=True)

    def remove_files(self, job: str) -> None:
        """Remove the upload and the features of a job."""
        for path in (self.upload(job), self.features(job)):
            path.unlink(missing_ok=True)


class EpochLosses(BaseModel):
    """Mean losses of an epoch, counted from 1; no validation loss without held-out videos."""

    epoch: int
    training: float
    validation: float | None


class WorkStatus(BaseModel):
    """State of a job on the served videos, with the losses of its training so far."""

    step: str = Field("", description="Such as 'training TEM'.")
    done: int = 0
    total: int = 0
    note: str = ""
    losses: dict[str, list[EpochLosses]] = Field(
        default_factory=dict,
        description="By network, TEM and PEM.",
    )
    warnings: list[str] = Field([], description="What to know about the result.")


class WorkAnswer(JobAnswer):
    """Job on the served videos. `result` is null before the job is done."""

    status: WorkStatus
    result: dict[str, Any] | None = None


class WorkStore(JobStore):
    """Jobs on the served videos."""

    def __init__(self, database: Database, kept: int) -> None:
        super().__init__(database, "work", kept)

    def find(self, job: str) -> WorkAnswer:
        """Return a job with its status and result, or raise ProblemError (404)."""
        row, result = self._row(job), self.result(job)
        status = WorkStatus.model_validate_json(row.pop("status") or "{}")
        return WorkAnswer(
            **row, status=status, result=None if result is None else json.loads(result)
        )

    def list_all(self) -> list[WorkAnswer]:
        """Return all jobs, newest first."""
        return [self.find(job.id) for job in self.page(None, self._kept, 0).jobs]

    def set_status(self, job: str, progress: float, status: WorkStatus) -> None:
        """Record the progress of a job, in [0, 1], and what it does."""
        self._database.execute(
            "UPDATE jobs SET progress = ?, status = ? WHERE id = ?",
            *(progress, status.model_dump_json(), job),
        )
