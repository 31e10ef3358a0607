"""Pictures, frame times and waveforms of the served videos: made once, and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from actspan.core.errors import DataError
from actspan.server.error_responses import ProblemError
from actspan.server.media_process import decode_result
from actspan.server.requests import Metrics
from actspan.server.settings import Limits
from actspan.server.worker_process import WorkerProcess

_FORMAT = 1  # of results; raise it when they change
_WHOLE_FILES = frozenset({"frame-times", "waveform"})  # results that need all of a file
_MOST_FILES = 20_000


class FileCache:
    """Files by key in a folder, of which the least recently used are removed beyond a size.

    Keys are names of files. Safe to use from several threads of one process.
    """

    def __init__(self, folder: Path, most_bytes: int, most_files: int = _MOST_FILES) -> None:
        self._folder, self._most_bytes, self._most_files = folder, most_bytes, most_files
        self._lock = Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # least recently used first
        folder.mkdir(parents=True, exist_ok=True)
        found = [(path.stat(), path) for path in folder.iterdir()]
        for facts, path in sorted(found, key=lambda one: one[0].st_mtime_ns):
            if path.name.startswith("."):
                path.unlink(missing_ok=True)  # left over from a process that was killed
            else:
                self._sizes[path.name] = facts.st_size
        self._total = sum(self._sizes.values())

    def path(self, key: str) -> Path:
        """Return the path at which the file of a key is written, to be followed by `add`."""
        return self._folder / key

    def get(self, key: str) -> bytes | None:
        """Return the content of a file, now the most recently used one, or None."""
        with self._lock:
            if key not in self._sizes:
                return None
            self._sizes.move_to_end(key)
            try:
                os.utime(self.path(key))  # the order is read from these times at the next start
                return self.path(key).read_bytes()
            except OSError:  # someone removed it
                self._total -= self._sizes.pop(key)
                return None

    def add(self, key: str) -> None:
        """Count a file that was written, and remove others if there are too many."""
        with self._lock:
            self._total -= self._sizes.pop(key, 0)
            self._sizes[key] = self.path(key).stat().st_size
            self._total += self._sizes[key]
            while len(self._sizes) > 1 and (
                self._total > self._most_bytes or len(self._sizes) > self._most_files
            ):
                oldest, size = self._sizes.popitem(last=False)
                self._total -= size
                self.path(oldest).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A served file, in one version of its content."""

    path: Path
    version: str

    @classmethod
    def of(cls, path: Path) -> MediaFile:
        """Return a file with its version, which changes with its size or time of change."""
        facts = path.stat()
        text = f"{_FORMAT} {path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        return cls(path, hashlib.sha256(text.encode()).hexdigest()[:20])


class FileLength(NamedTuple):
    """Seconds and frames per second of a video file.

    Both are NaN if it is damaged; `fault` says why.
    """

    seconds: float
    rate: float
    fault: str = ""


class Media:
    """Reader of the served videos, in processes with limited memory, with a cache on disk.

    Equal requests at the same time are computed once. One process makes pictures, another one reads
    whole files. Others wait, and beyond `Limits.waiting_media` they are refused.
    """

    def __init__(self, folder: Path, limits: Limits, metrics: Metrics) -> None:
        self._cache = FileCache(folder, limits.cache_bytes)
        self._limits, self._metrics = limits, metrics
        words = ["actspan.server.media_process", str(limits.decode_bytes)]
        self._quick, self._slow = (WorkerProcess(words, "the video") for _ in range(2))
        self._lock = Lock()
        self._waiting = 0
        self._making: dict[str, Lock] = {}

    def read(self, file: MediaFile, kind: str, **options: Any) -> tuple[dict[str, Any], bytes]:
        """Return the facts and the content of a result of `media_process`.

        Raises DataError if the file is damaged, ProblemError (429) if too many requests wait.
        """
        text = json.dumps([file.version, kind, options], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:40]
        content = self._cache.get(key)
        if content is None:
            with self._alone(key):
                content = self._cache.get(key)  # made while this request waited
                if content is None:
                    content = self._make(file, kind, options, key)
        return decode_result(content)

    def length(self, file: MediaFile) -> FileLength:
        """Return the duration and the frame rate of a video; raises like `read`."""
        return FileLength(**self.read(file, "length")[0])

    def _make(self, file: MediaFile, kind: str, options: dict[str, Any], key: str) -> bytes:
        target = self._cache.path(key)
        task = {"kind": kind, "source": str(file.path), "target": str(target), "options": options}
        try:
            worker = self._slow if kind in _WHOLE_FILES else self._quick
            worker.run(task, self._limits.answer_seconds)
        except DataError as error:  # the folder of the videos is nobody else's business
            raise DataError(str(error).replace(str(file.path), file.path.name)) from error
        content = target.read_bytes()
        self._cache.add(key)
        return content

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Wait until no other request makes this result; refuse if too many wait."""
        with self._lock:
            if self._waiting >= self._limits.waiting_media:
                line = f"{self._waiting} pictures and waveforms are being made; try again"
                raise self._metrics.refuse("media", line, 1)
            self._waiting += 1
            own = self._making.setdefault(key, Lock())
        try:
            with own:
                yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._making.pop(key, None)

    def close(self) -> None:
        """End the processes."""
        self._quick.close()
        self._slow.close()


def media_file(path: Path | None, name: str) -> MediaFile:
    """Return the file of a video, or raise ProblemError (404) if there is none."""
    with suppress(OSError):
        if path is not None:
            return MediaFile.of(path)
    raise ProblemError(404, f"no video file of {name!r} is served")
