"""`/api/browse`, for the viewer: finished runs, ground truth, videos and corrections."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from actspan.server.browsed_run import BrowsedRun, ShownProposals
from actspan.server.changed_runs import Setting
from actspan.server.corrections import (
    Corrected,
    Corrections,
    Instance,
    VideoId,
    add_corrections,
    corrected_video,
)
from actspan.server.corrections_export import EXPORTS, add_export
from actspan.server.error_responses import ProblemError, Responses, failures
from actspan.server.library import Library
from actspan.server.library_list import ListQuery, VideoList, VideoPage
from actspan.server.media import Media
from actspan.server.media_routes import VideoReader, add_media_routes
from actspan.server.review import Reviews, add_review_routes
from actspan.server.run_figures import Figures, add_figures_routes
from actspan.server.zoom_levels import TILE

RunNumber = Annotated[int, Query(ge=0, le=99, description="Index of the run, from 0.")]
_FLOATS: Responses = {
    200: {"content": {"application/octet-stream": {}}, "description": "Little-endian float32."}
}
_MEDIA: Responses = {
    200: {"content": {"video/*": {}}},
    206: {"content": {"video/*": {}}, "description": "The requested range."},
}


class Suppression(BaseModel):
    """Settings of Soft-NMS that a run was made with."""

    threshold_short: float
    threshold_long: float
    decay: float
    keep: int


class RunInfo(BaseModel):
    """Run that is served."""

    name: str
    created: str | None
    mode: str
    is_label_free: bool = Field(description="Its curves of start and end are the same.")
    has_curves: bool
    can_suppress: bool
    suppression: Suppression


class ExportForm(BaseModel):
    """File format in which corrections can be exported."""

    name: str
    what: str


class Overview(BaseModel):
    """Everything that can be browsed."""

    runs: list[RunInfo]
    ground_truth: str = Field(description="Origin of the ground truth; empty if there is none.")
    has_media: bool
    labels: list[str] = Field(description="Labels of the ground truth, then others of corrections.")
    subsets: list[str] = Field(description="Subsets of the ground truth, sorted.")
    forms: list[ExportForm]


class CurvesInfo(BaseModel):
    """Size and tiling of a video's three curves."""

    cells: int
    levels: int = Field(description="A column of level k covers 2^k cells.")
    tile: int = Field(description="Columns per tile.")
    span: float = Field(description="Seconds that the cells cover.")


class ShownVideo(BaseModel):
    """Video, with the facts that are needed to request its data."""

    id: str
    seconds: float | None
    subset: str
    ground_truth: list[Instance]
    has_media: bool
    curves: list[CurvesInfo | None] = Field(description="One entry per run.")
    corrections: Corrected


class ProposalColumns(BaseModel):
    """Proposals, best first, seconds."""

    start: list[float]
    end: list[float]
    score: list[float]
    labels: list[str] | None


