"""Performance summaries like those of the vendor's tool, one per network and batch size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from actspan.bench.result import BenchResult, SamplesPerSecond
from actspan.core.errors import ActSpanError, BenchError
from actspan.core.files import atomic_file
from actspan.core.perf_lines import StepTimes, performance_lines
from actspan.pipeline.stages import Scope

__all__ = ["step_times", "write_summaries"]


def step_times(result: BenchResult) -> Iterator[tuple[str, int, StepTimes]]:
    """Yield network, batch size, and the time of each step over all samples, at measured rates.

    The summary of TEM includes reading, rescaling, candidates and BSP features. That of PEM starts
    with these in memory and includes Soft-NMS and the result file.
    """
    samples = next(s.batch for s in result.stages if s.name == "write" and s.batch)
    rates = {
        (s.name, s.scope, s.batch): s.samples_per_second
        for s in result.stages
        if s.samples_per_second is not None
    }
    for batch in sorted({s.batch for s in result.stages if s.name == "bsn" and s.batch}):

        def seconds(name: str, scope: Scope = "step", batch: int = batch) -> float:
            return samples / _rate(rates, name, scope, batch)

        calls = math.ceil(samples / batch)
        yield (
            "tem",
            batch,
            StepTimes(
                samples=samples,
                total=seconds("tem", "end-to-end"),
                read=seconds("read"),
                preprocess=seconds("rescale"),
                inference=seconds("tem", "interface"),
                interface=seconds("tem", "interface"),
                postprocess=seconds("candidates"),
                calls=calls,
                batch=batch,
            ),
        )
        yield (
            "pem",
            batch,
            StepTimes(
                samples=samples,
                total=seconds("pem", "end-to-end"),
                read=0.0,
                preprocess=0.0,
                inference=seconds("pem", "interface"),
                interface=seconds("pem", "interface"),
                postprocess=seconds("soft-nms") + seconds("write"),
                calls=calls,
                batch=batch,
            ),
        )


def _rate(
    rates: dict[tuple[str, Scope, int | None], SamplesPerSecond],
    name: str,
    scope: Scope,
    batch: int,
) -> SamplesPerSecond:
    """Return the rate at this batch size, or the one for all videos."""
    if (name, scope, batch) in rates:
        return rates[name, scope, batch]
    for (other, of, _), rate in rates.items():
        if (other, of) == (name, scope):
            return rate
    raise BenchError(f"the result has no {name}, {scope}, at batch {batch}")


def write_summaries(result: BenchResult, folder: Path) -> list[Path]:
    """Write `tem/` and `pem/perf_vision_batchsize_<b>_device_0.txt`, named as by the tool.

    Raises
    ------
    ActSpanError
        The folder cannot be made or written.
    """
    written = []
    for net, batch, times in step_times(result):
        path = folder / net / f"perf_vision_batchsize_{batch}_device_0.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(f"{path.parent}: cannot be made: {error.strerror}") from error
        with atomic_file(path) as stream:
            stream.write("\n".join([*performance_lines(times), ""]).encode())
        written.append(path)
    return written
