"""Uploads: their type by their first bytes, arrays of features, and the process that decodes them.

It also decodes JSON that would block other requests in the service.

    python -m actspan.server.uploads BYTES [SECONDS]

Names and media types from callers are ignored. Anything but array files and video containers is
refused: FFmpeg also reads playlists, which refer to other files. A separate process isolates the
service from hostile files. Its memory is limited, and its processor time too if SECONDS is given.
Replies are the progress, and at the end the stride. Features are written as npy, float32, to a path
that the service chose.
"""

from __future__ import annotations

import math
import mmap
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ActSpanError, DataError, FeatureError, ShapeError
from actspan.core.files import atomic_file, check_size
from actspan.core.types import Float32
from actspan.data.array_files import HEAD as NPY_HEAD
from actspan.data.array_files import read_header
from actspan.server.arrow_uploads import ArrowUpload, features_size
from actspan.server.error_responses import ProblemError
from actspan.server.worker_process import Reply, Send, answer_tasks, limit_resources
from actspan.streams.feature_files import FeatureWriter

Kind = Literal["npy", "arrow", "video"]

HEAD = 512  # bytes that determine the type
_BLOCK = 4096  # snippets to convert at a time
_ARROW = (b"ARROW1\0\0", b"\xff\xff\xff\xff")  # a file; a stream
_VIDEO = re.compile(
    rb".{4}(ftyp|moov|mdat|wide|free|skip)"  # MP4, MOV
    rb"|\x1a\x45\xdf\xa3"  # Matroska, WebM
    rb"|RIFF.{4}AVI |OggS|FLV\x01|\x00\x00\x01\xba|\x30\x26\xb2\x75"  # ..., MPEG-PS, ASF
    rb"|\x47.{187}\x47|.{4}\x47.{191}\x47",  # MPEG-TS, M2TS
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Task:
    """Upload to decode to a file of features with these channels.

    `stride` is in seconds from snippet to snippet of features; for a video it is computed.
    `longest` bounds the duration of the recording, seconds, and `largest` the size of features that
    are uploaded, bytes of float32. For videos, `model`, `backend` and
    `backbone` are those of `BundleFeatures`.
    """

    kind: Kind
    source: str
    target: str
    channels: int
    stride: float = 1.0
    longest: float | None = None
    largest: int | None = None
    model: str = ""
    backend: str = "auto"
    backbone: str | None = None


@dataclass(frozen=True, slots=True)
class JsonTask:
    """Request of the inference protocol whose tensors are to be written as bytes after its JSON.

    `header` and `specs` are those of `inference_tensors.read_request`.
    """

    source: str
    target: str
    header: int | None
    specs: list[dict[str, Any]]


def kind_of(head: bytes) -> Kind | None:
    """Return the type of an upload by its first `HEAD` bytes, or None if it is not supported."""
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(_ARROW):
        return "arrow"
    return "video" if _VIDEO.match(head) else None


def npy_array(data: bytes | bytearray | mmap.mmap) -> NDArray[Any]:
    """Return the array of an npy file as a view of its bytes; nothing is unpickled or allocated.

    Raises FeatureError if the file is damaged, or is not a table of numbers.
    """
    size = memoryview(data).nbytes
    try:
        header = read_header(bytes(memoryview(data)[:NPY_HEAD]), size)
    except ValueError as error:
        raise FeatureError(f"npy: damaged or truncated: {error}") from error
    if len(header.shape) != 2:
        raise FeatureError(f"npy: shape {header.shape}; numbers of shape (n, C) are needed")
    values, needed = size - header.offset, math.prod(header.shape) * header.dtype.itemsize
    if values != needed:
        raise FeatureError(f"npy: {values} bytes of values where its header says {needed}")
    flat: NDArray[Any] = np.frombuffer(data, header.dtype, offset=header.offset)
    order: Any = header.order
    return flat.reshape(header.shape, order=order)


def check_features(shape: tuple[int, ...], channels: int) -> None:
    """Raise ShapeError unless an array of features, (n, C), is not empty and has these channels."""
    if len(shape) != 2 or 0 in shape:
        raise ShapeError(f"features have shape {shape}; (n, C) with n, C >= 1 is needed")
    if shape[1] != channels:
        raise ShapeError(f"features have {shape[1]} channels, the model expects {channels}")


def check_features_size(shape: tuple[int, ...], largest: int | None) -> None:
    """Raise FeatureError if features take more than `largest` bytes."""
    if largest is not None and features_size(shape) > largest:
        raise FeatureError(
            f"features of shape {shape} take {features_size(shape):,} bytes as float32; "
            f"{largest:,} are allowed here; send more as a job"
        )


def main() -> None:
    """Answer tasks until standard input ends."""
    limit_resources(*map(int, sys.argv[1:]))
    answer_tasks(_answer)


def _answer(task: dict[str, Any], send: Send) -> Reply:
    return _decode_json(JsonTask(**task)) if "specs" in task else _decode(Task(**task), send)


def _decode_json(task: JsonTask) -> Reply:
    """Write a request with binary tensors; return the number of its bytes that are JSON."""
    from actspan.server.inference_tensors import TensorSpec, as_binary

    specs = [TensorSpec(**spec) for spec in task.specs]
    try:
        head, tensors = as_binary(Path(task.source).read_bytes(), task.header, specs)
    except ProblemError as error:
        raise DataError(error.detail) from error
    with Path(task.target).open("wb") as stream:
        stream.write(head)
        for tensor in tensors:
            stream.write(tensor.data)
    return {"header": len(head)}


def _decode(task: Task, send: Send) -> Reply:
    """Write the features of an upload; return the last report, with the stride."""
    reply: Reply = {}
    try:
        for reply in _decode_video(task) if task.kind == "video" else _convert(task):
            send(reply)
    except BrokenPipeError:
        raise
    except (ActSpanError, OSError) as error:
        raise DataError(str(error).replace(task.source, "the upload")) from error
    return reply


def _convert(task: Task) -> Iterator[Reply]:
    """Write the features of an array file; yield the progress and the stride."""
    source, done = Path(task.source), 0
    array = _mapped_npy(source) if task.kind == "npy" else ArrowUpload(source)
    check_features(array.shape, task.channels)
    check_features_size(array.shape, task.largest)
    total = array.shape[0]
    _check_duration(total * task.stride, task)
    blocks = array.blocks(_BLOCK) if isinstance(array, ArrowUpload) else _blocks(array)
    with _feature_file(task) as writer:
        for block in blocks:
            writer.add(block)
            done += len(block)
            yield {"progress": min(done / total, 1.0), "stride": task.stride}


def _blocks(array: NDArray[Any]) -> Iterator[Float32]:
    for first in range(0, len(array), _BLOCK):
        yield np.asarray(array[first : first + _BLOCK], dtype=np.float32)


def _mapped_npy(path: Path) -> NDArray[Any]:
    check_size(path)
    if path.stat().st_size == 0:
        raise FeatureError("the upload is empty")
    with path.open("rb") as stream:
        return npy_array(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _decode_video(task: Task) -> Iterator[Reply]:
    """Extract and write the features of a video; yield the progress and the stride."""
    from actspan.model.bundle import Bundle
    from actspan.streams.bundle_features import BundleFeatures
    from actspan.streams.video_decoding import VideoFile

    source = Path(task.source)
    with VideoFile(source) as video:
        duration = video.announced or 0.0
    _check_duration(duration, task)
    encoder = BundleFeatures(Bundle.load(task.model), backbone=task.backbone, backend=task.backend)
    with encoder, _feature_file(task) as writer:
        for part in encoder.run([source]):
            if isinstance(part.ending, DataError):
                raise part.ending
            _check_duration(part.seconds, task)
            writer.add(part.rows)
            fraction = min(part.seconds / max(duration, part.seconds, 1e-9), 1.0)
            yield {"progress": fraction, "stride": part.stride}


def _check_duration(seconds: float, task: Task) -> None:
    if task.longest is not None and seconds > task.longest:
        raise FeatureError(f"it lasts longer than the {task.longest:g} s allowed here")


@contextmanager
def _feature_file(task: Task) -> Iterator[FeatureWriter]:
    """Open the file of a task's features; it appears once it is complete."""
    with atomic_file(Path(task.target)) as stream:
        writer = FeatureWriter(stream, task.channels, "float32")
        yield writer
        writer.finish()


if __name__ == "__main__":
    main()
