"""Small pictures of a video: a strip of frames over a range of time, and single frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import VideoError, require
from actspan.core.types import Float64
from actspan.streams.video_decoding import VideoFile

Pixels = NDArray[np.uint8]

COLUMNS = 20  # pictures per row of a sheet
_DENSE_SECONDS = 8.0  # in ranges up to this length all frames are decoded, not only key frames
_FORWARD = 2000  # frames that are decoded at most to reach a time: damaged files have no key frames
_QUALITY = 5  # of JPEG, from 1 (best) to 31
_WORKERS = 2


class Strip(NamedTuple):
    """Pictures over a range, in rows of `COLUMNS` on one sheet.

    `times` are the seconds at which the shown frames appear, None where no frame can be decoded
    and the picture is black.
    """

    sheet: bytes  # JPEG
    width: int  # of a picture, pixels
    height: int
    times: list[float | None]


class Preview(NamedTuple):
    """A frame as JPEG, and the seconds at which it appears."""

    image: bytes
    time: float


class _Picture(NamedTuple):
    pixels: Pixels  # (height, width, 3)
    time: float


def read_strip(path: Path, start: float, end: float, count: int, height: int) -> Strip:
    """Return `count` pictures, evenly spaced over start to end, seconds.

    Every picture is the key frame before the middle of its part of the range. In a range of at
    most 8 s it is the frame at that middle.

    Raises
    ------
    VideoError
        The file is damaged, contains no moving pictures, or no frame of the range can be decoded.
    """
    targets = start + (np.arange(count) + 0.5) * (end - start) / count
    if end - start <= _DENSE_SECONDS:
        pictures = _every_frame(path, targets, height)
    else:
        parts = [part for part in np.array_split(targets, _WORKERS) if len(part)]
        with ThreadPoolExecutor(len(parts)) as pool:
            found = pool.map(partial(_key_frames, path, height=height), parts)
            pictures = [picture for part in found for picture in part]
    shown = next((picture for picture in pictures if picture is not None), None)
    if shown is None:
        raise VideoError(f"{path}: no frame from {start:g} to {end:g} s can be decoded: damaged")
    tall, wide = shown.pixels.shape[:2]
    sheet = np.zeros((-(-count // COLUMNS) * tall, min(count, COLUMNS) * wide, 3), np.uint8)
    for number, picture in enumerate(pictures):
        if picture is not None:
            top, left = number // COLUMNS * tall, number % COLUMNS * wide
            sheet[top : top + tall, left : left + wide] = picture.pixels
    times = [None if picture is None else picture.time for picture in pictures]
    return Strip(_as_jpeg(sheet), wide, tall, times)


def read_preview(path: Path, time: float, height: int) -> Preview:
    """Return the frame that is shown at `time`, seconds, at most `height` pixels high.

    Raises VideoError if the file is damaged, or no frame can be decoded at this time.
    """
    (picture,) = _every_frame(path, np.array([time]), height)
    if picture is None:
        raise VideoError(f"{path}: no frame can be decoded at {time:g} s: damaged")
    return Preview(_as_jpeg(picture.pixels), picture.time)


def _key_frames(path: Path, targets: Float64, height: int) -> list[_Picture | None]:
    """Return the key frame before each time, or the next one at the start of a file."""
    pictures: list[_Picture | None] = []
    last = math.nan  # time of the frame that was converted last
    with VideoFile(path) as video:
        video.stream.codec_context.thread_type = "NONE"  # threads of frames would only add delay
        video.stream.codec_context.skip_frame = "NONKEY"
        for target in targets:
            frame = next(_frames_from(video, target), None)
            if frame is not None and frame[0] == last:
                pictures.append(pictures[-1])
                continue
            picture = None if frame is None else _convert(video, *frame, height)
            last = math.nan if picture is None else picture.time
            pictures.append(picture)
    return pictures


def _every_frame(path: Path, targets: Float64, height: int) -> list[_Picture | None]:
    """Return the frame that is shown at each time, decoded from the key frame before the first."""
    pictures: list[_Picture | None] = []
    with VideoFile(path) as video:
        video.stream.codec_context.thread_type = "SLICE"
        slack = float(video.stream.time_base or 0) / 2
        current: tuple[float, Any] | None = None
        converted: _Picture | None = None
        following = _frames_from(video, targets[0])
        upcoming = next(following, None)
        for target in targets:
            while upcoming is not None and (current is None or upcoming[0] <= target + slack):
                current, upcoming = upcoming, next(following, None)
            if current is not None and (converted is None or converted.time != current[0]):
                converted = _convert(video, *current, height)
            pictures.append(converted)
    return pictures


def _frames_from(video: VideoFile, time: float) -> Iterator[tuple[float, Any]]:
    """Seek to the key frame before a time; yield frames and their seconds from there on."""
    stream, tick = video.stream, float(video.stream.time_base or 0)
    if not tick:
        raise VideoError(f"{video.path}: its frames have no times, so it cannot be searched")
    # A microsecond later, so that the time of a key frame itself finds that frame.
    place = math.floor((time + video.origin + 1e-6) / tick)
    try:
        video.container.seek(max(place, stream.start_time or 0), stream=stream)
        for count, image in enumerate(_decode(video)):
            if count > _FORWARD:
                return
            stamp = image.pts if image.pts is not None else image.dts
            if stamp is not None:
                yield float(stamp) * tick - video.origin, image
    except video.errors:
        return


def _decode(video: VideoFile) -> Iterator[Any]:
    for packet in video.container.demux(video.stream):
        try:
            yield from packet.decode()
        except video.errors:  # a damaged packet; the next ones may be whole
            continue


def _convert(video: VideoFile, time: float, image: Any, height: int) -> _Picture:
    """Return a frame upright, with square pixels, and at most `height` pixels high."""
    turns = round(image.rotation / 90) % 4  # anticlockwise
    wide, tall = image.width * video.pixel_aspect, float(image.height)
    scale = min(height / (wide if turns % 2 else tall), 1.0)
    size = {"width": _even(wide * scale), "height": _even(tall * scale)}
    small = image.reformat(**size, format="rgb24", interpolation="FAST_BILINEAR")
    return _Picture(np.rot90(small.to_ndarray(), turns), time)


def _even(size: float) -> int:
    """Return the nearest even number of pixels, which JPEG with halved colours needs."""
    return max(2 * round(size / 2), 2)


def _as_jpeg(pixels: Pixels) -> bytes:
    """Return pixels, (height, width, 3), as JPEG."""
    av = require("av", extra="video", purpose="pictures of videos")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    encoder.options = {"qmin": str(_QUALITY), "qmax": str(_QUALITY)}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    packets = [*encoder.encode(frame), *encoder.encode()]
    return b"".join(map(bytes, packets))
