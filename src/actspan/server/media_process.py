"""Process that reads pictures, frame times and waveforms of the served videos.

    python -m actspan.server.media_process BYTES

The result of a task is written to a path that the service chose. Its memory is limited to BYTES.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actspan.core.files import atomic_file
from actspan.server.worker_process import Reply, Send, answer_tasks, limit_resources
from actspan.streams.frame_times import read_frame_times
from actspan.streams.previews import COLUMNS, read_preview, read_strip
from actspan.streams.video_decoding import VideoFile
from actspan.streams.waveform import read_waveform


def encode_result(facts: dict[str, Any], content: bytes = b"") -> bytes:
    """Return the bytes of a result: a line of JSON, then the content."""
    return json.dumps(facts).encode() + b"\n" + content


def decode_result(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the facts and the content of a result."""
    line, _, content = data.partition(b"\n")
    return json.loads(line), content


def _length(path: Path) -> bytes:
    with VideoFile(path) as video:
        seconds, rate = video.announced, video.fps
    seconds = seconds or float(read_frame_times(path).times[-1])
    return encode_result({"seconds": seconds, "rate": rate})


def _strip(path: Path, start: float, end: float, count: int, height: int) -> bytes:
    strip = read_strip(path, start, end, count, height)
    facts = {"width": strip.width, "height": strip.height, "times": strip.times}
    return encode_result({**facts, "columns": min(COLUMNS, count)}, strip.sheet)


def _preview(path: Path, time: float, height: int) -> bytes:
    preview = read_preview(path, time, height)
    return encode_result({"time": preview.time}, preview.image)


def _frame_times(path: Path) -> bytes:
    found = read_frame_times(path)
    facts = {"rate": found.rate, "is_variable": found.is_variable}
    return encode_result(facts, found.times.astype("<f8").tobytes())


def _waveform(path: Path) -> bytes:
    peaks = read_waveform(path)
    if peaks is None:
        return encode_result({"has_sound": False})
    return encode_result({"has_sound": True}, peaks.astype("<f4").tobytes())


_READERS: dict[str, Callable[..., bytes]] = {
    "length": _length,
    "strip": _strip,
    "preview": _preview,
    "frame-times": _frame_times,
    "waveform": _waveform,
}


def _answer(task: dict[str, Any], _: Send) -> Reply:
    content = _READERS[task["kind"]](Path(task["source"]), **task["options"])
    with atomic_file(Path(task["target"])) as stream:
        stream.write(content)
    return {}


def main() -> None:
    """Answer tasks until standard input ends."""
    limit_resources(int(sys.argv[1]))
    answer_tasks(_answer)


if __name__ == "__main__":
    main()
