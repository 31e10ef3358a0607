"""Routes of the viewer: what is in the library, and corrections."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import FileResponse

from actspan.config import SoftNmsConfig
from actspan.data.annotations import activitynet_document
from actspan.errors import ConfigError, ResultError
from actspan.server.browse import models
from actspan.server.browse.exporting import corrected_videos
from actspan.server.browse.judging import Figures
from actspan.server.browse.library import Library
from actspan.server.browse.listing import Order, Row, Wanted, list_rows, make_row
from actspan.server.browse.pyramid import TILE
from actspan.server.browse.runs import BrowsedRun, Found
from actspan.server.corrections import Correction, Corrections, StaleCorrectionError

VideoId = Annotated[str, Query(alias="id", max_length=1000, description="Of the video.")]
RunNumber = Annotated[int, Query(ge=0, le=99, description="Place of the run, from 0.")]
_UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "No such video, run or part."}}
_BINARY: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "Little-endian float32."}
}


def browse_router(library: Library, corrections: Corrections) -> APIRouter:
    """The routes over a library, to be mounted under `/api`."""
    router = APIRouter(prefix="/browse", tags=["browse"])
    _add_list(router, library, corrections)
    _add_video(router, library, corrections)
    _add_corrections(router, library, corrections)
    return router


def _add_list(router: APIRouter, library: Library, corrections: Corrections) -> None:
    @router.get("", summary="What there is to browse")
    def about() -> models.About:
        labels = {label for video in library.truth.values() for label in video.labels}
        return models.About(
            runs=[_run_about(run) for run in library.runs],
            ground_truth=library.source,
            has_media=bool(library.media),
            labels=sorted(labels),
            forms=[models.ExportForm(name="activitynet", what="ActivityNet's JSON")],
        )

    @router.get("/videos", summary="The videos, a page at a time")
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
        judging = library.judge.busy  # before the figures are read: what comes later is asked again
        rows = list_rows(library, Wanted(find, missed, corrected, order, descending), known)
        page = [make_row(library, name, known) for name in rows[offset : offset + limit]]
        return models.Listed(
            total=len(rows), judging=judging, videos=[_listed(row) for row in page]
        )


def _add_video(router: APIRouter, library: Library, corrections: Corrections) -> None:
    @router.get("/video", summary="One video", responses=_UNKNOWN)
    def video(name: VideoId) -> models.ShownVideo:
        known = _known(library, name)
        return models.ShownVideo(
            id=name,
            seconds=_or_none(library.seconds(name)),
            subset=known.subset,
            ground_truth=[
                models.Instance.model_construct(start=s, end=e, label=label)
                for s, e, label in known.instances()
            ],
            has_media=name in library.media,
            curves=[_curves(run, name) for run in library.runs],
            corrections=_corrected(corrections, name),
        )

    @router.get("/proposals", summary="What a run found in a video", responses=_UNKNOWN)
    def proposals(name: VideoId, run: RunNumber = 0) -> models.ProposalColumns:
        _known(library, name)
        return _columns(_run(library, run).found(name))

    @router.get(
        "/suppressed",
        summary="What a run would find with other settings of Soft-NMS",
        responses={**_UNKNOWN, 409: {"description": "The run has no candidates of this video."}},
    )
    def suppressed(
        name: VideoId,
        run: RunNumber = 0,
        threshold_short: Annotated[float, Query(ge=0, le=1)] = 0.65,
        threshold_long: Annotated[float, Query(ge=0, le=1)] = 0.9,
        decay: Annotated[float, Query(gt=0, le=100)] = 0.75,
        keep: Annotated[int, Query(ge=1, le=2000)] = 100,
    ) -> models.ProposalColumns:
        _known(library, name)
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
            raise HTTPException(409, str(error)) from error

    @router.get(
        "/curves",
        summary="A tile of a video's curves",
        description="(2, 3, n) float32: the lowest, then the highest of every column; "
        "action, start, end.",
        response_class=Response,
        responses={**_UNKNOWN, **_BINARY},
    )
    def curves(
        name: VideoId,
        run: RunNumber = 0,
        level: Annotated[int, Query(ge=0, le=64)] = 0,
        tile: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> Response:
        _known(library, name)
        pyramid = _run(library, run).pyramid(name)
        if pyramid is None:
            raise HTTPException(404, f"run {run} has no curves of video {name!r}")
        try:
            found = pyramid.tile(level, tile)
        except ResultError as error:
            raise HTTPException(404, str(error)) from error
        return Response(found.astype("<f4").tobytes(), media_type="application/octet-stream")

    @router.get(
        "/media",
        summary="The video itself, or a range of it",
        response_class=FileResponse,
        responses={**_UNKNOWN, 206: {"description": "The range that was asked for."}},
    )
    def media(name: VideoId) -> FileResponse:
        path = library.media.get(name)
        if path is None or not path.is_file():
            raise HTTPException(404, f"no video file of {name!r} is served")
        return FileResponse(path)


def _add_corrections(router: APIRouter, library: Library, corrections: Corrections) -> None:
    stale: dict[int | str, dict[str, Any]] = {
        409: {"description": "Somebody else changed them meanwhile."}
    }

    @router.get("/corrections", summary="A video's corrections", responses=_UNKNOWN)
    def read(name: VideoId) -> models.Corrected:
        _known(library, name)
        return _corrected(corrections, name)

    @router.put("/corrections", summary="Replace them", responses={**_UNKNOWN, **stale})
    def replace(name: VideoId, new: models.NewCorrections) -> models.Corrected:
        _known(library, name)
        segments = [(s.start, s.end, s.label) for s in new.segments]
        try:
            return _as_corrected(corrections.put(name, segments, revision=new.revision))
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        except StaleCorrectionError as error:
            raise HTTPException(409, str(error)) from error

    @router.delete("/corrections", summary="Forget them", responses={**_UNKNOWN, **stale})
    def forget(name: VideoId, revision: Annotated[int, Query(ge=0, le=2**53)]) -> models.Corrected:
        _known(library, name)
        try:
            corrections.remove(name, revision=revision)
        except StaleCorrectionError as error:
            raise HTTPException(409, str(error)) from error
        return _corrected(corrections, name)

    @router.get(
        "/corrections/export",
        summary="All corrections as annotations",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}},
    )
    def export(everything: bool = False) -> Response:
        videos = corrected_videos(library, corrections, everything=everything)
        text = json.dumps(activitynet_document(videos), indent=1)
        headers = {"Content-Disposition": 'attachment; filename="corrections.json"'}
        return Response(text, media_type="application/json", headers=headers)


def _known(library: Library, name: str) -> Any:
    try:
        return library.video(name)
    except ResultError as error:
        raise HTTPException(404, str(error)) from error


def _run(library: Library, number: int) -> BrowsedRun:
    try:
        return library.run(number)
    except ConfigError as error:
        raise HTTPException(404, str(error)) from error


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
    """How many more proposals the run's Soft-NMS picks than it keeps."""
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


def _corrected(corrections: Corrections, name: str) -> models.Corrected:
    found = corrections.get(name)
    if found is None:
        return models.Corrected(revision=corrections.revision(name), segments=None)
    return _as_corrected(found)


def _as_corrected(found: Correction) -> models.Corrected:
    return models.Corrected(
        revision=found.revision,
        segments=[models.Instance(start=s, end=e, label=label) for s, e, label in found.segments],
        changed=found.changed,
    )


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
