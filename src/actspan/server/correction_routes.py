"""Routes that read, replace, remove and export corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Annotated
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from actspan.core.errors import ConfigError, ResultError
from actspan.core.types import Video
from actspan.data.annotations.formats import FORMATS
from actspan.data.annotations.saving import encode_annotations
from actspan.server.corrections import (
    LATEST,
    LONGEST_LABEL,
    MOST_SEGMENTS,
    Correction,
    Corrections,
    Segment,
    StaleCorrectionError,
)
from actspan.server.library import Library
from actspan.server.problems import ProblemError, RequestBody, failures

WRITABLE = [form for form in FORMATS.values() if form.encode is not None]
VideoId = Annotated[str, Query(alias="id", max_length=1000, description="Id of the video.")]
Seconds = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]


class Instance(RequestBody):
    """Labelled segment, seconds."""

    start: Seconds
    end: Seconds
    label: str = Field("", max_length=LONGEST_LABEL)


class NewCorrections(RequestBody):
    """Segments that replace a video's corrections."""

    revision: int = Field(ge=0, le=2**53, description="Revision that was edited.")
    segments: list[Instance] = Field(max_length=MOST_SEGMENTS)


class Corrected(BaseModel):
    """Corrections of a video; `segments` is null if there are none."""

    revision: int
    segments: list[Instance] | None
    changed: str | None = None


def add_corrections(router: APIRouter, library: Library, corrections: Corrections) -> None:
    """Add the routes that read, replace, remove and export corrections."""

    @router.get("/corrections", responses=failures(404, 422))
    def read_corrections(name: VideoId) -> Corrected:
        """Return the corrections of a video."""
        find_video(library, name)
        return corrections_of(corrections, name)

    @router.put("/corrections", responses=failures(404, 409, 422))
    def replace_corrections(name: VideoId, new: NewCorrections) -> Corrected:
        """Replace the corrections of a video."""
        find_video(library, name)
        segments = [(s.start, s.end, s.label) for s in new.segments]
        try:
            return _as_corrected(corrections.put(name, segments, revision=new.revision))
        except ConfigError as error:
            raise ProblemError(422, str(error)) from error
        except StaleCorrectionError as error:
            raise ProblemError(409, str(error)) from error

    @router.delete("/corrections", responses=failures(404, 409, 422))
    def remove_corrections(
        name: VideoId, revision: Annotated[int, Query(ge=0, le=2**53)]
    ) -> Corrected:
        """Remove the corrections of a video."""
        find_video(library, name)
        try:
            corrections.remove(name, revision=revision)
        except StaleCorrectionError as error:
            raise ProblemError(409, str(error)) from error
        return corrections_of(corrections, name)

    @router.get(
        "/corrections/export",
        response_class=Response,
        responses=failures(422) | {200: {"content": {"application/octet-stream": {}}}},
    )
    def export_corrections(
        form: Annotated[str, Query(max_length=50)] = "activitynet",
        everything: Annotated[bool, Query(description="Also videos without corrections.")] = False,
    ) -> Response:
        """Export all corrections as annotations: a file, or a ZIP archive of several."""
        if form not in {known.name for known in WRITABLE}:
            raise ProblemError(422, f"form {form!r} is not one of those that /api/browse names")
        videos = corrected_videos(library, corrections, everything=everything)
        files = encode_annotations(videos, form, media=lambda video: _file_name(library, video))
        name, content = _as_one_file(files, f"corrections-{form}")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/octet-stream", headers=headers)


def find_video(library: Library, name: str) -> Video:
    """Return a video of the library, or raise ProblemError (404)."""
    try:
        return library.video(name)
    except ResultError as error:
        raise ProblemError(404, str(error)) from error


def corrections_of(corrections: Corrections, name: str) -> Corrected:
    """Return a video's corrections, with null segments if there are none."""
    found = corrections.get(name)
    if found is None:
        return Corrected(revision=corrections.revision(name), segments=None)
    return _as_corrected(found)


def _as_corrected(found: Correction) -> Corrected:
    segments = [Instance(start=s, end=e, label=label) for s, e, label in found.segments]
    return Corrected(revision=found.revision, segments=segments, changed=found.changed)


def corrected_videos(
    library: Library, corrections: Corrections, *, everything: bool = False
) -> list[Video]:
    """Return the videos with corrected instances and all other facts of the ground truth.

    They are in the order of the ground truth, then others by id. With `everything`, videos without
    corrections are among them, with the instances of the ground truth.
    """
    found = corrections.all()
    videos = [
        _with_segments(video, found[video.id].segments) if video.id in found else video
        for video in library.truth.values()
        if everything or video.id in found
    ]
    for name in (name for name in found if name not in library.truth):
        seconds = library.seconds(name) if name in library.ids else float("nan")
        videos.append(_with_segments(Video(name, seconds), found[name].segments))
    return videos


def _with_segments(video: Video, segments: Iterable[Segment]) -> Video:
    kept = tuple(segments)
    return replace(
        video,
        segments=np.array([(start, end) for start, end, _ in kept], np.float64),
        labels=tuple(label for _, _, label in kept),
        scores=None,
    )


def _file_name(library: Library, video: Video) -> str:
    """Return the file name of the video that tools open beside an exported file."""
    path = library.media.get(video.id)
    return f"{video.id}.mp4" if path is None else path.name


def _as_one_file(files: Mapping[str, bytes], name: str) -> tuple[str, bytes]:
    """Return a single file as it is, or several as a ZIP archive of this name."""
    if len(files) == 1:
        (only,) = files.items()
        return only
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(ZipInfo(file), content)  # a fixed date: same input, same bytes
    return f"{name}.zip", packed.getvalue()
