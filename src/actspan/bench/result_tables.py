"""Results of `actspan bench` as tables, CSV, a Markdown page and the NPU tool's summaries."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

from actspan.bench.comparison import combined
from actspan.bench.records import (
    WHOLE,
    Accuracy,
    BenchResult,
    Environment,
    SamplesPerSecond,
    Scope,
    Stage,
)
from actspan.core.errors import ActSpanError, BenchError
from actspan.core.files import atomic_file
from actspan.core.perf_lines import StepTimes, performance_lines
from actspan.core.wording import markdown_table
from actspan.model.nets import NETS

Table = tuple[str, Sequence[str], list[list[str]]]  # title, header, rows

_TITLES = {
    ("bsn", "end-to-end"): "all, end to end",
    ("pipeline", "end-to-end"): "all, end to end",
    ("bmn", "interface"): "BMN, the runtime's call",
    ("tem", "end-to-end"): "data to BSP, end to end",
    ("pem", "end-to-end"): "PEM to file, end to end",
    ("read", "step"): "data read",
    ("rescale", "step"): "preprocess (rescale)",
    ("tem", "interface"): "TEM, the runtime's call",
    ("candidates", "step"): "candidates",
    ("pem", "interface"): "PEM, the runtime's call",
    ("soft-nms", "step"): "Soft-NMS",
    ("latency", "step"): "latency, one at a time",
    ("write", "step"): "write",
    ("evaluate", "step"): "evaluate",
}
_IN_TURN = ("read", "rescale", "tem", "bmn", "candidates", "pem", "soft-nms", "write")
# Steps that the NPU tool's summary counts as reading, preprocessing and postprocessing.
_NPU_STEPS: dict[str, tuple[Sequence[str], ...]] = {
    "tem": (("read",), ("rescale",), ("candidates",)),
    "pem": ((), (), ("soft-nms", "write")),
    "bmn": (("read",), ("rescale",), ("candidates", "soft-nms", "write")),
}
_RECALL = ("AR@1", "AR@10", "AR@100", "AUC")
_IDENTITY = ("name", "scope", "batch", "samples_per_second", "batches_per_second")
_SETTINGS = ("backend", "precision", "threads", "streams", "cpu_seconds", "peak_memory_bytes")
_TIMES = ("min", "mean", "median", "p90", "p99", "max")


def shown(value: float | None, form: str) -> str:
    """Format a number, or show "-" where there is none."""
    return "-" if value is None else format(value, form)


def page_of(title: str, command: str, tables: Iterable[Table], intro: Sequence[str] = ()) -> str:
    """Return the first part of a Markdown page: title, command and tables."""
    lines = [f"# {title}", "", f"Written by `{command}`; do not edit it.", "", *intro]
    for name, header, rows in tables:
        lines += [f"{name}:", "", *markdown_table(header, rows), ""]
    return "\n".join([*lines, ""])


def title_of(stage: Stage) -> str:
    """Return the displayed name of a stage."""
    return _TITLES.get((stage.name, stage.scope), f"{stage.name}, {stage.scope}")


def broken_limits(result: BenchResult) -> list[str]:
    """Return the stages whose output differs from the checkpoint's, with the exceeded limits."""
    return [
        f"{title_of(stage)}, batch {stage.batch}: {reason}"
        for stage in result.stages
        if stage.accuracy is not None
        for reason in stage.accuracy.broken
    ]


def heading(result: BenchResult) -> str:
    """Return one line on the material, the backend and the threads."""
    for stage in result.stages:
        if stage.name in WHOLE:
            ways = f"{stage.streams} stream(s) x {stage.threads} thread(s)"
            return f"{result.material}; {stage.backend}, {stage.precision}, {ways}"
    return result.material


def _batches(result: BenchResult) -> list[int]:
    return sorted({s.batch for s in result.stages if s.name in WHOLE and s.batch})


