"""`/api/browse` routes on the content of videos: filmstrip, frames, frame times, waveform."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from actspan.server.corrections import LATEST, VideoId
from actspan.server.error_responses import BINARY, ProblemError, Responses, failures
from actspan.server.library import Library
from actspan.server.media import Media, MediaFile, media_file
from actspan.server.zoom_levels import TILE, ZoomLevels
from actspan.streams.frame_times import FrameTimes
from actspan.streams.waveform import INTERVALS

_STATUSES = failures(404, 422, 429, 507)
_JPEG: Responses = {
    200: {"content": {"image/jpeg": BINARY}},
    304: {"description": "The client has this version."},
}
_FLOATS: Responses = {
    200: {
        "content": {"application/octet-stream": {}},
        "description": "Little-endian, without a header.",
    }
}
_FOREVER = "private, max-age=31536000, immutable"
_MOST_PICTURES = 240  # per strip
_MOST_PIXELS = 4_000_000  # of squares of this height
_MOST_TIMES = 65_536  # per answer
_RECENT = 8  # number of videos whose frame times and waveforms stay in memory

Time = Annotated[float, Query(ge=0, le=LATEST, allow_inf_nan=False, description="Seconds.")]
Count = Annotated[int, Query(ge=1, le=_MOST_PICTURES, description="Number of pictures.")]
StripHeight = Annotated[int, Query(ge=16, le=360, description="Largest height, pixels.")]
Version = Annotated[
    str | None,
    Query(max_length=40, description="Version of the file, so that the answer can be kept."),
]


class FilmstripInfo(BaseModel):
    """Pictures on one sheet, from left to right in rows of `columns`."""

    width: int = Field(description="Pixels of a picture.")
    height: int
    columns: int
    times: list[float | None] = Field(
        description="Seconds at which the frames appear; null where none can be decoded."
    )
    image: str = Field(description="Address of the sheet, JPEG.")


class FrameGrid(BaseModel):
    """Frames of a video: frame k appears at about first + k / rate, seconds.

    If the rate is variable this is only a rough estimate, and `/frame-times` has the times.
    """

    frames: int
    rate: float = Field(description="Frames per second, on average.")
    is_variable: bool
    first: float = Field(description="Seconds at which the first frame appears.")
    last: float
    version: str


class WaveformInfo(BaseModel):
    """Size and tiling of a waveform; zero intervals and levels if the video has no sound."""

    has_sound: bool
    intervals: int
    rate: int = Field(description="Intervals per second.")
    levels: int = Field(description="A column of level k covers 2^k intervals.")
    tile: int = Field(description="Columns per tile.")
    version: str


class VideoReader:
    """Served videos by id: the version of their files, and what `Media` reads of them."""

    def __init__(self, library: Library, media: Media) -> None:
        self._library, self._media = library, media
        self.frame_times = lru_cache(_RECENT)(self._read_frame_times)
        self.waveform = lru_cache(_RECENT)(self._read_waveform)

    def file(self, name: str) -> MediaFile:
        """Return the file of a video, or raise ProblemError (404)."""
        self._library.video(name)
        return media_file(self._library.readable(name), name)

    def strip(
        self, name: str, start: float, end: float | None, count: int, height: int
    ) -> tuple[MediaFile, dict[str, Any], bytes]:
        """Return the file, the facts and the sheet of a filmstrip.

        Raises ProblemError (422) for an empty range or too large a sheet.
        """
        file = self.file(name)
        stop = self._media.length(file).seconds if end is None else end
        if stop <= start:
            raise ProblemError(422, f"range {start:g} to {stop:g} s: start < end is needed")
        if count * height * height > _MOST_PIXELS:
            raise ProblemError(422, f"{count} pictures of height {height}: ask for less at once")
        read = self._media.read(file, "strip", start=start, end=stop, count=count, height=height)
        return (file, *read)

    def preview(self, file: MediaFile, time: float, height: int) -> bytes:
        """Return the frame at a time as JPEG."""
        return self._media.read(file, "preview", time=time, height=height)[1]

    def _read_frame_times(self, file: MediaFile) -> FrameTimes:
        facts, content = self._media.read(file, "frame-times")
        return FrameTimes(np.frombuffer(content, "<f8"), **facts)

    def _read_waveform(self, file: MediaFile) -> ZoomLevels | None:
        facts, content = self._media.read(file, "waveform")
        if not facts["has_sound"]:
            return None
        low, high = np.frombuffer(content, "<f4").reshape(2, 1, -1)
        return ZoomLevels(low, high)


def add_media_routes(routes: APIRouter, reader: VideoReader) -> None:
    """Add the routes on the content of videos."""
    _add_strip(routes, reader)
    _add_frames(routes, reader)
    _add_waveform(routes, reader)


def _add_strip(routes: APIRouter, reader: VideoReader) -> None:
    @routes.get("/filmstrip", responses=_STATUSES)
    def filmstrip(
        name: VideoId,
        start: Time = 0.0,
        end: Time | None = None,
        count: Count = 60,
        height: StripHeight = 54,
    ) -> FilmstripInfo:
        """Return small pictures over a range, the whole video by default.

        Each is the key frame before the middle of its part; in ranges up to 8 s, the frame there.
        """
        file, facts, _ = reader.strip(name, start, end, count, height)
        query = {"id": name, "start": start, "end": end, "count": count, "height": height}
        query |= {"version": file.version}
        given = urlencode({key: value for key, value in query.items() if value is not None})
        return FilmstripInfo(**facts, image=f"{routes.prefix}/filmstrip/image?{given}")

    @routes.get("/filmstrip/image", response_class=Response, responses=_STATUSES | _JPEG)
    def filmstrip_image(
        request: Request,
        name: VideoId,
        start: Time = 0.0,
        end: Time | None = None,
        count: Count = 60,
        height: StripHeight = 54,
        version: Version = None,
    ) -> Response:
        """Return the sheet of a filmstrip."""
        if fresh := _not_modified(request, reader.file(name), version):
            return fresh
        file, _, sheet = reader.strip(name, start, end, count, height)
        return _answer(sheet, "image/jpeg", file, version)

    @routes.get("/thumbnail", response_class=Response, responses=_STATUSES | _JPEG)
    def thumbnail(
        request: Request, name: VideoId, height: StripHeight = 90, version: Version = None
    ) -> Response:
        """Return the key frame before the middle of a video."""
        if fresh := _not_modified(request, reader.file(name), version):
            return fresh
        file, _, sheet = reader.strip(name, 0.0, None, 1, height)
        return _answer(sheet, "image/jpeg", file, version)


def _add_frames(routes: APIRouter, reader: VideoReader) -> None:
    @routes.get("/frame", response_class=Response, responses=_STATUSES | _JPEG)
    def frame(
        request: Request,
        name: VideoId,
        time: Time = 0.0,
        height: Annotated[int, Query(ge=16, le=2160, description="Largest, pixels.")] = 360,
        version: Version = None,
    ) -> Response:
        """Return the frame that is shown at a time.

        The headers `Actspan-Frame` and `Actspan-Time` give its number, from 0, and its seconds.
        """
        file = reader.file(name)
        if fresh := _not_modified(request, file, version):
            return fresh
        times = reader.frame_times(file).times
        number = max(int(np.searchsorted(times, time, side="right")) - 1, 0)
        shown = float(times[number])
        answer = _answer(reader.preview(file, shown, height), "image/jpeg", file, version)
        answer.headers["Actspan-Frame"] = str(number)
        answer.headers["Actspan-Time"] = repr(shown)
        return answer

    @routes.get("/frames", responses=_STATUSES)
    def frames(name: VideoId) -> FrameGrid:
        """Return the number and the rate of a video's frames."""
        file = reader.file(name)
        found = reader.frame_times(file)
        return FrameGrid(
            frames=len(found.times),
            rate=found.rate,
            is_variable=found.is_variable,
            first=float(found.times[0]),
            last=float(found.times[-1]),
            version=file.version,
        )

    @routes.get("/frame-times", response_class=Response, responses=_STATUSES | _FLOATS)
    def frame_times(
        name: VideoId,
        first: Annotated[int, Query(ge=0, le=2**40, description="Number of the first.")] = 0,
        count: Annotated[int, Query(ge=1, le=_MOST_TIMES)] = _MOST_TIMES,
    ) -> Response:
        """Return the seconds at which some frames appear, (n,) float64; none beyond the last."""
        times = reader.frame_times(reader.file(name)).times[first : first + count]
        return Response(times.astype("<f8").tobytes(), media_type="application/octet-stream")


