"""Export of corrections as annotations, in every form that can be written and read back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Annotated
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from actspan.core.types import Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.formats import encode_annotations
from actspan.data.annotations.writing import in_microseconds
from actspan.server.corrections import Corrections, corrected_videos
from actspan.server.error_responses import ProblemError, failures
from actspan.server.library import Library

# What is exported in each form, the usual ones first. Chapters are no form of corrections: they
# cannot be read back.
EXPORTS = {
    "activitynet": "ActivityNet's JSON",
    "csv": "Table (CSV)",
    "elan": "ELAN (.eaf, one per video)",
    "labelstudio": "Label Studio's JSON",
    "boris": "BORIS, a project",
    "losslesscut": "LosslessCut (.llc, one per video)",
    "edl": "EDL, CMX 3600 (one per video)",
    "otio": "OpenTimelineIO (.otio, one per video)",
    "vtt": "WebVTT subtitles (one per video)",
    "textgrid": "Praat (.TextGrid, one per video)",
    "audacity": "Audacity's labels (one per video)",
    "fiftyone": "FiftyOne's temporal detections",
}
_OF_FRAMES = ("edl", "otio")  # forms whose times are frame numbers


class ExportContents(BaseModel):
    """Numbers of videos, of their segments, and of videos without segments."""

    videos: int
    segments: int
    empty_videos: int


def add_export(router: APIRouter, library: Library, corrections: Corrections) -> None:
    """Add the routes that export corrections, and say what an export would contain."""

    @router.get(
        "/corrections/export",
        response_class=Response,
        responses=failures(422) | {200: {"content": {"application/octet-stream": {}}}},
    )
    def export_corrections(
        form: Annotated[str, Query(max_length=50)] = "activitynet",
        everything: Annotated[bool, Query(description="Also videos without corrections.")] = False,
    ) -> Response:
        """Export all corrections as annotations: a file, or a ZIP archive of several.

        The headers `Actspan-Videos`, `Actspan-Segments` and `Actspan-Empty-Videos` give the numbers
        that `/corrections/contents` returns.
        """
        if form not in EXPORTS:
            raise ProblemError(422, f"form {form!r} is not one of those that /api/browse names")
        videos = corrected_videos(library, corrections, everything=everything)
        if not videos:
            raise ProblemError(409, "nothing is corrected yet, so there is nothing to export")
        videos = [_with_rate(library, video) for video in videos]
        unknown = [video.id for video in videos if video.fps is None]
        if unknown and form in _OF_FRAMES:
            raise ProblemError(422, _unknown_rates(form, unknown))
        files = encode_annotations(
            map(in_microseconds, videos), form, media=lambda video: _file_name(library, video)
        )
        name, content = _as_one_file(files, f"corrections-{form}")
        contained = _count(videos)
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Actspan-Videos": str(contained.videos),
            "Actspan-Segments": str(contained.segments),
            "Actspan-Empty-Videos": str(contained.empty_videos),
        }
        return Response(content, media_type="application/octet-stream", headers=headers)

    @router.get("/corrections/contents", responses=failures(422))
    def export_contents(
        everything: Annotated[bool, Query(description="Also videos without corrections.")] = False,
    ) -> ExportContents:
        """Return what an export would contain."""
        return _count(corrected_videos(library, corrections, everything=everything))


def _count(videos: Sequence[Video]) -> ExportContents:
    segments = [len(video.segments) for video in videos]
    return ExportContents(
        videos=len(videos), segments=sum(segments), empty_videos=segments.count(0)
    )


def _with_rate(library: Library, video: Video) -> Video:
    """Add the frame rate of the file if the video has none."""
    rate = math.nan if video.fps else library.length(video.id).rate
    return video if math.isnan(rate) else replace(video, fps=rate)


def _unknown_rates(form: str, unknown: Sequence[str]) -> str:
    return (
        f"{EXPORTS[form].split(' (')[0]} counts frames, and the frame rate of "
        f"{counted(len(unknown), 'video')} is unknown, as no readable file of them is served: "
        f"{listed(unknown)}. Choose another format, or serve the files: actspan serve --videos"
    )


def _file_name(library: Library, video: Video) -> str:
    """Return the file name of the video that tools open with an exported file."""
    path = library.file(video.id)
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