def result_tables(result: BenchResult) -> Iterator[Table]:
    """Yield the tables: the whole, rates, times, accuracy."""
    header = ["batch", "networks", "stages one by one", "end to end", "overlap"]
    title = "Samples/s: networks, all stages one after the other, and together"
    yield title, header, [_whole(result, batch) for batch in _batches(result)]
    header = ["what", "batch", "samples/s", "batches/s", "CPU ms", "MB", "of roofline", "repeats"]
    title = "Rates by the median; CPU time is of a sample, MB the peak of the process"
    yield title, header, [_rates(stage) for stage in result.stages]
    yield "Milliseconds per batch", ["what", "batch", *_TIMES], [_times(s) for s in result.stages]
    checked = [(s, s.accuracy) for s in result.stages if s.accuracy is not None]
    recall = _RECALL if any(accuracy.recall for _, accuracy in checked) else ()
    header = ["what", "batch", "outputs within", "same proposals", *recall, "verdict"]
    rows = [_accuracy(stage, accuracy, recall) for stage, accuracy in checked]
    yield "Output compared with the checkpoint", header, rows


def _whole(result: BenchResult, batch: int) -> list[str]:
    def combine(*names: str) -> SamplesPerSecond:
        rates = [_rate_of(result, name, batch) for name in names]
        return combined(*(rate for rate in rates if rate is not None))

    in_turn = combine(*_IN_TURN)
    together = next(filter(None, (_rate_of(result, name, batch) for name in WHOLE)), 0.0)
    rates = [f"{rate:,.0f}" for rate in (combine(*NETS), in_turn, together)]
    overlap = together / in_turn
    change = "faster" if overlap >= 1.0 else "slower"
    return [str(batch), *rates, f"{overlap:.2f}x of one by one: {change}"]


def _rate_of(result: BenchResult, name: str, batch: int) -> SamplesPerSecond | None:
    """Return the rate of a call, a step or the whole, at this batch size if it was measured."""
    rates = [
        s for s in result.stages if s.name == name and (s.name in WHOLE or s.scope != "end-to-end")
    ]
    at = [s for s in rates if s.batch == batch] or rates
    return at[0].samples_per_second if at else None


def _rates(stage: Stage) -> list[str]:
    samples, batches, seconds = stage.samples_per_second, stage.batches_per_second, stage.seconds
    repeats = seconds.repeats if seconds and seconds.repeats else 0
    spent, done = stage.cpu_seconds, repeats * (stage.batch or 1)
    cpu = None if spent is None else 1e3 * (spent / done)
    mark = " (*)" if stage.settled is False else ""
    peak = None if stage.peak_memory_bytes is None else stage.peak_memory_bytes / 2**20
    figures = (
        shown(cpu, ".3g"),
        shown(peak, ".0f"),
        _share_of(stage),
    )
    rates = ("-" if rate is None else _figure(rate) for rate in (samples, batches))
    return [title_of(stage), str(stage.batch), *rates, *figures, f"{repeats}{mark}"]


def _share_of(stage: Stage) -> str:
    """Format the share of the roof; it is missing if others used the machine."""
    if stage.cost is None:
        return "-"
    return "noisy" if stage.cost.share is None else f"{stage.cost.share:.1%}"


def _times(stage: Stage) -> list[str]:
    values = [getattr(stage.seconds, name) for name in _TIMES]
    return [title_of(stage), str(stage.batch), *(_figure(1e3 * value) for value in values)]