def _add_waveform(routes: APIRouter, reader: VideoReader) -> None:
    @routes.get("/waveform", responses=_STATUSES)
    def waveform(name: VideoId) -> WaveformInfo:
        """Return the size of the waveform of a video's sound."""
        file = reader.file(name)
        levels = reader.waveform(file)
        return WaveformInfo(
            has_sound=levels is not None,
            intervals=0 if levels is None else levels.cells,
            rate=INTERVALS,
            levels=0 if levels is None else len(levels),
            tile=TILE,
            version=file.version,
        )

    @routes.get("/waveform/tile", response_class=Response, responses=_STATUSES | _FLOATS)
    def waveform_tile(
        request: Request,
        name: VideoId,
        level: Annotated[int, Query(ge=0, le=64)] = 0,
        tile: Annotated[int, Query(ge=0, le=2**31)] = 0,
        version: Version = None,
    ) -> Response:
        """Return a tile of a waveform, (2, n) float32: lowest and highest sample of columns."""
        file = reader.file(name)
        if fresh := _not_modified(request, file, version):
            return fresh
        levels = reader.waveform(file)
        if levels is None:
            raise ProblemError(404, f"video {name!r} has no sound")
        content = levels.tile(level, tile).astype("<f4").tobytes()
        return _answer(content, "application/octet-stream", file, version)


def _not_modified(request: Request, file: MediaFile, version: str | None) -> Response | None:
    """Return the answer to a client that has the newest version of what it asks for."""
    if request.headers.get("if-none-match") == f'"{file.version}"':
        return Response(status_code=304, headers=_caching(file, version))
    return None


def _answer(content: bytes, media_type: str, file: MediaFile, version: str | None) -> Response:
    return Response(content, media_type=media_type, headers=_caching(file, version))


def _caching(file: MediaFile, version: str | None) -> dict[str, str]:
    """Return headers that let a client keep an answer for the version that it names."""
    control = {"Cache-Control": _FOREVER} if version == file.version else {}
    return {"ETag": f'"{file.version}"', **control}
