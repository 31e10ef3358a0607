"""Proposals of an upload that become a run, which can be corrected and exported like others."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from actspan.core.folders import atomic_folder
from actspan.core.segments import Proposals
from actspan.data.detections import DETECTIONS_FILE, Detections, write_detections
from actspan.data.result_writers import write_result
from actspan.data.videos import canonical_id
from actspan.jobs.run import RESULT
from actspan.server.database import Database
from actspan.server.error_responses import ProblemError, RequestBody
from actspan.server.job_store import UploadStore
from actspan.server.library import Library


class NewRun(RequestBody):
    """Request to keep the proposals of a job."""

    job: str = Field(pattern="^[0-9a-f]{32}$", description="Id of a job that is done.")
    video: str = Field(
        "", max_length=200, description="Id of its video; from the name of the job if empty."
    )


class KeptRun(BaseModel):
    """Run that was kept: its index, its name, and the id of its video."""

    run: int
    name: str
    video: str
    has_media: bool = Field(description="Whether the upload was kept too (keep=true).")


class KeptUploads:
    """Runs that were made from uploads, shown with the others; they survive a restart."""

    def __init__(
        self, database: Database, store: UploadStore, library: Library, folder: Path
    ) -> None:
        self._database, self._store, self._library = database, store, library
        self._runs = folder / "runs"
        for run in library.runs:
            if (video := self._store.kept(run.path.name)) is not None:
                self._show(video, run.result)

    def keep(self, new: NewRun) -> KeptRun:
        """Make a run of a job's proposals.

        Raises ProblemError if there is no such job (404), it is not done or already kept, or a
        video of this id is served (409).
        """
        job, content = self._store.find(new.job), self._store.result(new.job)
        if content is None:
            raise ProblemError(409, f"the job is {job.state}; only the result of one that is done")
        stem = Path(job.name.replace("\\", "/")).stem
        video = new.video.strip() or canonical_id(stem) or f"upload-{job.id[:8]}"
        if video in self._library.known or self._library.file(video) is not None:
            raise ProblemError(409, f"a video {video!r} is served already; choose another id")
        folder, name = self._runs / job.id, f"upload {video}"
        if folder.exists():
            raise ProblemError(409, "the proposals of this job are kept already")
        answer = json.loads(content)
        result = {video: _proposals(answer["proposals"])}
        with atomic_folder(folder) as partial:
            write_result(partial / RESULT, result)
            if (rows := answer.get("detections")) is not None:
                detections = Detections.of(_proposals(rows), [row["label"] for row in rows])
                write_detections(partial / DETECTIONS_FILE, {video: detections})
        self._database.execute(
            "INSERT INTO runs VALUES (?, ?, '', ?)", *(job.id, name, time.time())
        )
        kept = self._store.kept(job.id)
        if kept is not None:
            self._show(kept, result)
        self._library.add_run(name, folder)
        return KeptRun(
            run=len(self._library.runs) - 1, name=name, video=video, has_media=kept is not None
        )

    def _show(self, path: Path, result: dict[str, Proposals]) -> None:
        for video in result:  # there is one
            self._library.uploads[video] = path


def _proposals(rows: list[dict[str, Any]]) -> Proposals:
    """Return the segments of an answer, seconds."""
    columns = np.array([(*row["segment"], row["score"]) for row in rows], np.float64)
    return Proposals(*columns.reshape(-1, 3).T, unit="seconds")
