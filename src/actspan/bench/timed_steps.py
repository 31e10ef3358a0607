"""Stages of the pipeline one by one, each on the real output of the stage before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from actspan.bench.result import Scope
from actspan.core.parallel import chunked
from actspan.pipeline.outcomes import Piece, Recordings, StageClock
from actspan.pipeline.steps import Batch, Steps


def walk(steps: Steps, pieces: Sequence[Piece], size: int) -> list[Batch]:
    """Run pieces in batches through all stages except Soft-NMS, and keep all output."""
    parts = chunked(pieces, size)
    return [steps.walk(part, steps.load(part), StageClock()) for part in parts]


class Step(NamedTuple):
    """A stage at a batch size, ready to be timed."""

    name: str
    scope: Scope
    work: Callable[[int], object]  # called with the number of the repeat, which selects the batch


def table(steps: Steps, batches: Sequence[Batch]) -> Iterator[Step]:
    """Yield every stage that workers run on a batch; repeats take the batches in turn."""

    def of(number: int) -> Batch:
        return batches[number % len(batches)]

    def candidates(number: int) -> object:
        batch = of(number)
        return steps.candidates(batch.pieces, steps.scored(batch.output, batch.features))

    def suppress(number: int) -> object:
        batch = of(number)
        return steps.outcomes(batch, batch.confidence)

    yield Step("read", "step", lambda n: steps.load(of(n).pieces))
    yield Step("rescale", "step", lambda n: steps.rescale(of(n).features))
    yield Step("tem", "interface", lambda n: steps.tem(of(n).video))
    yield Step("candidates", "step", candidates)
    yield Step("pem", "interface", lambda n: steps.pem(of(n).rows))
    if steps.config.mode == "rescale":
        yield Step("soft-nms", "step", suppress)


def suppression_of_recordings(steps: Steps, batches: Sequence[Batch]) -> Callable[[int], object]:
    """Return Soft-NMS of window mode: over all windows of each recording, on one thread."""
    outcomes = [o for batch in batches for o in steps.outcomes(batch, batch.confidence)]

    def work(number: int) -> object:
        recordings = Recordings(steps.config)
        return [recordings.add(outcome) for outcome in outcomes]

    return work
