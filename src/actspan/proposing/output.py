"""Results to files: made in the folder of the unfinished run, moved to their place when whole."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from actspan.data.detections import DETECTIONS_FILE
from actspan.errors import ResultError
from actspan.files import replace_folder, sha256, sync
from actspan.labelling import Labeller, write_labelled
from actspan.pipeline import Outcome
from actspan.proposing.request import Request
from actspan.run import RunWriter, write_info, write_result_file
from actspan.types import Proposals


class OtherResultError(ResultError):
    """A complete result is not what resuming it gives."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go, and with which labels.

    Attributes
    ----------
    finished : str, optional
        SHA-256 that a result file must have: it is complete, and resumed nevertheless.
    """

    request: Request
    labels: Labeller | None
    finished: str | None = None

    def write_result(self, outcomes: Iterable[Outcome]) -> int:
        """Write the result file; return the number of detections in it.

        Raises
        ------
        OtherResultError
            It is not what `finished` requires; the older file stays.
        """
        fresh, detections = self.request.partial / f".result{self.request.out.suffix}", 0
        if self.labels is None:
            write_result_file(outcomes, fresh)
        else:
            _, detections = write_labelled(_answers(outcomes), self.labels, fresh)
        if self.finished not in (None, sha256(fresh)):
            raise OtherResultError(
                f"{self.request.out}: is complete, and these options and files give another "
                "result: choose another file, or replace it: without --resume"
            )
        os.replace(fresh, self.request.out)
        sync(self.request.out.parent)
        return detections

    def write_run(
        self, outcomes: Iterable[Outcome], info: Callable[[int], Mapping[str, Any]]
    ) -> int:
        """Write the run folder; `info` says what stands in `run.toml`, given the detections."""
        partial = self.request.partial
        fresh, detections = partial / ".run", 0
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        with RunWriter(fresh) as writer:
            answers = _answers(_recorded(outcomes, writer))
            if self.labels is None:
                deque(answers, maxlen=0)
            else:
                _, detections = write_labelled(answers, self.labels, fresh / DETECTIONS_FILE)
        files = {file.name: sha256(file) for file in sorted(fresh.iterdir())}
        write_info(fresh, {**info(detections), "files": files})
        replace_folder(fresh, partial.with_name(partial.name.removesuffix(".partial")))
        return detections


def _recorded(outcomes: Iterable[Outcome], writer: RunWriter) -> Iterator[Outcome]:
    """Outcomes as they pass, written to the run."""
    for outcome in outcomes:
        writer.add(outcome)
        yield outcome


def _answers(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, Proposals]]:
    return ((o.id, o.proposals) for o in outcomes if o.proposals is not None)
