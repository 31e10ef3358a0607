"""Routes of the library: the list, and single videos."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from actspan.config.stages import SoftNmsConfig
from actspan.core.errors import ConfigError, ResultError
from actspan.server.browse import models
from actspan.server.browse.corrections import WRITABLE, VideoId, known, state_of
from actspan.server.browse.judging import Figures
from actspan.server.browse.library import Library
from actspan.server.browse.listing import Order, Row, Wanted, list_rows, make_row
from actspan.server.browse.pyramid import TILE
from actspan.server.browse.runs import BrowsedRun, Found
from actspan.server.corrections import Corrections
from actspan.server.problems import ProblemError, may_fail

RunNumber = Annotated[int, Query(ge=0, le=99, description="Place of the run, from 0.")]
_BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "Little-endian float32."}
}
_MEDIA: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/*": {}}},
    206: {"content": {"video/*": {}}, "description": "The range that was asked for."},
}


def add_list(router: APIRouter, library: Library, corrections: Corrections) -> None:
    """Add the routes of the overview and of the list of videos."""

    @router.get("", summary="What there is to browse", responses=may_fail())
    def everything() -> models.About:
        labels = {label for video in library.truth.values() for label in video.labels}
        return models.About(
            runs=[_run_about(run) for run in library.runs],
            ground_truth=library.source,
            has_media=bool(library.media),
            labels=sorted(labels),
            forms=[models.ExportForm(name=form.name, what=form.what) for form in WRITABLE],
        )

    @router.get("/videos", summary="The videos, a page at a time", responses=may_fail(422))
    def videos(
        find: Annotated[str, Query(max_length=200)] = "",
        missed: bool = False,
        corrected: bool = False,
        order: Order = "source",
        descending: bool = False,
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> models.Listed:
        known = corrections.ids()
        judging = library.judge.busy  # read before the figures, so that none is missed
        rows = list_rows(library, Wanted(find, missed, corrected, order, descending), known)
        page = [make_row(library, name, known) for name in rows[offset : offset + limit]]
        return models.Listed(
            total=len(rows), judging=judging, videos=[_listed(row) for row in page]
        )


def add_video(router: APIRouter, library: Library, corrections: Corrections) -> None:
    """Add the routes of one video: proposals, curves and media."""

    @router.get("/video", summary="One video", responses=may_fail(404, 422))
    def video(name: VideoId) -> models.ShownVideo:
        about = known(library, name)
        return models.ShownVideo(
            id=name,
            seconds=_or_none(library.seconds(name)),
            subset=about.subset,
            ground_truth=[
                models.Instance.model_construct(start=s, end=e, label=label)
                for s, e, label in about.instances()
            ],
            has_media=name in library.media,
            curves=[_curves(run, name) for run in library.runs],
            corrections=state_of(corrections, name),
        )

    @router.get("/proposals", summary="What a run found in a video", responses=may_fail(404, 422))
    def proposals(name: VideoId, run: RunNumber = 0) -> models.ProposalColumns:
        known(library, name)
        return _columns(_run(library, run).found(name))

    @router.get(
        "/suppressed",
        summary="What a run would find with other settings of Soft-NMS",
        responses=may_fail(404, 409, 422),
    )
    def suppressed(
        name: VideoId,
        run: RunNumber = 0,
        threshold_short: Annotated[float, Query(ge=0, le=1)] = 0.65,
        threshold_long: Annotated[float, Query(ge=0, le=1)] = 0.9,
        decay: Annotated[float, Query(gt=0, le=100)] = 0.75,
        keep: Annotated[int, Query(ge=1, le=2000)] = 100,
    ) -> models.ProposalColumns:
        known(library, name)
        browsed = _run(library, run)
        config = SoftNmsConfig(
            threshold_short=threshold_short,
            threshold_long=threshold_long,
            decay=decay,
            keep=keep,
            picks=keep + _spare_picks(browsed),
        )
        try:
            return _columns(browsed.suppressed(name, config))
        except ResultError as error:
            raise ProblemError(409, str(error)) from error

    @router.get(
        "/curves",
        summary="A tile of a video's curves",
        description="(2, 3, n) float32: the lowest, then the highest of every column; "
        "action, start, end.",
        response_class=Response,
        responses={**may_fail(404, 422), **_BINARY},
    )
    def curves(
        name: VideoId,
        run: RunNumber = 0,
        level: Annotated[int, Query(ge=0, le=64)] = 0,
        tile: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> Response:
        known(library, name)
        pyramid = _run(library, run).pyramid(name)
        if pyramid is None:
            raise ProblemError(404, f"run {run} has no curves of video {name!r}")
        try:
            found = pyramid.tile(level, tile)
        except ResultError as error:
            raise ProblemError(404, str(error)) from error
        return Response(found.astype("<f4").tobytes(), media_type="application/octet-stream")

    @router.get(
        "/media",
        summary="The video itself, or a range of it",
        response_class=FileResponse,
        responses={**may_fail(404, 422), **_MEDIA},
    )
    def media(name: VideoId) -> FileResponse:
        known(library, name)
        path = library.media.get(name)
        if path is None or not path.is_file():
            raise ProblemError(404, f"no video file of {name!r} is served")
        return FileResponse(path)


def _run(library: Library, number: int) -> BrowsedRun:
    try:
        return library.run(number)
    except ConfigError as error:
        raise ProblemError(404, str(error)) from error


def _run_about(run: BrowsedRun) -> models.RunAbout:
    settings = run.config.soft_nms
    return models.RunAbout(
        name=run.name,
        created=run.info.get("created"),
        mode=run.config.mode,
        has_curves=run.has_curves,
        can_suppress=run.can_suppress,
        suppression=models.Suppression(
            threshold_short=settings.threshold_short,
            threshold_long=settings.threshold_long,
            decay=settings.decay,
            keep=settings.keep,
        ),
    )


def _spare_picks(run: BrowsedRun) -> int:
    """Return the number of proposals that the run's Soft-NMS picks beyond those it keeps."""
    return max(run.config.soft_nms.picks - run.config.soft_nms.keep, 0)


def _curves(run: BrowsedRun, name: str) -> models.CurvesAbout | None:
    pyramid, span = run.pyramid(name), run.span(name)
    if pyramid is None or span is None:
        return None
    return models.CurvesAbout(cells=pyramid.cells, levels=len(pyramid), tile=TILE, span=span)


def _columns(found: Found) -> models.ProposalColumns:
    proposals = found.proposals
    return models.ProposalColumns.model_construct(
        start=proposals.start.tolist(),
        end=proposals.end.tolist(),
        score=proposals.score.tolist(),
        labels=found.labels,
    )


def _listed(row: Row) -> models.ListedVideo:
    return models.ListedVideo(
        id=row.id,
        seconds=_or_none(row.seconds),
        instances=len(row.labels),
        labels=list(dict.fromkeys(row.labels)),
        has_media=row.has_media,
        corrected=row.corrected,
        runs=[
            models.ListedRun(
                proposals=run.proposals,
                score=run.score,
                judged=_judged(run.figures),
            )
            for run in row.runs
        ],
    )


def _judged(figures: Figures | None) -> models.Judged | None:
    return None if figures is None else models.Judged(auc=figures.auc, missed=figures.missed)


def _or_none(value: float) -> float | None:
    """Return the value, or None for NaN, which JSON lacks."""
    return None if math.isnan(value) else value
