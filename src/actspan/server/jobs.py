"""`/api/jobs`: long recordings and videos, accepted at once and answered later."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from pydantic import AfterValidator

from actspan.server.answers import JSON, JobAnswer, JobList, ProposeAnswer, State, Wish
from actspan.server.bodies import Bodies
from actspan.server.formats import HEAD, Kind, kind_of
from actspan.server.job_runner import JobRunner
from actspan.server.job_store import JobStore
from actspan.server.metrics import Metrics
from actspan.server.model import ServedModel
from actspan.server.openapi import BINARY, Responses, answered, body, json_response
from actspan.server.problems import ProblemError, may_fail
from actspan.server.propose import FEATURE_MEDIA, NO_VIDEOS
from actspan.server.settings import Limits
from actspan.server.wishes import Length, MinScore, Stride, Top, check_stride, wish_of

JOBS = "/api/jobs"
_JOB_ID = re.compile("[0-9a-f]{32}")


def _job_id(given: str) -> str:
    if not _JOB_ID.fullmatch(given):
        raise ValueError(f"{given!r} is no job's id: 32 hexadecimal digits, as POST {JOBS} answers")
    return given


JobId = Annotated[
    str,
    AfterValidator(_job_id),
    InPath(
        description="As answered by POST.", json_schema_extra={"pattern": f"^{_JOB_ID.pattern}$"}
    ),
]


@dataclass(frozen=True, slots=True)
class JobDesk:
    """Entry point that accepts jobs.

    Attributes
    ----------
    model, bodies, store, runner, limits, metrics
        Parts of the service.
    """

    model: ServedModel
    bodies: Bodies
    store: JobStore
    runner: JobRunner
    limits: Limits
    metrics: Metrics

    async def accept(self, request: Request, name: str, wish: Wish) -> JobAnswer:
        """Store an upload and create its job; both are on disk when this returns.

        Raises
        ------
        ProblemError
            There is no room (429, 507), or the upload is not accepted (413, 415, 422).
        """
        await asyncio.to_thread(self._check_room)
        job = self.store.new_id()
        size = await self.bodies.store(request, self.store.upload(job))
        return await asyncio.to_thread(self._add, job, name, wish, size)

    def _add(self, job: str, name: str, wish: Wish, size: int) -> JobAnswer:
        try:
            kind = self._kind(job)
            if kind != "video":
                check_stride(wish)
            self._check_room()  # other jobs may have arrived during the upload
            answer = self.store.add(job, name, kind, wish, size)
        except BaseException:
            self.store.drop_files(job)
            raise
        self.runner.wake()
        return answer

    def _check_room(self) -> None:
        counts = self.store.counts()
        unfinished = counts["queued"] + counts["running"]
        if unfinished >= self.limits.waiting_jobs:
            self.metrics.refused.labels("jobs").inc()
            raise ProblemError(
                429, f"{unfinished} jobs wait already; ask again later", {"Retry-After": "10"}
            )

    def _kind(self, job: str) -> Kind:
        with self.store.upload(job).open("rb") as stream:
            kind = kind_of(stream.read(HEAD))
        if kind is None or (kind == "video" and not self.model.takes_videos):
            videos = " nor a known container of video" if self.model.takes_videos else NO_VIDEOS
            raise ProblemError(415, f"the body is neither an npy file nor Arrow IPC{videos}")
        return kind


def router(desk: JobDesk) -> APIRouter:
    """Return the operations that submit, show, list and remove jobs."""
    routes = APIRouter(prefix=JOBS, tags=["jobs"])
    _add_submit(routes, desk)
    _add_kept(routes, desk.store)
    _add_remove(routes, desk.store, desk.runner)
    return routes


def _add_submit(routes: APIRouter, desk: JobDesk) -> None:
    located = {"Location": {"description": "The job.", "schema": {"type": "string"}}}
    media = FEATURE_MEDIA | ({"video/*": BINARY} if desk.model.takes_videos else {})

    @routes.post(
        "",
        status_code=202,
        response_class=Response,
        responses=answered(JobAnswer, "Accepted, and on the disk.", status=202, headers=located)
        | may_fail(408, 413, 415, 422, 429, 503, 507),
        openapi_extra=body(media, "An npy or Arrow IPC file of features, or a video file."),
    )
    async def submit(
        request: Request,
        name: Annotated[str, Query(max_length=200, description="For people; any text.")] = "",
        stride: Stride = None,
        length: Length = None,
        top: Top = None,
        min_score: MinScore = 0.0,
    ) -> Response:
        """Accept a recording of any length; it is processed even if the service restarts."""
        wish = wish_of(desk.model, stride, length, top, min_score)
        job = await desk.accept(request, name, wish)
        return json_response(job, 202, Location=f"{JOBS}/{job.id}")


def _add_kept(routes: APIRouter, store: JobStore) -> None:
    @routes.get(
        "",
        response_class=Response,
        responses=answered(JobList, "Jobs, newest first.") | may_fail(422),
    )
    def list_jobs(
        state: Annotated[State | None, Query(description="Only those in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> Response:
        """List the jobs that are kept."""
        return json_response(JobList(*store.listed(state, limit, offset)))

    @routes.get(
        "/{job_id}",
        response_class=Response,
        responses=answered(JobAnswer, "The job.") | may_fail(404, 422),
    )
    def show(job_id: JobId) -> Response:
        """Return the state and progress of a job."""
        return json_response(_found(store, job_id))

    @routes.get(
        "/{job_id}/result",
        response_class=Response,
        responses=answered(ProposeAnswer, "The proposals.") | may_fail(404, 409, 422),
    )
    def result(job_id: JobId) -> Response:
        """Return the proposals of a job that is done."""
        found = store.result(job_id)
        if found is None:
            raise _no_result(_found(store, job_id))
        return Response(found, media_type=JSON)


def _add_remove(routes: APIRouter, store: JobStore, runner: JobRunner) -> None:
    gone: Responses = {204: {"description": "It is gone."}}

    @routes.delete(
        "/{job_id}",
        status_code=204,
        response_class=Response,
        responses=gone | may_fail(404, 422),
    )
    def remove(job_id: JobId) -> Response:
        """Cancel a job, or remove a finished one with its upload and result."""
        if not store.remove(job_id):
            raise _unknown(job_id)
        runner.cancel(job_id)
        return Response(status_code=204)


def _found(store: JobStore, job: str) -> JobAnswer:
    found = store.find(job)
    if found is None:
        raise _unknown(job)
    return found


def _no_result(job: JobAnswer) -> ProblemError:
    if job.state == "failed":
        return ProblemError(409, f"the job failed: {job.error}")
    return ProblemError(409, f"the job is {job.state}, {job.progress:.0%} done; ask again later")


def _unknown(job: str) -> ProblemError:
    return ProblemError(404, f"there is no job {job}; it was removed, or never accepted")
