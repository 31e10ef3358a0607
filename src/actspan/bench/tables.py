"""Results of `actspan bench` as tables, as CSV, and as a Markdown page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from actspan.bench.headline import combined
from actspan.bench.report import Table
from actspan.bench.result import Accuracy, BenchResult, Environment, SamplesPerSecond, Stage
from actspan.core.markdown import markdown_table

__all__ = ["broken", "heading", "result_tables", "sentences", "title_of", "to_csv", "to_markdown"]

_TITLES = {
    ("bsn", "end-to-end"): "all, end to end",
    ("tem", "end-to-end"): "data to BSP, end to end",
    ("pem", "end-to-end"): "PEM to file, end to end",
    ("read", "step"): "data read",
    ("rescale", "step"): "preprocess (rescale)",
    ("tem", "interface"): "TEM, the runtime's call",
    ("candidates", "step"): "candidates + BSP",
    ("pem", "interface"): "PEM, the runtime's call",
    ("soft-nms", "step"): "Soft-NMS",
    ("latency", "step"): "latency, one at a time",
    ("write", "step"): "write",
    ("evaluate", "step"): "evaluate",
}
_IN_TURN = ("read", "rescale", "tem", "candidates", "pem", "soft-nms", "write")
_RECALL = ("AR@1", "AR@10", "AR@100", "AUC")
_TIMES = ("min", "mean", "median", "p90", "p99", "max")


def title_of(stage: Stage) -> str:
    """Return the displayed name of a stage."""
    return _TITLES.get((stage.name, stage.scope), f"{stage.name}, {stage.scope}")


def broken(result: BenchResult) -> list[str]:
    """Return the stages whose answers differ from the checkpoint's, with the limits they exceed."""
    return [
        f"{title_of(stage)}, batch {stage.batch}: {reason}"
        for stage in result.stages
        if stage.accuracy is not None
        for reason in stage.accuracy.broken
    ]


def heading(result: BenchResult) -> str:
    """Return one line on the material, the backend and the threads."""
    for stage in result.stages:
        if stage.name == "bsn":
            ways = f"{stage.streams} stream(s) x {stage.threads} thread(s)"
            return f"{result.material}; {stage.backend}, {stage.precision}, {ways}"
    return result.material


def result_tables(result: BenchResult) -> Iterator[Table]:
    """Yield the tables: the whole, rates, times, answers."""
    yield "Samples/s: networks, all stages one after the other, and together", *_whole(result)
    header = ["what", "batch", "samples/s", "batches/s", "CPU ms", "MB", "of roof", "repeats"]
    title = "Rates by the median; CPU time is of a sample, MB the peak of the process"
    yield title, header, [_rates(stage) for stage in result.stages]
    header = ["what", "batch", *_TIMES]
    yield "Milliseconds a batch", header, [_times(stage) for stage in result.stages]
    judged = [(s, s.accuracy) for s in result.stages if s.accuracy is not None]
    recall = _RECALL if any(accuracy.recall for _, accuracy in judged) else ()
    header = ["what", "batch", "outputs within", "same proposals", *recall, "verdict"]
    rows = [_answers(stage, accuracy, recall) for stage, accuracy in judged]
    yield "Answers, against the checkpoint's", header, rows


def _whole(result: BenchResult) -> tuple[list[str], list[list[str]]]:
    header = ["batch", "1/(1/TEM + 1/PEM)", "stages in turn", "end to end", "overlap"]
    rows = []
    for batch in sorted({s.batch for s in result.stages if s.name == "bsn" and s.batch}):
        interface = [_rate_of(result, net, batch) for net in ("tem", "pem")]
        parts = [_rate_of(result, name, batch) for name in _IN_TURN]
        in_turn = combined(*(rate for rate in parts if rate is not None))
        together = _rate_of(result, "bsn", batch)
        nets = combined(*(rate for rate in interface if rate is not None))
        rates = [f"{rate:,.0f}" for rate in (nets, in_turn, together or 0.0)]
        overlap = (together or 0.0) / in_turn
        change = "gained" if overlap >= 1.0 else "lost"
        rows.append([str(batch), *rates, f"{overlap:.2f}x of in turn: {change}"])
    return header, rows


def _rate_of(result: BenchResult, name: str, batch: int) -> SamplesPerSecond | None:
    """Return the rate of a call, a step or the whole, at this batch size if it was measured."""
    own = [
        s for s in result.stages if s.name == name and (s.name == "bsn" or s.scope != "end-to-end")
    ]
    at = [s for s in own if s.batch == batch] or own
    return at[0].samples_per_second if at else None


