"""Jobs on the served videos: proposals over all of them, and training from their annotations.

data/
├── features/          of the served videos, extracted once
├── models/ID/         a trained bundle; ID.json are the annotations that it learned from
└── runs/ID/           a run over all videos, shown like the runs of the command line
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from actspan.core.types import Video
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.model import LABEL_FREE
from actspan.server.corrections import Corrections, corrected_videos
from actspan.server.database import Database
from actspan.server.error_responses import ProblemError
from actspan.server.job_runner import Check
from actspan.server.job_store import ClaimedJob, EpochLosses, WorkStatus, WorkStore
from actspan.server.library import Library
from actspan.server.review import Reviews
from actspan.server.settings import ServeSettings
from actspan.server.storage_errors import StorageError
from actspan.server.work_process import WorkTask
from actspan.server.work_requests import NewProposals, NewTraining, TrainedModel, WorkOverview
from actspan.server.worker_process import Reply, WorkerProcess

TRAINING, VALIDATION = "training", "validation"
_UPDATE = 0.5  # seconds between two updates of progress
_MOST_RUNS = 100  # of the library


class ServedWork:
    """Models and runs of a service, and the computation of the jobs that make them."""

    def __init__(
        self,
        database: Database,
        store: WorkStore,
        library: Library,
        corrections: Corrections,
        reviews: Reviews,
        settings: ServeSettings,
    ) -> None:
        self._database, self._store, self._library = database, store, library
        self._corrections, self._reviews, self._settings = corrections, reviews, settings
        self._process = WorkerProcess(["actspan.server.work_process"], "a video", once=True)
        self.close = self._process.close
        for name in ("models", "runs"):
            (settings.data / name).mkdir(exist_ok=True)
        for row in database.rows("SELECT id, name FROM runs ORDER BY created"):
            if self._run(row["id"]).is_dir():  # otherwise someone removed it
                library.add_run(row["name"], self._run(row["id"]))

    def _model(self, job: str) -> Path:
        return self._settings.data / "models" / job

    def _annotations(self, job: str) -> Path:
        return self._settings.data / "models" / f"{job}.json"

    def _run(self, job: str) -> Path:
        return self._settings.data / "runs" / job

    def overview(self, held_out: float, top: int) -> WorkOverview:
        """Return what can be proposed with and trained from now.

        `held_out` is the share of a training; `top` the number of proposals per video to review.
        """
        from actspan.config.training import PRESETS

        usual = NewTraining.model_fields["preset"].default
        annotated = self._annotated()
        divided = divide(annotated, held_out)
        unfinished = self._reviews.unfinished(top)
        return WorkOverview(
            videos=len(self._library.media),
            unproposed=len(self._library.unproposed()),
            annotated=len(annotated),
            held_out=sum(video.subset == VALIDATION for video in divided),
            partly_reviewed=sum(video.id in unfinished for video in annotated),
            models=self._names(),
            presets=sorted(PRESETS, key=lambda name: name != usual),
        )

    def _names(self) -> dict[str, str]:
        """Return the names of the models that can propose, by id."""
        names = {"label-free": "label-free"}
        if self._settings.model is not None:
            names["served"] = self._settings.model.resolve().name
        return names | {model.id: model.name for model in self.models()}

    def _annotated(self) -> list[Video]:
        """Return the served videos with corrections or ground truth."""
        videos = corrected_videos(self._library, self._corrections, everything=True)
        return [video for video in videos if video.id in self._library.media]

    def models(self) -> list[TrainedModel]:
        """Return the trained models, oldest first."""
        rows = self._database.rows("SELECT * FROM models ORDER BY created")
        return [_trained_model(dict(row)) for row in rows]

    def learned_from(self, run_name: str) -> list[str] | None:
        """Return the videos that the model of a run was trained on here; None if it was not."""
        rows = self._database.rows(
            "SELECT trained FROM models JOIN runs ON runs.model = models.id WHERE runs.name = ?",
            run_name,
        )
        return json.loads(rows[0]["trained"]) if rows else None

    def propose(self, new: NewProposals) -> str:
        """Accept a job that proposes over all served videos, and return its id."""
        self._check_room()
        names = self._names()
        if new.model not in names:
            raise ProblemError(422, f"model {new.model!r} is not one of {', '.join(names)}")
        job, name = self._store.new_id(), new.name.strip() or names[new.model]
        self._store.add(job, name, "propose", {"model": new.model})
        return job

    def train(self, new: NewTraining) -> str:
        """Accept a job that trains from what is annotated now, and return its id."""
        from actspan.config.training import PRESETS

        self._check_room()
        if new.preset not in PRESETS:
            raise ProblemError(422, f"preset {new.preset!r} is not one of {', '.join(PRESETS)}")
        annotated = self._annotated()
        if not any(len(video.segments) for video in annotated):
            raise ProblemError(
                409, "no served video has an annotated segment to learn from: correct some first"
            )
        job = self._store.new_id()
        name = new.name.strip() or f"model {len(self.models()) + 1}"
        write_annotations(self._annotations(job), divide(annotated, new.held_out))
        self._store.add(job, name, "train", new.model_dump(exclude={"name", "held_out"}))
        return job

    def _check_room(self) -> None:
        if not self._library.media:
            raise ProblemError(409, "no videos are served: actspan serve --videos DIR")
        counts = self._store.counts()
        unfinished = counts["queued"] + counts["running"]
        if unfinished >= self._settings.limits.waiting_jobs:
            raise ProblemError(429, f"{unfinished} jobs are waiting already", {"Retry-After": "10"})
        if len(self._library.runs) + unfinished >= _MOST_RUNS:
            raise ProblemError(409, f"there are {_MOST_RUNS} runs; remove some to make others")

    def run(self, job: ClaimedJob, check: Check) -> bytes:
        """Run a job in a process of its own, and add its run to the library."""
        status, fraction, updated = self._store.find(job.id).status, 0.0, -inf

        def progress(reply: Reply) -> None:
            nonlocal fraction, updated
            check()
            fraction = reply.get("progress", fraction)
            if _note(status, reply) or time.monotonic() - updated >= _UPDATE:
                updated = time.monotonic()
                with suppress(StorageError):  # the next update has it
                    self._store.set_status(job.id, fraction, status)

        reply = self._process.run(self._task(job).as_json(), inf, progress)
        model = job.id if job.kind == "train" else job.options["model"]
        result = {"run": self._add_run(job, model), "skipped": reply["skipped"]}
        if job.kind == "train":
            result["model"] = job.id
        return json.dumps(result).encode()

    def _task(self, job: ClaimedJob) -> WorkTask:
        settings = self._settings
        common: dict[str, Any] = {
            "videos": sorted(map(str, self._library.media.values())),
            "features": str(settings.data / "features"),
            "run": str(self._run(job.id)),
            "threads": settings.threads,
            "backend": settings.backend,
        }
        if job.kind == "train":
            model, annotations = str(self._model(job.id)), str(self._annotations(job.id))
            return WorkTask("train", model=model, annotations=annotations, **job.options, **common)
        chosen = {"label-free": LABEL_FREE, "served": settings.model}
        model = str(chosen.get(job.options["model"], self._model(job.options["model"])))
        return WorkTask("propose", model=model, backbone=settings.backbone, **common)

    def _add_run(self, job: ClaimedJob, model: str) -> str:
        """Add the model and the run of a finished job to the database; return the run's name."""
        for row in self._database.rows("SELECT name FROM runs WHERE id = ?", job.id):
            return str(row["name"])  # the service ended after this, but before the job's end
        name = _unique(job.name, {run.name for run in self._library.runs})
        with self._database.transaction() as connection:
            if job.kind == "train":
                title = _unique(job.name, {known.name for known in self.models()})
                learned = read_annotations(self._annotations(job.id)).videos
                trained = [video.id for video in learned if video.subset == TRAINING]
                held_out = [video.id for video in learned if video.subset != TRAINING]
                connection.execute(
                    "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)",
                    (job.id, title, json.dumps(trained), json.dumps(held_out), time.time()),
                )
            connection.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)",
                (job.id, name, model, time.time()),
            )
        self._library.add_run(name, self._run(job.id))
        return name

    def discard(self, job: str) -> None:
        """Remove what an unfinished job wrote, except features."""
        for folder in (self._model(job), self._run(job)):
            for path in folder.parent.glob(f"*{job}*"):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def divide(videos: Sequence[Video], held_out: float) -> list[Video]:
    """Return annotated videos with a subset each: training or validation.

    Subsets of the ground truth are kept if there are both. Otherwise about a share of the videos is
    held out: those with the smallest checksums of their ids. A video is therefore held out again
    when others are added, mostly. One with instances is always trained on.
    """
    subsets = {video.subset for video in videos}
    if {TRAINING, VALIDATION} <= subsets:
        return [video if video.subset else replace(video, subset=TRAINING) for video in videos]
    order = sorted(videos, key=lambda video: hashlib.sha256(video.id.encode()).digest())
    count = round(held_out * len(order))
    if held_out and count == 0 and len(order) > 1:
        count = 1
    chosen = {video.id for video in order[:count]}
    with_segments = [video.id for video in order if len(video.segments)]
    if chosen.issuperset(with_segments):
        chosen.difference_update(with_segments[:1])
    return [replace(v, subset=VALIDATION if v.id in chosen else TRAINING) for v in videos]


def _note(status: WorkStatus, reply: Reply) -> bool:
    """Update the status by a reply; return whether it must be stored at once."""
    if "losses" in reply:
        newest = EpochLosses(**reply["losses"])
        known = status.losses.get(reply["net"], [])
        earlier = [one for one in known if one.epoch < newest.epoch]
        status.losses[reply["net"]] = [*earlier, newest]
        return True
    if "warning" in reply:
        status.warnings.append(reply["warning"])
        return True
    for name in ("step", "done", "total", "note"):
        if name in reply:
            setattr(status, name, reply[name])
    return False


def _unique(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, with a number if needed."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def _trained_model(row: dict[str, Any]) -> TrainedModel:
    lists = {name: json.loads(row[name]) for name in ("trained", "held_out")}
    return TrainedModel(**row | lists)
