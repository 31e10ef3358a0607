"""Decoding of uploads in a process of its own, which isolates the service from hostile files.

    python -m actspan.server.decoding BYTES [SECONDS]

The memory of that process is limited, and its processor time too if SECONDS is given. A line of
JSON on its standard input is a task; lines on its standard output are progress, and at the end the
stride or an error. Features are written as npy, float32, to a path that the service chose.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from actspan.core.errors import ActSpanError, DataError, FeatureError
from actspan.core.files import atomic_file
from actspan.core.types import Float32
from actspan.server.uploads import Kind, arrow_array, check_features, npy_array

if TYPE_CHECKING:  # the decoding process needs none of the service
    from actspan.server.settings import Limits

_BLOCK = 4096  # snippets to convert at a time
_POLL = 0.1  # seconds between checks of `stop`


class StoppedError(Exception):
    """Error that says that the caller stopped decoding."""


@dataclass(frozen=True, slots=True)
class Task:
    """Upload to decode to a file of features with these channels.

    `stride` is in seconds from snippet to snippet of features; for a video it is computed.
    `longest` bounds the duration of the recording, seconds. For videos, `model`, `backend` and
    `backbone` are those of `BundleFeatures`.
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


class Decoder:
    """Process that decodes uploads one after another, with limits.

    It is started at the first use, and again after it was killed. A job's decoder has limited
    processor time and decodes one upload. The other decoder serves requests that are answered at
    once, and has a limited time per upload.
    """

    def __init__(self, limits: Limits, *, for_job: bool) -> None:
        self._limits, self._for_job = limits, for_job
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def decode(
        self,
        task: Task,
        *,
        stop: Event | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> float:
        """Decode an upload and return the seconds from snippet to snippet.

        Raises
        ------
        DataError
            The upload cannot be decoded, or not within the limits.
        StoppedError
            `stop` was set.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
                return self._follow(process, stop or Event(), progress)
            except BrokenPipeError:
                raise _ended(process) from None
            finally:
                if self._for_job or process.poll() is not None:
                    self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            words = [
                sys.executable,
                "-m",
                "actspan.server.decoding",
                str(self._limits.decode_bytes),
            ]
            if self._for_job:
                words.append(str(round(self._limits.decode_seconds)))
            self._process = subprocess.Popen(  # noqa: S603  our own module and numbers
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # so that `select` sees all unread output
                start_new_session=True,  # Ctrl-C must reach only the service
            )
        return self._process

    def _follow(
        self, process: subprocess.Popen[bytes], stop: Event, progress: Callable[[float], None]
    ) -> float:
        assert process.stdout is not None
        seconds = self._limits.decode_seconds if self._for_job else self._limits.answer_seconds
        end = monotonic() + seconds
        while True:
            if stop.is_set():
                self._kill()
                raise StoppedError
            if monotonic() > end:
                self._kill()
                raise DataError(f"the upload could not be decoded within {seconds:g} s")
            if not select.select([process.stdout], [], [], _POLL)[0]:
                continue
            line = process.stdout.readline()
            if not line:
                raise _ended(process)
            reply = json.loads(line)
            if "error" in reply:
                raise DataError(reply["error"])
            if "done" in reply:
                return float(reply["stride"])
            progress(reply["progress"])

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.wait()

    def close(self) -> None:
        """Kill the process."""
        with self._lock:
            self._kill()


def _ended(process: subprocess.Popen[bytes]) -> DataError:
    status = process.wait()
    return DataError(
        f"the process that decodes ended (status {status}): the upload is damaged, or needs more "
        "time or memory than is allowed here"
    )


def main() -> None:
    """Answer tasks until standard input ends."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output that libraries print must not mix with replies
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if len(sys.argv) > 2:
        seconds = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with suppress(BrokenPipeError):  # the service has ended
        for line in sys.stdin.buffer:
            for reply in _replies(Task(**json.loads(line))):
                replies.write(json.dumps(reply).encode() + b"\n")


def _replies(task: Task) -> Iterator[dict[str, Any]]:
    reply: dict[str, Any] = {}
    try:
        for reply in _decode_video(task) if task.kind == "video" else _convert(task):
            yield reply
        yield reply | {"done": True}
    except (ActSpanError, OSError) as error:
        yield {"error": str(error).replace(task.source, "the upload")}
    except MemoryError:
        yield {"error": "decoding it takes more memory than is allowed here"}


def _convert(task: Task) -> Iterator[dict[str, Any]]:
    """Write the features of an array file; yield the progress and the stride."""
    source = Path(task.source)
    array = _mapped_npy(source) if task.kind == "npy" else arrow_array(source)
    check_features(array.shape, task.channels)
    _check_duration(len(array) * task.stride, task)
    with _npy_writer(Path(task.target), task.channels) as write:
        for first in range(0, len(array), _BLOCK):
            write(np.asarray(array[first : first + _BLOCK], dtype=np.float32))
            yield {"progress": min((first + _BLOCK) / len(array), 1.0), "stride": task.stride}


def _mapped_npy(path: Path) -> Any:
    if path.stat().st_size == 0:
        raise FeatureError("the upload is empty")
    with path.open("rb") as stream:
        return npy_array(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _decode_video(task: Task) -> Iterator[dict[str, Any]]:
    """Extract and write the features of a video; yield the progress and the stride."""
    from actspan.jobs.bundle_features import BundleFeatures
    from actspan.model.bundle import Bundle
    from actspan.streams.video_decoding import VideoFile

    source = Path(task.source)
    with VideoFile(source) as video:
        duration = video.announced or 0.0
    _check_duration(duration, task)
    encoder = BundleFeatures(Bundle.load(task.model), backbone=task.backbone, backend=task.backend)
    with encoder, _npy_writer(Path(task.target), task.channels) as write:
        for part in encoder.run([source]):
            if isinstance(part.ending, DataError):
                raise part.ending
            _check_duration(part.seconds, task)
            write(part.rows)
            fraction = min(part.seconds / max(duration, part.seconds, 1e-9), 1.0)
            yield {"progress": fraction, "stride": part.stride}


def _check_duration(seconds: float, task: Task) -> None:
    if task.longest is not None and seconds > task.longest:
        raise FeatureError(f"it lasts longer than the {task.longest:g} s allowed here")


@contextmanager
def _npy_writer(path: Path, channels: int) -> Iterator[Callable[[Float32], None]]:
    """Yield a function that appends rows, (k, C), to an npy file; it appears once complete."""
    rows = 0
    with atomic_file(path) as stream:

        def write_header() -> None:
            # NumPy leaves room in the header for the number of rows to grow.
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, channels)}
            np.lib.format.write_array_header_1_0(stream, header)

        def write(values: Float32) -> None:
            nonlocal rows
            stream.write(np.ascontiguousarray(values, dtype="<f4").data)
            rows += len(values)

        write_header()
        yield write
        stream.seek(0)
        write_header()


if __name__ == "__main__":
    main()
