"""Writing of results: in the folder of the unfinished run, then moved to their place."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from actspan.core.errors import ResultError
from actspan.core.files import replace_folder, sha256, sync
from actspan.core.types import Proposals
from actspan.data.detections import DETECTIONS_FILE
from actspan.jobs.proposing.request import Request
from actspan.jobs.run import RunWriter, write_info, write_result_file
from actspan.pipeline.labels import Labeller, write_labelled
from actspan.pipeline.outcomes import Outcome


class OtherResultError(ResultError):
    """A complete result that differs from the one that resuming gives."""


@dataclass(frozen=True, slots=True)
class Output:
    """Destination and labels of the results.

    Attributes
    ----------
    finished : str, optional
        SHA-256 that the result file must have, because a complete file is resumed.
    """

    request: Request
    labels: Labeller | None
    finished: str | None = None

    def write_result(self, outcomes: Iterable[Outcome]) -> int:
        """Write the result file; return the number of detections in it.

        Raises
        ------
        OtherResultError
            The checksum is not `finished`; the older file stays.
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
        """Write the run folder; `info` maps the number of detections to `run.toml`; return it."""
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
    """Write outcomes to the run and yield them."""
    for outcome in outcomes:
        writer.add(outcome)
        yield outcome


def _answers(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, Proposals]]:
    return ((o.id, o.proposals) for o in outcomes if o.proposals is not None)
