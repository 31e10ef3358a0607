"""Sinks of a job: they receive results in order, as they are committed; writers of runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from actspan.config.base import dump_toml
from actspan.core.errors import ActSpanError, ConfigError
from actspan.core.files import atomic_file, replace_folder, sha256, sync
from actspan.core.types import Float32, Proposals
from actspan.data.detections import DETECTIONS_FILE
from actspan.data.recording import Window, stitch
from actspan.data.result_writers import result_writer
from actspan.data.scores import add_scores, open_score_archive
from actspan.jobs.checkpoint import OtherResultError
from actspan.jobs.clips import Clip, cut_clips
from actspan.jobs.propose_request import ProposeRequest, Summary
from actspan.jobs.run import (
    CANDIDATE_COLUMNS,
    CANDIDATES,
    RESULT,
    RUN_FILE,
    SCORES,
    candidate_schema,
)
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
    labelled: DetectionWriter | None = None

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
        if self.labelled is not None:
            self.detections = self.labelled.finish()
        self.stack.close()

    def publish(self, summary: Summary) -> None:
        """Move what was written to its place."""


def candidate_batch(outcome: Outcome, schema: Any) -> Any:
    """Return the record batch of `candidates.arrow` for a video or window: one row."""
    import pyarrow as pa

    found = outcome.candidates
    offsets = pa.array([0, len(found)], pa.int32())
    values = (found.start, found.end, found.start_score, found.end_score, outcome.confidence)
    lists = [
        pa.ListArray.from_arrays(offsets, pa.array(column, getattr(pa, kind)()))
        for column, kind in zip(values, CANDIDATE_COLUMNS.values(), strict=True)
    ]
    place = [pa.array([x]) for x in (outcome.id, outcome.offset, outcome.seconds)]
    return pa.record_batch([*place, *lists], schema=schema)


def write_result_file(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write the result alone, as outcomes come: JSON, or a table, depending on the suffix."""
    with result_writer(path) as writer:
        for outcome in outcomes:
            if outcome.proposals is not None:  # None for a window that is not the last
                writer.add(outcome.id, outcome.proposals)


class RunWriter:
    """Writer of a run as outcomes come; `write_info` adds `run.toml`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._windows: list[tuple[Window, Float32]] = []  # of the current recording

    def __enter__(self) -> Self:
        import pyarrow as pa

        self._schema = candidate_schema()
        with ExitStack() as stack:  # If one cannot be opened, those before it are closed.
            self._scores = stack.enter_context(open_score_archive(self._folder / SCORES))
            stream = stack.enter_context(atomic_file(self._folder / CANDIDATES))
            self._candidates = stack.enter_context(pa.ipc.new_file(stream, self._schema))
            self._result = stack.enter_context(result_writer(self._folder / RESULT))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def add(self, outcome: Outcome) -> None:
        """Append one video, or the next window of a recording."""
        self._candidates.write_batch(candidate_batch(outcome, self._schema))
        if outcome.proposals is not None:  # None for a window that is not the last
            self._result.add(outcome.id, outcome.proposals)
        if outcome.window is None:
            add_scores(self._scores, outcome.id, np.asarray(outcome.scores))
            return
        self._windows.append((outcome.window, np.asarray(outcome.scores)))
        if outcome.window.is_final:
            add_scores(self._scores, outcome.id, stitch(self._windows))
            self._windows.clear()


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write `run.toml`."""
    with atomic_file(folder / RUN_FILE) as stream:
        stream.write(dump_toml({"format": 1, **info}).encode())


@dataclass
class RunSink(Sink):
    """Writer of a run folder; `info` returns the content of `run.toml` for a summary."""

    request: ProposeRequest
    labels: Labeller | None
    info: Callable[[Summary], Mapping[str, Any]]

    def start(self, source: Source) -> None:
        """Open the files of the run, in a hidden folder."""
        self._folder = self.request.partial / ".run"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._writer = self.stack.enter_context(RunWriter(self._folder))
        if self.labels is not None:
            labelled = DetectionWriter(self._folder / DETECTIONS_FILE, self.labels)
            self.labelled = self.stack.enter_context(labelled)

    def add(self, outcome: Outcome) -> None:
        """Append a video or window."""
        self._writer.add(outcome)
        if self.labelled is not None and outcome.proposals is not None:
            self.labelled.add(outcome.id, outcome.proposals)

    def publish(self, summary: Summary) -> None:
        """Write `run.toml`, and move the folder to its place."""
        files = {file.name: sha256(file) for file in sorted(self._folder.iterdir())}
        write_info(self._folder, {**self.info(summary), "files": files})
        partial = self._folder.parent
        replace_folder(self._folder, partial.with_name(partial.name.removesuffix(".partial")))


@dataclass
class ResultSink(Sink):
    """Writer of a result file: JSON, or a table, depending on its suffix; or of its detections.

    `finished` is the SHA-256 that the file must have, because a complete file is resumed.
    """

    request: ProposeRequest
    labels: Labeller | None
    finished: str | None

    def start(self, source: Source) -> None:
        """Open the file, under a hidden name."""
        assert self.request.out is not None
        self._out = self.request.out
        self._file = self.request.partial / f".result{self._out.suffix}"
        self._write: Callable[[str, Proposals], None]
        if self.labels is not None:
            self.labelled = self.stack.enter_context(DetectionWriter(self._file, self.labels))
            self._write = self.labelled.add
        else:
            self._write = self.stack.enter_context(result_writer(self._file)).add

    def add(self, outcome: Outcome) -> None:
        """Append a video."""
        if outcome.proposals is not None:
            self._write(outcome.id, outcome.proposals)

    def publish(self, summary: Summary) -> None:
        """Move the file to its place; raise OtherResultError if it is not the finished one."""
        if self.finished not in (None, sha256(self._file)):
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
