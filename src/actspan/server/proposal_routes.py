"""`/api/propose` answers at once; `/api/jobs` accepts long recordings and videos for later."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from actspan.core.types import Features, Float32
from actspan.server.error_responses import (
    BINARY,
    ProblemError,
    check_ready,
    failures,
    request_body,
)
from actspan.server.job_store import JobAnswer, JobList, State
from actspan.server.proposal_answers import (
    JobOptions,
    JobResult,
    ProposalOptions,
    ProposeAnswer,
    as_arrow,
    as_json,
)
from actspan.server.service import ProposalService, decoding_folder
from actspan.server.settings import JOBS_PATH, PROPOSE_PATH
from actspan.server.uploads import (
    HEAD,
    Kind,
    Task,
    check_features,
    check_features_size,
    kind_of,
    npy_array,
)

_JSON, _ARROW = "application/json", "application/vnd.apache.arrow.stream"
_FEATURES = dict.fromkeys(("application/x-npy", _ARROW, "application/octet-stream"), BINARY)
_NO_VIDEOS = (
    "; this service accepts no videos: its model was not trained on features of actspan extract, "
    "or the extra 'video' is missing"
)
_NO_CLASSIFIER = (
    "query.detections: the model of this service has no classifier; train one (actspan train "
    "--classifier), or leave detections out"
)
_LARGE = 1 << 22  # bytes; the conversion of larger arrays would block other requests
_JOB_ID = re.compile("[0-9a-f]{32}")


_ID_SCHEMA = {"pattern": f"^{_JOB_ID.pattern}$"}


def _check_id(name: str) -> str:
    if not _JOB_ID.fullmatch(name):
        what = f"32 hexadecimal digits, as POST {JOBS_PATH} returns"
        raise ValueError(f"{name!r} is not a job id: {what}")
    return name


JobId = Annotated[
    str,
    AfterValidator(_check_id),
    InPath(description="Id that POST returned.", json_schema_extra=_ID_SCHEMA),
]


class JobQuery(JobOptions):
    """Query parameters of a new job."""

    name: str = Field("", max_length=200, description="Any text, to recognize the job by.")


def direct_router(service: ProposalService) -> APIRouter:
    """Return the operation that answers at once."""
    routes = APIRouter(tags=["proposals"])
    model, longest = service.model, service.limits.recording_seconds

    @routes.post(
        PROPOSE_PATH,
        response_model=ProposeAnswer,
        responses=failures(408, 413, 415, 422, 429, 504, 507)
        | {200: {"content": {_ARROW: BINARY}}},
        openapi_extra=request_body(
            _FEATURES, "An npy or Arrow IPC file of features, (n, C), one row per snippet."
        ),
    )
    async def propose(request: Request, query: Annotated[ProposalOptions, Query()]) -> Response:
        """Find the scored segments of a video from its features.

        Send long recordings as jobs. With `Accept: application/vnd.apache.arrow.stream` the answer
        is an Arrow stream with columns start, end and score.
        """
        options = query.with_grid(model.bundle.features)
        stride, length = options.known_grid()
        async with service.bodies.read(request) as data:
            array = await _array(data, service)
            check_features(array.shape, model.channels)
            check_features_size(array.shape, service.limits.request_bytes)
            if len(array) * stride > longest:
                raise ProblemError(413, f"it lasts longer than the {longest:g} s allowed here")
            make = partial(Features, array, stride, length)
            features = make() if array.nbytes < _LARGE else await asyncio.to_thread(make)
            (proposals,) = await model.videos.answer([features], 1)
        selected = options.select(proposals)
        if _ARROW in request.headers.get("accept", ""):
            return Response(as_arrow(selected, features.seconds), media_type=_ARROW)
        return Response(as_json(selected, features.seconds), media_type=_JSON)

    return routes


async def _array(data: bytearray, service: ProposalService) -> NDArray[Any]:
    kind, seconds = kind_of(bytes(data[:HEAD])), service.limits.answer_seconds
    if kind == "npy":
        return npy_array(data)
    if kind == "arrow":
        try:
            async with asyncio.timeout(seconds):  # includes a wait for others
                return await asyncio.to_thread(_decode_features, data, service)
        except TimeoutError:
            line = f"not decoded within {seconds:g} s; send npy, or use /api/jobs"
            raise ProblemError(504, line) from None
    raise _unsupported_error(service, "; send videos to /api/jobs")


def _decode_features(data: bytearray, service: ProposalService) -> Float32:
    """Return the features of an Arrow file, which is decoded in another process."""
    with decoding_folder() as folder:
        source, target = folder / "upload", folder / "features.npy"
        source.write_bytes(data)
        channels, largest = service.model.channels, service.limits.request_bytes
        task = Task("arrow", str(source), str(target), channels, largest=largest)
        service.decoder.decode(task)
        features: Float32 = np.load(target, allow_pickle=False)
    return features


def job_router(service: ProposalService) -> APIRouter:
    """Return the operations that submit, show, list and remove jobs."""
    routes = APIRouter(prefix=JOBS_PATH, tags=["jobs"])
    store = service.store
    location = {"Location": {"description": "Path of the job.", "schema": {"type": "string"}}}
    media = _FEATURES | ({"video/*": BINARY} if service.model.takes_videos else {})

    @routes.post(
        "",
        status_code=202,
        response_description="Accepted, and stored on disk.",
        responses=failures(408, 413, 415, 422, 429, 507) | {202: {"headers": location}},
        openapi_extra=request_body(media, "An npy or Arrow IPC file of features, or a video file."),
    )
    async def submit(
        request: Request, response: Response, query: Annotated[JobQuery, Query()]
    ) -> JobAnswer:
        """Accept a recording of any length; it is processed even if the service restarts."""
        check_ready(request)
        query = query.with_grid(service.model.bundle.features)
        if query.detections and not service.model.labels:
            raise ProblemError(422, _NO_CLASSIFIER)
        await asyncio.to_thread(_check_room, service)
        job = store.new_id()
        size = await service.bodies.store(request, store.upload(job))
        response.headers["Location"] = f"{JOBS_PATH}/{job}"
        return await asyncio.to_thread(_add, service, job, query, size)

    @routes.get("", responses=failures(422))
    def list_jobs(
        state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> JobList:
        """List the jobs that are stored, newest first."""
        return store.page(state, limit, offset)

    @routes.get("/{job_id}", responses=failures(404, 422))
    def show(job_id: JobId) -> JobAnswer:
        """Return the state and progress of a job."""
        return store.find(job_id)

    @routes.get("/{job_id}/result", response_model=JobResult, responses=failures(404, 409, 422))
    def result(job_id: JobId) -> Response:
        """Return the proposals of a job that is done, and its detections if asked for."""
        content = store.result(job_id)
        if content is not None:
            return Response(content, media_type=_JSON)
        job = store.find(job_id)
        if job.state == "failed":
            raise ProblemError(409, f"the job failed: {job.error}")
        raise ProblemError(409, f"the job is {job.state}, {job.progress:.0%} done; try again later")

    @routes.delete("/{job_id}", status_code=204, responses=failures(404, 422, 507))
    def remove(job_id: JobId) -> None:
        """Cancel a job, or remove a finished one with its upload and result."""
        store.remove(job_id)
        service.runner.cancel(job_id)

    return routes


def _add(service: ProposalService, job: str, query: JobQuery, size: int) -> JobAnswer:
    """Create the job of an upload; it is on disk when this returns."""
    store = service.store
    try:
        kind = _kind(service, job)
        if kind != "video":
            query.known_grid()
        _check_room(service)  # other jobs may have arrived during the upload
        options = query.model_dump(include=set(JobOptions.model_fields))
        store.add(job, query.name, kind, options, size)
        answer = store.find(job)
    except BaseException:
        store.remove_files(job)
        raise
    service.runner.wake()
    return answer


def _check_room(service: ProposalService) -> None:
    counts = service.store.counts()
    unfinished = counts["queued"] + counts["running"]
    if unfinished >= service.limits.waiting_jobs:
        line = f"{unfinished} jobs are waiting already; try again later"
        raise service.metrics.refuse("jobs", line, 10)


def _kind(service: ProposalService, job: str) -> Kind:
    with service.store.upload(job).open("rb") as stream:
        kind = kind_of(stream.read(HEAD))
    if kind is None or (kind == "video" and not service.model.takes_videos):
        raise _unsupported_error(service, " nor a known container of video")
    return kind


def _unsupported_error(service: ProposalService, videos: str) -> ProblemError:
    """Return the error of a body of unknown type; `videos` says what services take of videos."""
    videos = videos if service.model.takes_videos else _NO_VIDEOS
    return ProblemError(415, f"the body is neither an npy file nor Arrow IPC{videos}")
