"""Receivers of a job's results, in order: the writer of a run or a result file, and sinks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from actspan.config.base import dump_toml, to_dict
from actspan.core.files import atomic_file, sha256, sync
from actspan.core.folders import replace_folder
from actspan.core.segments import Proposals
from actspan.core.types import Float32
from actspan.data.cells import Window, stitch
from actspan.data.detections import DETECTIONS_FILE, Detections
from actspan.data.result_writers import ResultWriter, result_writer
from actspan.data.run_info import FORMAT
from actspan.data.scores import add_scores, open_score_archive
from actspan.jobs.candidate_files import candidate_writer
from actspan.jobs.checkpoint import OtherResultError, Plan
from actspan.jobs.propose_request import ProposeRequest, Selection, Summary
from actspan.jobs.resume import RunInputs, origin
from actspan.jobs.run import INPUTS, RESULT, RUN_FILE, SCORES
from actspan.jobs.source import Source
from actspan.model.locations import bundle_location
from actspan.pipeline.outcomes import Outcome
from actspan.streams.addresses import Location


class Sink:
    """Receiver of the results of a job; subclasses override what they need."""

    def start(self, source: Source) -> None:
        """Prepare for the results of a source, once it is checked."""

    def add(self, outcome: Outcome) -> None:
        """Receive a video or window, in order; the last window of a recording has its proposals."""


class SegmentList(Sink):
    """List of the results in memory, for tables and for library users.

    Attributes
    ----------
    proposals : dict of video id to Proposals
        Seconds, best first.
    detections : dict of video id to Detections
        The labelled proposals, if labels were asked for.
    paths : mapping of video id to Path or Address
        The videos, if the source is videos.
    """

    def __init__(self) -> None:
        self.proposals: dict[str, Proposals] = {}
        self.detections: dict[str, Detections] = {}
        self.paths: Mapping[str, Location] = {}

    def start(self, source: Source) -> None:
        """Remember the videos."""
        self.paths = source.paths

    def add(self, outcome: Outcome) -> None:
        """Append a video."""
        if outcome.proposals is not None:
            self.proposals[outcome.id] = outcome.proposals.of_video(outcome.id)
        if outcome.detections is not None:
            self.detections[outcome.id] = outcome.detections

    def labels(self) -> dict[str, list[str]]:
        """Return the best label of every proposal, by video; none if no labels were asked for."""
        return {
            video: found.best_labels(self.proposals[video])
            for video, found in self.detections.items()
        }


@contextmanager
def run_writer(folder: Path) -> Iterator[Callable[[Outcome], None]]:
    """Open the files of a run; yield the function that appends a video or the next window.

    `write_info` adds `run.toml`.
    """
    windows: list[tuple[Window, Float32]] = []  # of the current recording
    with (
        open_score_archive(folder / SCORES) as scores,
        candidate_writer(folder) as add_candidates,
        result_writer(folder / RESULT) as result,
    ):

        def add(outcome: Outcome) -> None:
            add_candidates(outcome)
            if outcome.proposals is not None:  # None for a window that is not the last
                result.add(outcome.id, outcome.proposals)
            if outcome.window is None:
                add_scores(scores, outcome.id, np.asarray(outcome.scores))
                return
            windows.append((outcome.window, np.asarray(outcome.scores)))
            if outcome.window.is_final:
                add_scores(scores, outcome.id, stitch(windows))
                windows.clear()

        yield add


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write `run.toml`."""
    with atomic_file(folder / RUN_FILE) as stream:
        stream.write(dump_toml({"format": FORMAT, **info}).encode())


def write_result_file(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write the result alone, as outcomes come: JSON, or a table, depending on the suffix."""
    with result_writer(path) as writer:
        for outcome in outcomes:
            if outcome.proposals is not None:  # None for a window that is not the last
                writer.add(outcome.id, outcome.proposals)


@dataclass
class Output:
    """Writer of `request.out`, if it is given, in the folder of the unfinished run until published.

    Attributes
    ----------
    is_new : bool
        False if the job was resumed.
    detections : int
        Number of labelled proposals: those of a run are written also, those of a file instead.
    """

    request: ProposeRequest
    is_new: bool
    detections: int = 0

    @contextmanager
    def opened(self) -> Iterator[Callable[[Outcome], None]]:
        """Open the files; yield the function that appends a video or window."""
        out, is_labelled = self.request.out, self.request.labels.info() is not None
        run: Callable[[Outcome], None] | None = None
        answers: ResultWriter | None = None
        with ExitStack() as files:
            path = None if out is None else self.request.partial / f".result{out.suffix}"
            if self.request.writes_run:
                folder = self.request.partial / ".run"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                run, path = files.enter_context(run_writer(folder)), folder / DETECTIONS_FILE
            if path is not None and (is_labelled or run is None):
                answers = files.enter_context(result_writer(path, labelled=is_labelled))

            def add(outcome: Outcome) -> None:
                if run is not None:
                    run(outcome)
                found = outcome.detections
                if found is not None:
                    self.detections += len(found)
                if answers is None or outcome.proposals is None:
                    return
                if found is None:
                    answers.add(outcome.id, outcome.proposals)
                else:
                    answers.add(outcome.id, found.segments, found.labels)

            yield add

    def publish(self, source: Source, plan: Plan, summary: Summary) -> None:
        """Move what was written to its place, a run with `run.toml`.

        A result file does not record its inputs. If a complete one is resumed, it was therefore
        computed again; OtherResultError is raised if it is another one now.
        """
        request, out = self.request, self.request.out
        if out is None:
            return
        if request.writes_run:
            folder = request.partial / ".run"
            with atomic_file(folder / INPUTS) as stream:
                stamps = dict(zip(plan.videos, plan.stamps, strict=False))
                stream.write(msgspec.json.encode(RunInputs(plan.inputs, stamps)))
            files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
            write_info(folder, {**run_info(source, summary), "files": files})
            replace_folder(folder, out.resolve())  # a link is kept, and its target is replaced
            return
        file = request.partial / f".result{out.suffix}"
        is_finished = request.resume and self.is_new and not request.overwrite and out.is_file()
        if is_finished and sha256(out) != sha256(file):
            raise OtherResultError(
                f"{out}: is complete, and these options and files give another result: choose "
                "another file, or replace it: without --resume"
            )
        os.replace(file, out)
        sync(out.parent)


def run_info(source: Source, summary: Summary) -> dict[str, Any]:
    """Return the content of `run.toml`."""
    request, bundle = source.request, source.bundle
    selection = request.selection
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "detections": summary.detections,
        "origin": origin(source),
        "bundle": {
            "path": bundle_location(bundle.path, shown=True),
            "files": {name: record.sha256 for name, record in bundle.files.items()},
            "set_apart": list(bundle.set_apart) or None,
        },
        "dataset": {**source.record(), "assumptions": list(summary.notes)},
        "backend": request.backend if bundle.nets else "none",
        "versions": source.versions,
        "pipeline": to_dict(source.config),
        "changes": source.changes or None,
        "labels": request.labels.info(),
        "selection": None if selection == Selection() else msgspec.structs.asdict(selection),
        "timing": {
            "seconds": round(summary.seconds, 3),
            "videos_per_second": round(summary.rate, 1),
            "stages": {stage: round(share, 4) for stage, share in summary.stages.items()},
        },
        "skipped": [problem.record for problem in summary.problems if problem.is_error],
    }