def router(
    library: Library,
    corrections: Corrections,
    media: Media,
    reviews: Reviews,
    figures: Figures,
) -> APIRouter:
    """Return the operations of the viewer, for the app to include.

    Large files are read in the background from the start of the app on; the library is closed with
    the app.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        library.correct(
            {name: corrected_video(library, name, s) for name, s in corrections.all().items()}
        )
        library.warm()
        yield
        library.close()

    routes = APIRouter(prefix="/api/browse", tags=["browse"], lifespan=lifespan)
    _add_overview(routes, library, corrections)
    _add_video(routes, library, corrections)
    _add_files(routes, library)
    add_corrections(routes, library, corrections)
    add_export(routes, library, corrections)
    add_media_routes(routes, VideoReader(library, media))
    add_review_routes(routes, library, reviews)
    add_figures_routes(routes, figures)
    return routes


def _add_overview(routes: APIRouter, library: Library, corrections: Corrections) -> None:
    @routes.get("")
    def overview() -> Overview:
        """Return the runs, the labels, and the forms of export."""
        labels = {label for video in library.truth.values() for label in video.labels}
        corrected = {one.label for segments in corrections.all().values() for one in segments}
        return Overview(
            runs=[_run_info(run) for run in library.runs],
            ground_truth=library.source,
            has_media=bool(library.media or library.uploads),
            labels=sorted(labels) + sorted(corrected - labels - {""}),
            subsets=sorted({video.subset for video in library.truth.values()} - {""}),
            forms=[ExportForm(name=name, what=what) for name, what in EXPORTS.items()],
        )

    @routes.get("/videos", responses=failures(404, 409, 422))
    def videos(query: Annotated[ListQuery, Query()]) -> VideoPage:
        """Return a page of the list of videos."""
        return VideoList(library, query).page(corrections.ids())


def _add_video(routes: APIRouter, library: Library, corrections: Corrections) -> None:
    @routes.get("/video", responses=failures(404, 422))
    def video(name: VideoId) -> ShownVideo:
        """Return a video with its ground truth and corrections."""
        annotated = library.video(name)
        seconds = library.seconds(name)
        return ShownVideo(
            id=name,
            seconds=None if math.isnan(seconds) else seconds,
            subset=annotated.subset,
            ground_truth=Instance.of_truth(annotated),
            has_media=library.file(name) is not None,
            curves=[_curves_info(run, name) for run in library.runs],
            corrections=corrections.get(name),
        )

    @routes.get("/proposals", responses=failures(404, 422))
    def proposals(name: VideoId, run: RunNumber = 0) -> ProposalColumns:
        """Return the proposals of a run for a video."""
        library.video(name)
        return _columns(library.run(run).proposals(name))

    @routes.get("/suppressed", responses=failures(404, 409, 422))
    def suppressed(
        name: VideoId,
        run: RunNumber = 0,
        threshold_short: Annotated[float, Query(ge=0, le=1)] = 0.65,
        threshold_long: Annotated[float, Query(ge=0, le=1)] = 0.9,
        decay: Annotated[float, Query(gt=0, le=100)] = 0.75,
        keep: Annotated[int, Query(ge=1, le=2000)] = 100,
    ) -> ProposalColumns:
        """Return the proposals of a run with other settings of Soft-NMS."""
        library.video(name)
        browsed = library.run(run)
        setting = Setting(run, threshold_short, threshold_long, decay, keep)
        return _columns(browsed.suppressed(name, setting.config(browsed)))


def _add_files(routes: APIRouter, library: Library) -> None:
    @routes.get("/curves", response_class=Response, responses=failures(404, 422) | _FLOATS)
    def curves(
        name: VideoId,
        run: RunNumber = 0,
        level: Annotated[int, Query(ge=0, le=64)] = 0,
        tile: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> Response:
        """Return a tile of a video's curves, (2, 3, n): minimum and maximum of every column.

        The three curves are action, start and end.
        """
        library.video(name)
        run_curves = library.run(run).curves(name)
        if run_curves is None:
            raise ProblemError(404, f"run {run} has no curves of video {name!r}")
        values = run_curves.tile(level, tile).astype("<f4")
        return Response(values.tobytes(), media_type="application/octet-stream")

    @routes.get("/media", response_class=FileResponse, responses=failures(404, 422) | _MEDIA)
    def media(name: VideoId) -> FileResponse:
        """Return the file of a video, or a range of it."""
        library.video(name)
        path = library.readable(name)
        if path is None:
            raise ProblemError(404, f"no video file of {name!r} is served")
        return FileResponse(path)


def _run_info(run: BrowsedRun) -> RunInfo:
    return RunInfo(
        name=run.name,
        created=run.info.get("created"),
        mode=run.config.mode,
        is_label_free=bool(run.info.get("pipeline", {}).get("label_free")),
        has_curves=run.has_curves,
        can_suppress=run.can_suppress,
        suppression=Suppression.model_validate(run.config.soft_nms, from_attributes=True),
    )


def _curves_info(run: BrowsedRun, name: str) -> CurvesInfo | None:
    curves, span = run.curves(name), run.span(name)
    if curves is None or span is None:
        return None
    return CurvesInfo(cells=curves.cells, levels=len(curves), tile=TILE, span=span)


def _columns(shown: ShownProposals) -> ProposalColumns:
    proposals = shown.proposals
    return ProposalColumns.model_construct(
        start=proposals.start.tolist(),
        end=proposals.end.tolist(),
        score=proposals.score.tolist(),
        labels=shown.labels,
    )
