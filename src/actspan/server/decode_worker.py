"""Process that decodes uploads. It isolates the service from hostile files.

    python -m actspan.server.decode_worker BYTES [SECONDS]

Its memory is limited, and its processor time too if SECONDS is given. A line of JSON on standard
input is a task, lines on standard output are its progress and its end. Features are written as npy,
float32, to a path that the service chose.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from actspan.core.errors import ActSpanError, DataError, FeatureError, ShapeError
from actspan.core.types import Float32
from actspan.server.formats import Kind, arrow_array, npy_array

_BLOCK = 4096  # snippets to convert at a time


class Task(msgspec.Struct, frozen=True):
    """Upload to decode.

    Attributes
    ----------
    source, target : str
        Paths of the upload and of the features to write.
    channels : int
        Channels of the features that are needed.
    stride : float
        Seconds from snippet to snippet of features; for a video it is computed.
    longest : float, optional
        Maximum duration of the recording, seconds.
    model, backend, backbone : str, optional
        For videos: as for `BundleFeatures`.
    """

    kind: Kind
    source: str
    target: str
    channels: int
    stride: float = 1.0
    longest: float | None = None
    model: str = ""
    backend: str = "auto"
    backbone: str | None = None


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress in [0, 1], and at the end either the stride in seconds or an error."""

    progress: float = 0.0
    stride: float = 0.0
    error: str = ""


def main() -> None:
    """Answer tasks until standard input ends."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output that libraries print must not mix with replies
    _limit(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    with suppress(BrokenPipeError):  # the service has ended
        for line in sys.stdin.buffer:
            for reply in _replies(msgspec.json.decode(line, type=Task)):
                replies.write(msgspec.json.encode(reply) + b"\n")


def _limit(memory: int, seconds: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _replies(task: Task) -> Iterator[Reply]:
    try:
        yield from _video(task) if task.kind == "video" else _features(task)
    except (ActSpanError, OSError) as error:
        yield Reply(error=str(error).replace(task.source, "the upload"))
    except MemoryError:
        yield Reply(error="decoding it takes more memory than is allowed here")


def _features(task: Task) -> Iterator[Reply]:
    source = Path(task.source)
    array = _mapped_npy(source) if task.kind == "npy" else arrow_array(source)
    check_table(array.shape, task.channels)
    _check_seconds(len(array) * task.stride, task)
    with NpyWriter(Path(task.target), task.channels) as writer:
        for first in range(0, len(array), _BLOCK):
            writer.add(np.asarray(array[first : first + _BLOCK], dtype=np.float32))
            yield Reply(progress=(first + _BLOCK) / (len(array) + _BLOCK))
    yield Reply(progress=1.0, stride=task.stride)


def _mapped_npy(path: Path) -> Any:
    if path.stat().st_size == 0:
        raise FeatureError("the upload is empty")
    with path.open("rb") as stream:
        return npy_array(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def check_table(shape: tuple[int, ...], channels: int) -> None:
    """Check that the model accepts a table of features.

    Raises
    ------
    ShapeError
        The table has another number of channels, or is empty.
    """
    if len(shape) != 2 or 0 in shape:
        raise ShapeError(f"features have shape {shape}; (n, C) with n, C >= 1 is needed")
    if shape[1] != channels:
        raise ShapeError(f"features have {shape[1]} channels, the model expects {channels}")


def _video(task: Task) -> Iterator[Reply]:
    from actspan.jobs.bundle_features import BundleFeatures
    from actspan.model.bundle import Bundle
    from actspan.streams.decode import VideoFile

    source = Path(task.source)
    with VideoFile(source) as video:
        whole = video.announced or 0.0
    _check_seconds(whole, task)
    made = BundleFeatures(Bundle.load(task.model), backbone=task.backbone, backend=task.backend)
    stride = 0.0
    with made, NpyWriter(Path(task.target), task.channels) as writer:
        for part in made.run([source]):
            if isinstance(part.ending, DataError):
                raise part.ending
            _check_seconds(part.seconds, task)
            stride = part.stride
            writer.add(part.rows)
            yield Reply(progress=min(part.seconds / max(whole, part.seconds, 1e-9), 1.0))
    yield Reply(progress=1.0, stride=stride)


def _check_seconds(seconds: float, task: Task) -> None:
    if task.longest is not None and seconds > task.longest:
        raise FeatureError(f"it lasts longer than the {task.longest:g} s allowed here")


class NpyWriter:
    """Writer of an npy file, float32, whose number of rows is not known in advance.

    The file appears at its path, durably, once it is complete.
    """

    def __init__(self, path: Path, channels: int) -> None:
        self._path, self._channels, self._rows = path, channels, 0

    def __enter__(self) -> NpyWriter:
        from actspan.core.files import atomic_file

        self._file = atomic_file(self._path)
        self._stream: IO[bytes] = self._file.__enter__()
        self._write_header()
        return self

    def _write_header(self) -> None:
        # NumPy leaves room in the header for the number of rows to grow.
        shape = (self._rows, self._channels)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def add(self, rows: Float32) -> None:
        """Append rows, (k, C)."""
        self._stream.write(np.ascontiguousarray(rows, dtype="<f4").data)
        self._rows += len(rows)

    def __exit__(self, *details: Any) -> None:
        if details[0] is None:
            self._stream.seek(0)
            self._write_header()
        self._file.__exit__(*details)


if __name__ == "__main__":
    main()
