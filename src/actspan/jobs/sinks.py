"""Sinks of a job: they receive results in order, as they are committed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from actspan.core.errors import ActSpanError, ConfigError
from actspan.core.files import replace_folder, sha256, sync
from actspan.core.types import Proposals
from actspan.data.detections import DETECTIONS_FILE
from actspan.data.result_writers import result_writer
from actspan.jobs.checkpoint import OtherResultError
from actspan.jobs.clips import Clip, cut_clips
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.run import RunWriter, write_info
from actspan.jobs.source import Source
from actspan.pipeline.labels import DetectionWriter, Labeller
from actspan.pipeline.outcomes import Outcome


class Sink:
    """Receiver of the results of a job; subclasses override what they need.

    `start` is called first, then `add` for every video or window in order (the last window of a
    recording has its proposals), `close` after the last one, and `publish` once all sinks are
    closed. What is entered into `stack` is closed too if the job fails.

    Attributes
    ----------
    detections : int
        Number of labelled proposals that were written.
    """

    detections = 0

    def __enter__(self) -> Self:
        self.stack = ExitStack()
        return self

    def __exit__(self, *details: Any) -> None:
        self.stack.__exit__(*details)

    def start(self, source: Source) -> None:
        """Prepare for the results of a source."""

    def add(self, outcome: Outcome) -> None:
        """Receive a video or window."""

    def close(self) -> None:
        """Complete what was written."""
        self.stack.close()

    def publish(self, summary: Summary) -> None:
        """Move what was written to its place."""


class _FileSink(Sink):
    """Base of the sinks that write files; with labels, one of the files has the detections."""

    def __init__(self, request: ProposeRequest, labels: Labeller | None) -> None:
        self._partial, self._labels = request.partial, labels
        self._labelled: DetectionWriter | None = None

    def _open_detections(self, path: Path) -> None:
        if self._labels is not None:
            self._labelled = self.stack.enter_context(DetectionWriter(path, self._labels))

    def close(self) -> None:
        """Complete the files."""
        if self._labelled is not None:
            self.detections = self._labelled.finish()
        super().close()


class RunSink(_FileSink):
    """Writer of a run folder; `info` returns the content of `run.toml` for a summary."""

    def __init__(
        self,
        request: ProposeRequest,
        labels: Labeller | None,
        info: Callable[[Summary], Mapping[str, Any]],
    ) -> None:
        super().__init__(request, labels)
        self._info, self._folder = info, self._partial / ".run"

    def start(self, source: Source) -> None:
        """Open the files of the run, in a hidden folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._writer = self.stack.enter_context(RunWriter(self._folder))
        self._open_detections(self._folder / DETECTIONS_FILE)

    def add(self, outcome: Outcome) -> None:
        """Append a video or window."""
        self._writer.add(outcome)
        if self._labelled is not None and outcome.proposals is not None:
            self._labelled.add(outcome.id, outcome.proposals)

    def publish(self, summary: Summary) -> None:
        """Write `run.toml`, and move the folder to its place."""
        files = {file.name: sha256(file) for file in sorted(self._folder.iterdir())}
        write_info(self._folder, {**self._info(summary), "files": files})
        target = self._partial.with_name(self._partial.name.removesuffix(".partial"))
        replace_folder(self._folder, target)


class ResultSink(_FileSink):
    """Writer of a result file: JSON, or a table, depending on its suffix; or of its detections.

    `finished` is the SHA-256 that the file must have, because a complete file is resumed.
    """

    def __init__(
        self, request: ProposeRequest, labels: Labeller | None, finished: str | None
    ) -> None:
        super().__init__(request, labels)
        assert request.out is not None
        self._out, self._finished = request.out, finished
        self._file = self._partial / f".result{request.out.suffix}"
        self._write: Callable[[str, Proposals], None]

    def start(self, source: Source) -> None:
        """Open the file, under a hidden name."""
        self._open_detections(self._file)
        if self._labelled is not None:
            self._write = self._labelled.add
        else:
            self._write = self.stack.enter_context(result_writer(self._file)).add

    def add(self, outcome: Outcome) -> None:
        """Append a video."""
        if outcome.proposals is not None:
            self._write(outcome.id, outcome.proposals)

    def publish(self, summary: Summary) -> None:
        """Move the file to its place; raise OtherResultError if it is not the finished one."""
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
    """Cutter of the segments of videos to files in a folder; `report` is called with each clip."""

    def __init__(self, folder: Path, report: Callable[[Clip], None]) -> None:
        self._folder, self._report = folder, report
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(f"{folder}: cannot be made: {error.strerror}") from error

    def start(self, source: Source) -> None:
        """Remember the videos; raise ConfigError if the source is not video files."""
        if not source.paths:
            raise ConfigError("clips are cut from video files, and there are none here")
        self._source = source

    def add(self, outcome: Outcome) -> None:
        """Cut the segments of a video, best first."""
        if outcome.proposals is not None:
            path, end = self._source.paths[outcome.id], self._source.end(outcome.id)
            for clip in cut_clips(outcome.id, path, outcome.proposals, self._folder, end=end):
                self._report(clip)
