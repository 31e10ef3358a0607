"""Queue of jobs: their storage, and the thread that runs them one after another.

Interrupted jobs are repeated after a restart.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic
from typing import Literal

from pydantic import BaseModel

from actspan.core.errors import ActSpanError
from actspan.data.dataset import Recording
from actspan.data.feature_readers import Entry, read_array
from actspan.data.timebase import SnippetGrid
from actspan.server.database import Database
from actspan.server.decoding import Decoder, StoppedError, Task
from actspan.server.operations import Metrics
from actspan.server.proposals import ProposalOptions, as_json
from actspan.server.served_model import ServedModel
from actspan.server.settings import ServeSettings
from actspan.server.uploads import Kind

State = Literal["queued", "running", "done", "failed"]

_ATTEMPTS = 3  # starts of a job that end with the service, before the job fails
_SELECT = (
    "SELECT id, name, kind, state, progress, size, created, started, finished, error FROM jobs "
)
_COUNT = "SELECT count(*) FROM jobs "
_IN_STATE = "WHERE (?1 IS NULL OR state = ?1) "
log = logging.getLogger("actspan.server")
_UPDATE = 0.5  # seconds between two updates of progress
_DECODING = {"npy": 0.1, "arrow": 0.1, "video": 0.95}  # share of decoding in a job's progress


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


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """Job to run now."""

    id: str
    kind: Kind
    options: ProposalOptions


class JobStore:
    """Jobs of a data folder, of which the newest `kept` finished ones are kept.

    The effect of a method is on disk when it returns. Uploads are files named by their job.
    """

    def __init__(self, database: Database, folder: Path, kept: int) -> None:
        self._database, self._kept = database, kept
        self._uploads = folder / "uploads"
        self._uploads.mkdir(exist_ok=True)

    def new_id(self) -> str:
        """Return an id that nobody can guess."""
        return uuid.uuid4().hex

    def upload(self, job: str) -> Path:
        """Return the path of the upload of a job."""
        return self._uploads / job

    def features(self, job: str) -> Path:
        """Return the path of a job's decoded features."""
        return self._uploads / f"{job}.features.npy"

    def add(self, job: str, name: str, kind: Kind, options: ProposalOptions, size: int) -> None:
        """Accept a job whose upload is on disk."""
        self._database.execute(
            "INSERT INTO jobs (id, name, kind, wish, size, created, state) "
            "VALUES (?, ?, ?, ?, ?, ?, 'queued')",
            *(job, name, kind, json.dumps(asdict(options)), size, time.time()),
        )

    def find(self, job: str) -> JobAnswer | None:
        """Return a job, or None."""
        rows = self._database.rows(_SELECT + "WHERE id = ?", job)
        return JobAnswer(**rows[0]) if rows else None

    def page(self, state: State | None, limit: int, offset: int) -> tuple[list[JobAnswer], int]:
        """Return jobs, newest first, and the number of all jobs in this state."""
        page = _IN_STATE + "ORDER BY created DESC, id LIMIT ?2 OFFSET ?3"
        rows = self._database.rows(_SELECT + page, state, limit, offset)
        ((total,),) = self._database.rows(_COUNT + _IN_STATE, state)
        return [JobAnswer(**row) for row in rows], total

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
        queued = self._database.rows("SELECT id FROM jobs WHERE state = 'queued'")
        needed = {row["id"] for row in queued}
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
        return ClaimedJob(row["id"], row["kind"], ProposalOptions(**json.loads(row["wish"])))

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

    def remove(self, job: str) -> bool:
        """Remove a job; return whether it existed."""
        removed = self._database.execute("DELETE FROM jobs WHERE id = ?", job)
        self.remove_files(job)
        return removed > 0

    def remove_files(self, job: str) -> None:
        """Remove the upload and the features of a job."""
        for path in (self.upload(job), self.features(job)):
            path.unlink(missing_ok=True)


class JobRunner:
    """Runner of the jobs of a store."""

    def __init__(
        self, store: JobStore, model: ServedModel, settings: ServeSettings, metrics: Metrics
    ) -> None:
        self._store, self._model = store, model
        self._settings, self._metrics = settings, metrics
        self._decoder = Decoder(settings.limits, for_job=True)
        self._thread = Thread(target=self._work, name="jobs", daemon=True)
        self._changed = Condition()
        self._closed = False
        self._running = ""
        self._stop = Event()  # stops the running job

    def start(self) -> None:
        """Start with the waiting jobs."""
        self._store.recover()
        self._thread.start()

    def wake(self) -> None:
        """Notify the runner of a new job."""
        with self._changed:
            self._changed.notify()

    def cancel(self, job: str) -> None:
        """Stop a job if it runs; it must have been removed from the store before."""
        with self._changed:
            if self._running == job:
                self._stop.set()

    def close(self) -> None:
        """Stop; the running job is queued again, for the next start."""
        with self._changed:
            self._closed = True
            self._stop.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._decoder.close()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._run(job)

    def _next(self) -> ClaimedJob | None:
        with self._changed:
            while not self._closed:
                self._running = ""
                self._stop.clear()
                job = self._store.claim()
                if job is not None:
                    self._running = job.id
                    return job
                self._changed.wait()
        return None

    def _run(self, job: ClaimedJob) -> None:
        started = monotonic()
        try:
            result = self._result(job)
        except StoppedError:
            if self._closed:
                self._store.requeue(job.id)
            else:
                self._store.remove_files(job.id)  # the job was cancelled
        except ActSpanError as error:
            self._store.finish(job.id, error=str(error))
        except Exception:
            log.exception("job %s failed", job.id)
            self._store.finish(job.id, error="the service failed; its log says why")
        else:
            self._metrics.job_seconds.observe(monotonic() - started)
            self._store.finish(job.id, result=result)

    def _result(self, job: ClaimedJob) -> bytes:
        share = _DECODING[job.kind]
        updated = monotonic()

        def progress(fraction: float) -> None:
            nonlocal updated
            if self._stop.is_set():
                raise StoppedError
            if monotonic() - updated >= _UPDATE:
                updated = monotonic()
                self._store.set_progress(job.id, fraction)

        features = self._store.features(job.id)
        task = Task(
            kind=job.kind,
            source=str(self._store.upload(job.id)),
            target=str(features),
            channels=self._model.channels,
            stride=job.options.stride,
            longest=self._settings.limits.recording_seconds,
            model=str(self._model.bundle.path),
            backend=self._settings.backend,
            backbone=self._settings.backbone,
        )
        stride = self._decoder.decode(
            task, stop=self._stop, progress=lambda fraction: progress(share * fraction)
        )
        grid = SnippetGrid(stride, stride if job.kind == "video" else job.options.length)
        values = read_array(Entry(features), mapped=True)
        recording = Recording(Entry(Path("upload")), values, grid)
        proposals = self._model.propose_recording(
            recording, lambda fraction: progress(share + (1 - share) * fraction)
        )
        return as_json(job.options.select(proposals), recording.seconds)
