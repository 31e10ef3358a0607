"""Segments that people corrected: their storage in the database, their routes and their export."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Annotated, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from actspan.core.errors import ConfigError
from actspan.core.types import Video
from actspan.data.annotations.formats import FORMATS
from actspan.data.annotations.saving import encode_annotations
from actspan.server.database import Database
from actspan.server.library import Library
from actspan.server.problems import ConflictError, ProblemError, RequestBody, failures

MOST_SEGMENTS, LONGEST_LABEL, LATEST = 10_000, 200, 1e7  # per video; characters; seconds

Segment = tuple[float, float, str]  # start and end in seconds, label
WRITABLE = [form for form in FORMATS.values() if form.encode is not None]
VideoId = Annotated[str, Query(alias="id", max_length=1000, description="Id of the video.")]
Seconds = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]


class Correction(NamedTuple):
    """Instances of a video as a person corrected them, sorted by start.

    The next change must state the `revision`, the number of changes so far. `changed` is the time
    of the last change, ISO 8601, UTC.
    """

    revision: int
    segments: tuple[Segment, ...]
    changed: str


class Corrections:
    """Corrections of all videos, by id; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, video: str) -> Correction | None:
        """Return the corrections of a video, or None if it has none or they were removed."""
        query = "SELECT revision, segments, changed FROM corrections WHERE video = ?"
        rows = self._database.rows(query, video)
        return _correction(*rows[0]) if rows and rows[0][1] is not None else None

    def revision(self, video: str) -> int:
        """Return the number of changes to a video's corrections."""
        rows = self._database.rows("SELECT revision FROM corrections WHERE video = ?", video)
        return int(rows[0][0]) if rows else 0

    def ids(self) -> frozenset[str]:
        """Return the ids of corrected videos."""
        rows = self._database.rows("SELECT video FROM corrections WHERE segments IS NOT NULL")
        return frozenset(str(row[0]) for row in rows)

    def all(self) -> dict[str, Correction]:
        """Return the corrections of all corrected videos, by id."""
        rows = self._database.rows(
            "SELECT video, revision, segments, changed FROM corrections "
            "WHERE segments IS NOT NULL ORDER BY video"
        )
        return {str(video): _correction(*rest) for video, *rest in rows}

    def put(self, video: str, segments: Sequence[Segment], *, revision: int) -> Correction:
        """Replace a video's corrections; `revision` is the one that was edited, 0 for none.

        An empty sequence says that the video has no instances.

        Raises
        ------
        ConfigError
            A segment has no length, starts before the video or has a label that is too long, or
            there are too many segments.
        ConflictError
            The revision is not the newest.
        """
        _check(segments)
        ordered = tuple(sorted(segments))
        text = json.dumps(ordered, ensure_ascii=True, allow_nan=False)
        return Correction(revision + 1, ordered, self._write(video, text, revision))

    def remove(self, video: str, *, revision: int) -> None:
        """Remove a video's corrections; raise as `put`."""
        self._write(video, None, revision)

    def _write(self, video: str, segments: str | None, revision: int) -> str:
        """Store the next revision of a video and return its time."""
        changed = datetime.now(UTC).isoformat(timespec="seconds")
        with self._database.transaction() as connection:
            newest = self.revision(video)
            if revision != newest:
                raise ConflictError(
                    f"corrections of {video!r} are at revision {newest}, not {revision}: somebody "
                    "else changed them; load them again"
                )
            connection.execute(
                "INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, ?)",
                (video, revision + 1, segments, changed),
            )
        return changed


def _check(segments: Sequence[Segment]) -> None:
    if len(segments) > MOST_SEGMENTS:
        raise ConfigError(f"{len(segments)} segments; at most {MOST_SEGMENTS} per video")
    for start, end, label in segments:
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end <= LATEST):
            raise ConfigError(f"segment [{start:g}, {end:g}] s: 0 <= start < end is needed")
        if len(label) > LONGEST_LABEL:
            raise ConfigError(f"a label of {len(label)} characters; at most {LONGEST_LABEL}")


def _correction(revision: int, segments: str, changed: str) -> Correction:
    loaded = tuple((float(s), float(e), str(label)) for s, e, label in json.loads(segments))
    return Correction(revision, loaded, changed)


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
        library.video(name)
        return corrections_of(corrections, name)

    @router.put("/corrections", responses=failures(404, 409, 422))
    def replace_corrections(name: VideoId, new: NewCorrections) -> Corrected:
        """Replace the corrections of a video."""
        library.video(name)
        segments = [(s.start, s.end, s.label) for s in new.segments]
        return _as_corrected(corrections.put(name, segments, revision=new.revision))

    @router.delete("/corrections", responses=failures(404, 409, 422))
    def remove_corrections(
        name: VideoId, revision: Annotated[int, Query(ge=0, le=2**53)]
    ) -> Corrected:
        """Remove the corrections of a video."""
        library.video(name)
        corrections.remove(name, revision=revision)
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
