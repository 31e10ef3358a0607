"""Routes of corrections."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from actspan.core.errors import ConfigError, ResultError
from actspan.core.types import Video
from actspan.data.annotations.formats import FORMATS
from actspan.data.annotations.saving import encode_annotations
from actspan.server.browse import models
from actspan.server.browse.exporting import as_one_file, corrected_videos
from actspan.server.browse.library import Library
from actspan.server.corrections import Correction, Corrections, StaleCorrectionError
from actspan.server.problems import ProblemError, may_fail

WRITABLE = [form for form in FORMATS.values() if form.encode is not None]
VideoId = Annotated[str, Query(alias="id", max_length=1000, description="Of the video.")]


def add_corrections(router: APIRouter, library: Library, corrections: Corrections) -> None:
    """Add the routes that read, replace, remove and export corrections."""

    @router.get("/corrections", summary="A video's corrections", responses=may_fail(404, 422))
    def read(name: VideoId) -> models.Corrected:
        known(library, name)
        return state_of(corrections, name)

    @router.put("/corrections", summary="Replace them", responses=may_fail(404, 409, 422))
    def replace(name: VideoId, new: models.NewCorrections) -> models.Corrected:
        known(library, name)
        segments = [(s.start, s.end, s.label) for s in new.segments]
        try:
            return _as_corrected(corrections.put(name, segments, revision=new.revision))
        except ConfigError as error:
            raise ProblemError(422, str(error)) from error
        except StaleCorrectionError as error:
            raise ProblemError(409, str(error)) from error

    @router.delete("/corrections", summary="Forget them", responses=may_fail(404, 409, 422))
    def forget(name: VideoId, revision: Annotated[int, Query(ge=0, le=2**53)]) -> models.Corrected:
        known(library, name)
        try:
            corrections.remove(name, revision=revision)
        except StaleCorrectionError as error:
            raise ProblemError(409, str(error)) from error
        return state_of(corrections, name)

    @router.get(
        "/corrections/export",
        summary="All corrections as annotations",
        description="A file, or a ZIP archive where the form needs several.",
        response_class=Response,
        responses={**may_fail(422), 200: {"content": {"application/octet-stream": {}}}},
    )
    def export(
        form: Annotated[str, Query(max_length=50)] = "activitynet",
        everything: bool = False,
    ) -> Response:
        if form not in {known.name for known in WRITABLE}:
            raise ProblemError(422, f"form {form!r} is not one of those that /api/browse names")
        videos = corrected_videos(library, corrections, everything=everything)
        files = encode_annotations(videos, form, media=lambda video: _file_name(library, video))
        name, content = as_one_file(files, f"corrections-{form}")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/octet-stream", headers=headers)


def _file_name(library: Library, video: Video) -> str:
    """Return the file name of the video that tools open beside an exported file."""
    path = library.media.get(video.id)
    return f"{video.id}.mp4" if path is None else path.name


def known(library: Library, name: str) -> Video:
    """Return a video of the library, or raise 404."""
    try:
        return library.video(name)
    except ResultError as error:
        raise ProblemError(404, str(error)) from error


def state_of(corrections: Corrections, name: str) -> models.Corrected:
    """Return a video's corrections, with null segments if there are none."""
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
