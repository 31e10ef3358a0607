"""Sinks of a job: they receive results in order, as they are committed."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from actspan.core.errors import ActSpanError, ConfigError
from actspan.core.files import replace_folder, sha256, sync
from actspan.core.types import Proposals
from actspan.data.detections import DETECTIONS_FILE, Detections
from actspan.data.result_writers import result_writer
from actspan.jobs.checkpoint import OtherResultError
from actspan.jobs.clips import Clip, cut_clips
from actspan.jobs.contracts import Source
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.run import RunWriter, write_info
from actspan.pipeline.labels import Labeller
from actspan.pipeline.outcomes import Outcome


class Sink:
    """Receiver of the results of a job; subclasses override what they need.

    A sink is a context manager. `start` is called first, then `add` for every result in order,
    `close` after the last one, and `publish` once all sinks are closed. If the job fails, only
    `__exit__` is called, and nothing must be left.

    Attributes
    ----------
    detections : int
        Number of labelled proposals that were written.
    """

    detections = 0

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def start(self, source: Source) -> None:
        """Prepare for the results of a source."""

    def add(self, outcome: Outcome) -> None:
        """Receive a video, or the next window of a recording; the last has the proposals."""

    def close(self) -> None:
        """Complete what was written."""
        self._stack.close()

    def publish(self, summary: Summary) -> None:
        """Move what was written to its place."""


class RunSink(Sink):
    """Writer of a run folder.

    Parameters
    ----------
    request : ProposeRequest
    labels : Labeller, optional
        Labels for `detections.json`.
    info : callable
        Returns the content of `run.toml` for a summary.
    """

    def __init__(
        self,
        request: ProposeRequest,
        labels: Labeller | None,
        info: Callable[[Summary], Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self._partial, self._labels, self._info = request.partial, labels, info
        self._folder = request.partial / ".run"
        self._detections: DetectionWriter | None = None

    def start(self, source: Source) -> None:
        """Open the files of the run, in a hidden folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._writer = self._stack.enter_context(RunWriter(self._folder))
        if self._labels is not None:
            writer = DetectionWriter(self._folder / DETECTIONS_FILE, self._labels)
            self._detections = self._stack.enter_context(writer)

    def add(self, outcome: Outcome) -> None:
        """Append a video or window."""
        self._writer.add(outcome)
        if self._detections is not None and outcome.proposals is not None:
            self._detections.add(outcome.id, outcome.proposals)

    def close(self) -> None:
        """Complete the files."""
        if self._detections is not None:
            self._detections.finish()
            self.detections = self._detections.count
        super().close()

    def publish(self, summary: Summary) -> None:
        """Write `run.toml`, and move the folder to its place."""
        files = {file.name: sha256(file) for file in sorted(self._folder.iterdir())}
        write_info(self._folder, {**self._info(summary), "files": files})
        target = self._partial.with_name(self._partial.name.removesuffix(".partial"))
        replace_folder(self._folder, target)


class ResultSink(Sink):
    """Writer of a result file: JSON, or a table, depending on its suffix.

    Parameters
    ----------
    request : ProposeRequest
    labels : Labeller, optional
        Labels; the file then holds only detections.
    finished : str, optional
        SHA-256 that the file must have, because a complete file is resumed.
    """

    def __init__(
        self, request: ProposeRequest, labels: Labeller | None, finished: str | None
    ) -> None:
        super().__init__()
        assert request.out is not None
        self._out, self._labels, self._finished = request.out, labels, finished
        self._file = request.partial / f".result{request.out.suffix}"
        self._write: Callable[[str, Proposals], None]
        self._detections: DetectionWriter | None = None

    def start(self, source: Source) -> None:
        """Open the file, under a hidden name."""
        if self._labels is None:
            self._write = self._stack.enter_context(result_writer(self._file)).add
        else:
            writer = DetectionWriter(self._file, self._labels)
            self._detections = self._stack.enter_context(writer)
            self._write = writer.add

    def add(self, outcome: Outcome) -> None:
        """Append a video."""
        if outcome.proposals is not None:
            self._write(outcome.id, outcome.proposals)

    def close(self) -> None:
        """Complete the file."""
        if self._detections is not None:
            self._detections.finish()
            self.detections = self._detections.count
        super().close()

    def publish(self, summary: Summary) -> None:
        """Move the file to its place.

        Raises
        ------
        OtherResultError
            The checksum is not `finished`; the older file stays.
        """
        if self._finished not in (None, sha256(self._file)):
            raise OtherResultError(
                f"{self._out}: is complete, and these options and files give another result: "
                "choose another file, or replace it: without --resume"
            )
        os.replace(self._file, self._out)
        sync(self._out.parent)


class SegmentList(Sink):
    """List of the results in memory, for tables and for library users.

    Attributes
    ----------
    proposals : dict of video id to Proposals
        Seconds, best first.
    paths : mapping of video id to Path
        The videos, if the source is videos.
    """

    def __init__(self) -> None:
        super().__init__()
        self.proposals: dict[str, Proposals] = {}
        self.paths: Mapping[str, Path] = {}

    def start(self, source: Source) -> None:
        """Remember the videos."""
        self.paths = source.paths

    def add(self, outcome: Outcome) -> None:
        """Append a video."""
        if outcome.proposals is not None:
            self.proposals[outcome.id] = outcome.proposals


class ClipSink(Sink):
    """Cutter of the segments of videos to files of their own.

    Parameters
    ----------
    folder : Path
    report : callable, optional
        Called with each clip.

    Raises
    ------
    ActSpanError
        The folder cannot be created.
    """

    def __init__(self, folder: Path, report: Callable[[Clip], None] | None = None) -> None:
        super().__init__()
        self._folder, self._report = folder, report
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(f"{folder}: cannot be made: {error.strerror}") from error

    def start(self, source: Source) -> None:
        """Remember the videos.

        Raises
        ------
        ConfigError
            The source is not video files.
        """
        if not source.paths:
            raise ConfigError("clips are cut from video files, and there are none here")
        self._source = source

    def add(self, outcome: Outcome) -> None:
        """Cut the segments of a video, best first."""
        if outcome.proposals is None:
            return
        path, end = self._source.paths[outcome.id], self._source.end(outcome.id)
        for clip in cut_clips(outcome.id, path, outcome.proposals, self._folder, end=end):
            if self._report is not None:
                self._report(clip)


class DetectionWriter:
    """Writer of labelled proposals, which are labelled on all cores.

    Attributes
    ----------
    count : int
        Detections that were written.
    """

    def __init__(self, path: Path, labels: Labeller) -> None:
        self.count = 0
        self._path, self._labels = path, labels
        self._threads = os.cpu_count() or 1
        self._waiting: deque[tuple[str, Future[Detections]]] = deque()

    def __enter__(self) -> Self:
        self._file = result_writer(self._path, labelled=True)
        self._writer = self._file.__enter__()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="label")
        return self

    def add(self, video: str, proposals: Proposals) -> None:
        """Label the proposals of a video, seconds, and write those of earlier videos."""
        self._waiting.append((video, self._pool.submit(self._labels.label, video, proposals)))
        while len(self._waiting) > 2 * self._threads:
            self._write()

    def _write(self) -> None:
        video, future = self._waiting.popleft()
        found = future.result()
        self._writer.add(video, found.segments, found.labels)
        self.count += len(found)

    def finish(self) -> None:
        """Write the detections of all videos."""
        while self._waiting:
            self._write()

    def __exit__(self, *details: Any) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.__exit__(*details)
