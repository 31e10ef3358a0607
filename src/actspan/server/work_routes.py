"""`/api/work`: jobs on the served videos, the models that they train, and kept uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query

from actspan.server.error_responses import check_ready, failures
from actspan.server.job_runner import JobRunner
from actspan.server.job_store import WorkAnswer, WorkStore
from actspan.server.kept_uploads import KeptRun, KeptUploads, NewRun
from actspan.server.proposal_routes import JobId
from actspan.server.served_work import ServedWork
from actspan.server.work_requests import NewProposals, NewTraining, TrainedModel, WorkOverview


def work_router(
    store: WorkStore, work: ServedWork, runner: JobRunner, uploads: KeptUploads
) -> APIRouter:
    """Return the operations on the jobs of the served videos; they run while the app does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runner.start()
        yield

    routes = APIRouter(prefix="/api/work", tags=["work"], lifespan=lifespan)
    accepting: Any = {
        "status_code": 202,
        "responses": failures(409, 422, 429, 507),
        "dependencies": [Depends(check_ready)],
    }

    _add_models(routes, work)

    @routes.post("/propose", **accepting)
    def propose(new: NewProposals) -> WorkAnswer:
        """Accept a job that proposes over all served videos, and adds a run."""
        job = work.propose(new)
        runner.wake()
        return store.find(job)

    @routes.post("/train", **accepting)
    def train(new: NewTraining) -> WorkAnswer:
        """Accept a job that trains a model, proposes with it, and adds both.

        It learns from the corrections and from the ground truth of other videos, as they are now.
        """
        job = work.train(new)
        runner.wake()
        return store.find(job)

    @routes.get("/jobs")
    def list_jobs() -> list[WorkAnswer]:
        """Return all jobs on the served videos, newest first."""
        return store.list_all()

    @routes.get("/jobs/{job_id}", responses=failures(404, 422))
    def show(job_id: JobId) -> WorkAnswer:
        """Return the progress of a job, and its result once it is done."""
        return store.find(job_id)

    @routes.delete("/jobs/{job_id}", status_code=204, responses=failures(404, 422, 507))
    def remove(job_id: JobId) -> None:
        """Cancel a job, or remove a finished one; its model and its run are kept."""
        is_queued = store.find(job_id).state == "queued"
        store.remove(job_id)
        runner.cancel(job_id)  # which discards what a running job wrote
        if is_queued:
            work.discard(job_id)

    @routes.post("/runs", status_code=201, responses=failures(404, 409, 422, 507))
    def keep(new: NewRun) -> KeptRun:
        """Make a run of the proposals of an upload, so that they can be corrected and exported."""
        return uploads.keep(new)

    return routes


def _add_models(routes: APIRouter, work: ServedWork) -> None:
    @routes.get("", responses=failures(422))
    def overview(
        held_out: Annotated[float, Query(ge=0, le=0.8, description="As for a training.")] = 0.2,
        top: Annotated[int, Query(ge=1, le=1000, description="As for the review.")] = 20,
    ) -> WorkOverview:
        """Return what can be proposed with and trained from now."""
        return work.overview(held_out, top)

    @routes.get("/models")
    def models() -> list[TrainedModel]:
        """Return the models that were trained here, oldest first."""
        return work.models()