def _rates(stage: Stage) -> list[str]:
    samples, batches, seconds = stage.samples_per_second, stage.batches_per_second, stage.seconds
    repeats = seconds.repeats if seconds and seconds.repeats else 0
    cpu = None if stage.cpu_seconds is None else stage.cpu_seconds / (repeats * (stage.batch or 1))
    mark = " (*)" if stage.settled is False else ""
    share = None if stage.cost is None else stage.cost.share
    return [
        title_of(stage),
        str(stage.batch),
        "-" if samples is None else _figure(samples),
        "-" if batches is None else _figure(batches),
        "-" if cpu is None else f"{1e3 * cpu:.3g}",
        "-" if stage.peak_memory_bytes is None else f"{stage.peak_memory_bytes / 2**20:.0f}",
        "-" if share is None else f"{share:.1%}",
        f"{repeats}{mark}",
    ]


def _times(stage: Stage) -> list[str]:
    values = [getattr(stage.seconds, name) for name in _TIMES]
    return [title_of(stage), str(stage.batch), *(_figure(1e3 * value) for value in values)]


def _figure(value: float) -> str:
    """Format a number with four digits, or with grouped thousands."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _answers(stage: Stage, found: Accuracy, budgets: Sequence[str]) -> list[str]:
    recall = found.recall or {}
    return [
        title_of(stage),
        str(stage.batch),
        "-" if found.max_difference is None else f"{found.max_difference:.1e}",
        "-" if found.same is None else f"{100 * found.same:.2f} %",
        *(f"{recall[name]:.2f}" if name in recall else "-" for name in budgets),
        "WRONG" if found.broken else "ok",
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
            f"roof of all cores: {roof.gflops:,.0f} GFLOP/s in single precision, copies "
            f"{roof.gigabytes_per_second:.1f} GB/s in memory and "
            f"{roof.cache_gigabytes_per_second:.1f} GB/s in the caches"
        )
    if result.environment is not None:
        yield from _machine(result.environment)
    yield from (f"note: {note}" for note in result.notes)
    if any(stage.settled is False for stage in result.stages):
        yield "(*) the median had not settled when time was up"
    yield from (f"WRONG: {reason}" for reason in broken(result))


def _machine(found: Environment) -> Iterator[str]:
    yield f"machine: {found.cpu}, {found.cores} cores, {found.system}"
    yield "versions: " + ", ".join(f"{name} {number}" for name, number in found.versions.items())
    if found.variables:
        yield "set: " + ", ".join(f"{name}={value}" for name, value in found.variables.items())
    if found.sgemm_gflops and found.sgemm_after_gflops and found.sgemm_spread is not None:
        yield (
            f"noise: a fixed matrix product ran at {found.sgemm_gflops:.0f} GFLOP/s before and "
            f"{found.sgemm_after_gflops:.0f} after, scatter {found.sgemm_spread:.1%}"
        )


_COLUMNS: dict[str, Callable[[Stage], object]] = {
    "name": lambda s: s.name,
    "scope": lambda s: s.scope,
    "batch": lambda s: s.batch,
    "samples_per_second": lambda s: s.samples_per_second,
    "batches_per_second": lambda s: s.batches_per_second,
    "repeats": lambda s: s.seconds and s.seconds.repeats,
    "settled": lambda s: s.settled,
    **{f"{name}_seconds": lambda s, n=name: s.seconds and getattr(s.seconds, n) for name in _TIMES},  # type: ignore[misc]
    "backend": lambda s: s.backend,
    "precision": lambda s: s.precision,
    "threads": lambda s: s.threads,
    "streams": lambda s: s.streams,
    "cpu_seconds": lambda s: s.cpu_seconds,
    "peak_memory_bytes": lambda s: s.peak_memory_bytes,
    "flops": lambda s: s.cost and s.cost.flops,
    "bytes": lambda s: s.cost and s.cost.bytes,
    "share_of_roof": lambda s: s.cost and s.cost.share,
    "max_difference": lambda s: s.accuracy and s.accuracy.max_difference,
    "same": lambda s: s.accuracy and s.accuracy.same,
    **{n: lambda s, n=n: s.accuracy and (s.accuracy.recall or {}).get(n) for n in _RECALL},  # type: ignore[misc]
    "broken": lambda s: s.accuracy and "; ".join(s.accuracy.broken),
}


def to_csv(result: BenchResult) -> str:
    """Return the result as CSV, one row per stage."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for stage in result.stages:
        writer.writerow(["" if v is None else v for v in _values(stage)])
    return stream.getvalue()


def _values(stage: Stage) -> list[object]:
    return [column(stage) for column in _COLUMNS.values()]


def to_markdown(result: BenchResult) -> str:
    """Return the Markdown page: tables and notes."""
    lines = [
        "# Speed",
        "",
        f"Written by `{result.command}`; do not edit it.",
        "",
        f"{heading(result)}.",
        "",
    ]
    for title, header, rows in result_tables(result):
        lines += [f"{title}:", "", *markdown_table(header, rows), ""]
    return "\n".join([*lines, *(f"- {text}" for text in sentences(result)), ""])