def _figure(value: float) -> str:
    """Format a number with four digits, or with grouped thousands."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _accuracy(stage: Stage, accuracy: Accuracy, budgets: Sequence[str]) -> list[str]:
    recall = accuracy.recall or {}
    return [
        title_of(stage),
        str(stage.batch),
        shown(accuracy.max_difference, ".1e"),
        "-" if accuracy.same is None else f"{100 * accuracy.same:.2f} %",
        *(shown(recall.get(name), ".2f") for name in budgets),
        "WRONG" if accuracy.broken else "ok",
    ]


def sentences(result: BenchResult) -> Iterator[str]:
    """Yield the sentences below the tables: latency, roof, machine, notes."""
    for stage in result.stages:
        times = stage.seconds
        if stage.name == "latency" and times and times.median and times.p99:
            yield (
                "latency at batch 1, features in memory to proposals out: median "
                f"{1e3 * times.median:.3g} ms, p99 {1e3 * times.p99:.3g} ms, p99 / median "
                f"{times.p99 / times.median:.2f}"
            )
    if result.roof is not None:
        roof = result.roof
        yield (
            f"roof of all cores: {roof.gflops:,.0f} GFLOP/s in single precision"
            f"{f' ({roof.kernel})' if roof.kernel else ''}, copies "
            f"{roof.gigabytes_per_second:.1f} GB/s in memory and "
            f"{roof.cache_gigabytes_per_second:.1f} GB/s in the caches"
        )
    if result.environment is not None:
        yield from _machine(result.environment)
    yield from (f"note: {note}" for note in result.notes)
    if any(stage.settled is False for stage in result.stages):
        yield "(*) the median had not settled when time was up"
    yield from (f"WRONG: {reason}" for reason in broken_limits(result))


def _machine(environment: Environment) -> Iterator[str]:
    yield f"machine: {environment.cpu}, {environment.cores} cores, {environment.system}"
    yield "versions: " + ", ".join(
        f"{name} {number}" for name, number in environment.versions.items()
    )
    if environment.variables:
        yield "set: " + ", ".join(
            f"{name}={value}" for name, value in environment.variables.items()
        )
    if (
        environment.sgemm_gflops
        and environment.sgemm_after_gflops
        and environment.sgemm_spread is not None
    ):
        yield (
            f"noise: a fixed matrix product ran at {environment.sgemm_gflops:.0f} GFLOP/s before "
            f"and {environment.sgemm_after_gflops:.0f} after, "
            f"scatter {environment.sgemm_spread:.1%}"
        )


def result_to_csv(result: BenchResult) -> str:
    """Return the result as CSV, one row per stage."""
    rows = [_csv_row(stage) for stage in result.stages]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows(["" if value is None else value for value in row.values()] for row in rows)
    return stream.getvalue()


def _csv_row(stage: Stage) -> dict[str, object]:
    seconds, cost, accuracy = stage.seconds, stage.cost, stage.accuracy
    recall = (accuracy and accuracy.recall) or {}
    return {
        **{name: getattr(stage, name) for name in _IDENTITY},
        "repeats": seconds and seconds.repeats,
        "settled": stage.settled,
        **{f"{name}_seconds": seconds and getattr(seconds, name) for name in _TIMES},
        **{name: getattr(stage, name) for name in _SETTINGS},
        "flops": cost and cost.flops,
        "bytes": cost and cost.bytes,
        "share_of_roof": cost and cost.share,
        "max_difference": accuracy and accuracy.max_difference,
        "same": accuracy and accuracy.same,
        **{name: recall.get(name) for name in _RECALL},
        "broken": accuracy and "; ".join(accuracy.broken),
    }


def result_page(result: BenchResult) -> str:
    """Return the Markdown page: tables and notes."""
    intro = [f"{heading(result)}.", ""]
    page = page_of("Speed", result.command, result_tables(result), intro)
    return page + "".join(f"- {text}\n" for text in sentences(result))


def write_summaries(result: BenchResult, folder: Path) -> list[Path]:
    """Write `<net>/perf_vision_batchsize_<b>_device_0.txt`, named as by the NPU tool.

    The summary of TEM includes reading, rescaling, candidates and BSP features. That of PEM starts
    with these in memory and includes Soft-NMS and the result file. That of BMN includes everything.
    """
    written = []
    nets = [net for net in _NPU_STEPS if any(stage.name == net for stage in result.stages)]
    for batch, net in product(_batches(result), nets):
        path = folder / net / f"perf_vision_batchsize_{batch}_device_0.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(f"{path.parent}: cannot be created: {error.strerror}") from error
        with atomic_file(path) as stream:
            lines = performance_lines(_step_times(result, batch, net))
            stream.write("\n".join([*lines, ""]).encode())
        written.append(path)
    return written


def _step_times(result: BenchResult, batch: int, net: str) -> StepTimes:
    """Return the time of a network's steps over all samples, at the measured rates."""
    samples = next(s.batch for s in result.stages if s.name == "write" and s.batch)

    def seconds(name: str, scope: Scope = "step") -> float:
        stages = [s for s in result.stages if (s.name, s.scope) == (name, scope)]
        for stage in sorted(stages, key=lambda s: s.batch != batch):  # else the one for all videos
            if stage.samples_per_second is not None:
                return samples / stage.samples_per_second
        raise BenchError(f"the result has no {name}, {scope}, at batch {batch}")

    read, preprocess, postprocess = (sum(map(seconds, names)) for names in _NPU_STEPS[net])
    call = seconds(net, "interface")
    return StepTimes(
        samples=samples,
        total=seconds("pipeline" if net == "bmn" else net, "end-to-end"),
        read=read,
        preprocess=preprocess,
        inference=call,
        interface=call,
        postprocess=postprocess,
        calls=math.ceil(samples / batch),
        batch=batch,
    )
