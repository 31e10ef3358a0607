"""`/api/jobs`: long recordings and videos, accepted at once and answered later."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from pydantic import AfterValidator, BaseModel, Field

from actspan.server.bodies import BodyReader
from actspan.server.error_responses import ProblemError, failures
from actspan.server.job_queue import JobAnswer, JobRunner, JobStore, State
from actspan.server.operations import Metrics
from actspan.server.proposals import (
    BINARY,
    FEATURE_MEDIA,
    JSON,
    NO_VIDEOS,
    ProposalOptions,
    ProposalQuery,
    ProposeAnswer,
    request_body,
)
from actspan.server.served_model import ServedModel
from actspan.server.settings import Limits
from actspan.server.uploads import HEAD, Kind, kind_of

PATH = "/api/jobs"
_JOB_ID = re.compile("[0-9a-f]{32}")


def _check_id(given: str) -> str:
    if not _JOB_ID.fullmatch(given):
        raise ValueError(f"{given!r} is no job id: 32 hexadecimal digits, as POST {PATH} answers")
    return given


_ID_SCHEMA = {"pattern": f"^{_JOB_ID.pattern}$"}
JobId = Annotated[
    str,
    AfterValidator(_check_id),
    InPath(description="Id that POST answered.", json_schema_extra=_ID_SCHEMA),
]


class JobList(BaseModel):
    """Jobs, newest first, and the number of all jobs."""

    jobs: list[JobAnswer]
    total: int


class JobQuery(ProposalQuery):
    """Query parameters of a new job."""

    name: str = Field("", max_length=200, description="Any text, to recognize the job by.")


class JobAcceptor:
    """Acceptor of new jobs, within the limits."""

    def __init__(
        self,
        model: ServedModel,
        bodies: BodyReader,
        store: JobStore,
        runner: JobRunner,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.model, self._bodies, self.store, self.runner = model, bodies, store, runner
        self._limits, self._metrics = limits, metrics

    async def accept(self, request: Request, query: JobQuery) -> JobAnswer:
        """Store an upload and create its job; both are on disk when this returns.

        Raises
        ------
        ProblemError
            There is no room (429, 507), or the upload is not accepted (413, 415, 422).
        """
        options = ProposalOptions.of(self.model, query)
        await asyncio.to_thread(self._check_room)
        job = self.store.new_id()
        size = await self._bodies.store(request, self.store.upload(job))
        return await asyncio.to_thread(self._add, job, query.name, options, size)

    def _add(self, job: str, name: str, options: ProposalOptions, size: int) -> JobAnswer:
        try:
            kind = self._kind(job)
            if kind != "video":
                options.check_stride()
            self._check_room()  # other jobs may have arrived during the upload
            self.store.add(job, name, kind, options, size)
            answer = _find(self.store, job)
        except BaseException:
            self.store.remove_files(job)
            raise
        self.runner.wake()
        return answer

    def _check_room(self) -> None:
        counts = self.store.counts()
        unfinished = counts["queued"] + counts["running"]
        if unfinished >= self._limits.waiting_jobs:
            self._metrics.refused.labels("jobs").inc()
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


def router(acceptor: JobAcceptor) -> APIRouter:
    """Return the operations that submit, show, list and remove jobs."""
    routes = APIRouter(prefix=PATH, tags=["jobs"])
    store, runner = acceptor.store, acceptor.runner
    location = {"Location": {"description": "Path of the job.", "schema": {"type": "string"}}}
    media = FEATURE_MEDIA | ({"video/*": BINARY} if acceptor.model.takes_videos else {})

    @routes.post(
        "",
        status_code=202,
        response_description="Accepted, and stored on disk.",
        responses=failures(408, 413, 415, 422, 429, 503, 507) | {202: {"headers": location}},
        openapi_extra=request_body(media, "An npy or Arrow IPC file of features, or a video file."),
    )
    async def submit(
        request: Request, response: Response, query: Annotated[JobQuery, Query()]
    ) -> JobAnswer:
        """Accept a recording of any length; it is processed even if the service restarts."""
        job = await acceptor.accept(request, query)
        response.headers["Location"] = f"{PATH}/{job.id}"
        return job

    @routes.get("", responses=failures(422))
    def list_jobs(
        state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> JobList:
        """List the jobs that are stored, newest first."""
        jobs, total = store.page(state, limit, offset)
        return JobList(jobs=jobs, total=total)

    @routes.get("/{job_id}", responses=failures(404, 422))
    def show(job_id: JobId) -> JobAnswer:
        """Return the state and progress of a job."""
        return _find(store, job_id)

    @routes.get("/{job_id}/result", response_model=ProposeAnswer, responses=failures(404, 409, 422))
    def result(job_id: JobId) -> Response:
        """Return the proposals of a job that is done."""
        content = store.result(job_id)
        if content is not None:
            return Response(content, media_type=JSON)
        job = _find(store, job_id)
        if job.state == "failed":
            raise ProblemError(409, f"the job failed: {job.error}")
        raise ProblemError(409, f"the job is {job.state}, {job.progress:.0%} done; ask again later")

    @routes.delete("/{job_id}", status_code=204, responses=failures(404, 422))
    def remove(job_id: JobId) -> None:
        """Cancel a job, or remove a finished one with its upload and result."""
        if not store.remove(job_id):
            raise _unknown(job_id)
        runner.cancel(job_id)

    return routes


def _find(store: JobStore, job: str) -> JobAnswer:
    found = store.find(job)
    if found is None:
        raise _unknown(job)
    return found


def _unknown(job: str) -> ProblemError:
    return ProblemError(404, f"there is no job {job}; it was removed, or never accepted")
