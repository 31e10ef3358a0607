"""Small example videos, written with PyAV: each frame is grey, brighter with its number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICKS = 1000  # a second


def write_video(
    path: Path,
    times: Sequence[float],
    *,
    size: tuple[int, int] = (48, 64),
    codec: str = "mpeg4",
    audio: bool = False,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames that appear at `times`, in seconds; `size` is height and width."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        if codec != "mpeg2video":  # which knows steady rates alone
            stream.codec_context.time_base = Fraction(1, TICKS)
        sound = container.add_stream("aac", rate=16000) if audio else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            write_tone(container, sound, times[-1])
    return path


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of frame `number`: grey, with a bright band at the top."""
    pixels = np.full((*size, 3), level(number), dtype=np.uint8)
    pixels[: size[0] // 4] = 250
    return pixels


def level(number: int) -> int:
    """Return the brightness of frame `number`."""
    return 20 + 4 * (number % 50)


def write_tone(container: av.container.OutputContainer, stream: av.AudioStream, end: float) -> None:
    samples = np.zeros((1, 1024), dtype=np.float32)
    for k in range(max(int(end * 16000 / 1024), 1)):
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 1024 * k, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        write_tone(container, container.add_stream("aac", rate=16000), 1.0)
    return path


def turn(path: Path) -> Path:
    """Set a rotation by 90 degrees clockwise in the header of an mp4."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # version 0: the matrix comes after 40 bytes
    one = 1 << 16
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first bytes alone, as a broken copy does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def steady(seconds: float, fps: float = 25.0) -> list[float]:
    return [k / fps for k in range(round(seconds * fps))]
