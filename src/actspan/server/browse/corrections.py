"""Routes of the corrections."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from actspan.data.annotations import activitynet_document
from actspan.errors import ConfigError, ResultError
from actspan.server.browse import models
from actspan.server.browse.exporting import corrected_videos
from actspan.server.browse.library import Library
from actspan.server.corrections import Correction, Corrections, StaleCorrectionError
from actspan.server.problems import ProblemError, documented
from actspan.types import Video

VideoId = Annotated[str, Query(alias="id", max_length=1000, description="Of the video.")]


def _kept(request: Request) -> Corrections:
    corrections: Corrections = request.app.state.corrections
    return corrections


Kept = Annotated[Corrections, Depends(_kept)]


def add_corrections(router: APIRouter, library: Library) -> None:
    """Reading, replacing, forgetting and exporting them."""

    @router.get("/corrections", summary="A video's corrections", responses=documented(404))
    def read(name: VideoId, corrections: Kept) -> models.Corrected:
        known(library, name)
        return state_of(corrections, name)

    @router.put("/corrections", summary="Replace them", responses=documented(404, 409))
    def replace(name: VideoId, new: models.NewCorrections, corrections: Kept) -> models.Corrected:
        known(library, name)
        segments = [(s.start, s.end, s.label) for s in new.segments]
        try:
            return _as_corrected(corrections.put(name, segments, revision=new.revision))
        except ConfigError as error:
            raise ProblemError(422, str(error)) from error
        except StaleCorrectionError as error:
            raise ProblemError(409, str(error)) from error

    @router.delete("/corrections", summary="Forget them", responses=documented(404, 409))
    def forget(
        name: VideoId, revision: Annotated[int, Query(ge=0, le=2**53)], corrections: Kept
    ) -> models.Corrected:
        known(library, name)
        try:
            corrections.remove(name, revision=revision)
        except StaleCorrectionError as error:
            raise ProblemError(409, str(error)) from error
        return state_of(corrections, name)

    @router.get(
        "/corrections/export",
        summary="All corrections as annotations",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}},
    )
    def export(corrections: Kept, everything: bool = False) -> Response:
        videos = corrected_videos(library, corrections, everything=everything)
        text = json.dumps(activitynet_document(videos), indent=1)
        headers = {"Content-Disposition": 'attachment; filename="corrections.json"'}
        return Response(text, media_type="application/json", headers=headers)


def known(library: Library, name: str) -> Video:
    """A video of the library, or 404."""
    try:
        return library.video(name)
    except ResultError as error:
        raise ProblemError(404, str(error)) from error


def state_of(corrections: Corrections, name: str) -> models.Corrected:
    """A video's corrections, or that there are none."""
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
