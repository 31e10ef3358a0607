"""A comparison as tables, as plain values for JSON, and as a Markdown page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from actspan.bench.comparison import Comparison, Row, System
from actspan.bench.records import Accuracy
from actspan.bench.report_check import ReportCheck
from actspan.bench.result_tables import Table, page_of, shown
from actspan.bench.timing import Pair


def comparison_tables(comparison: Comparison) -> Iterator[Table]:
    """Yield the tables that have rows: headlines, interface and measured rates, steps, accuracy.

    Steps are shown if there is only one system, or if two systems have them.
    """
    chips = f" x {comparison.chips} chips of an NPU card" if comparison.chips > 1 else ""
    title = f"Headlines, samples/s: interface rate{chips}; BSN = 1 / (1/TEM + 1/PEM)"
    stages = [(system.name, stage) for system in comparison.systems for stage in system.stages]
    alone = len(comparison.systems) == 1
    steps = [row for row in comparison.steps if alone or sum(r is not None for r in row.rates) > 1]
    unknown = [
        [name, _title(stage.name), stage.scope, _rate(stage.batches_per_second)]
        for name, stage in stages
        if stage.samples_per_second is None and stage.batches_per_second is not None
    ]
    answers = [
        [name, _title(stage.name), _batch(stage.batch), _accuracy(stage.accuracy)]
        for name, stage in stages
        if stage.accuracy is not None
    ]
    tables: list[Table] = [
        (title, *_side_by_side(comparison, comparison.headlines)),
        (
            "Samples/s of one chip or process: the runtime's call alone, and end to end",
            ["system", "what", "batch", "interface", "end to end", "share"],
            list(_interface_and_measured(comparison)),
        ),
        ("Samples/s of the steps", *_side_by_side(comparison, steps)),
        (
            "Batches/s, where the batch size is not known",
            ["system", "what", "scope", "batches/s"],
            unknown,
        ),
        ("Accuracy of the timed runs", ["system", "what", "batch", "accuracy"], answers),
    ]
    yield from (table for table in tables if table[2])


def _side_by_side(comparison: Comparison, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    first, *others = [system.name for system in comparison.systems]
    header = ["what", "batch", first, *others, *(f"{name} / {first}" for name in others)]
    return header, [
        [
            _title(row.name),
            _batch(row.batch),
            *map(_rate, row.rates),
            *(shown(ratio, ".3f") for ratio in row.ratios),
        ]
        for row in rows
    ]


def _interface_and_measured(comparison: Comparison) -> Iterator[list[str]]:
    calls = {(row.name, row.batch): row.rates for row in comparison.interface}
    nothing = (None,) * len(comparison.systems)
    for number, system in enumerate(comparison.systems):
        for row in comparison.measured:
            whole = row.rates[number]
            if whole is not None:
                call = calls.get((row.name, row.batch), nothing)[number]
                share = "-" if call is None else f"{100 * whole / call:.1f} %"
                figures = [_rate(call), _rate(whole), share]
                yield [system.name, _title(row.name), _batch(row.batch), *figures]


def _accuracy(accuracy: Accuracy) -> str:
    """Return the recall and the difference from the checkpoint."""
    parts = [f"{name} {value:.2f}" for name, value in (accuracy.recall or {}).items()]
    if accuracy.max_difference is not None:
        parts.append(f"outputs within {accuracy.max_difference:.1e} of the checkpoint's")
    parts += [f"({accuracy.of})"] if accuracy.of else []
    return " ".join(parts)


def _title(name: str) -> str:
    """Return the name of a stage with networks in capitals: `TEM data read`."""
    head, _, rest = name.partition(" ")
    return " ".join([head.upper() if head in ("tem", "pem", "bsn") else head, *rest.split()])


def _batch(batch: int | None) -> str:
    return "?" if batch is None else str(batch)


def _rate(rate: float | None) -> str:
    return shown(rate, ",.2f")


def pair_table(pair: Pair) -> Table:
    """Return the table of both commands' times."""
    rows = []
    for name, runs in (("A", pair.a), ("B", pair.b)):
        seconds = [run.seconds for run in runs]
        cpu = statistics.median(run.cpu_seconds for run in runs)
        figures = (min(seconds), statistics.median(seconds), max(seconds), cpu)
        rows.append([name, *(f"{value:.4f}" for value in figures)])
    title = f"Seconds per run, {len(pair.a) // 2} rounds of A B B A"
    return title, ["command", "min", "median", "max", "median CPU"], rows


def comparison_to_dict(comparison: Comparison, check: ReportCheck | None) -> dict[str, Any]:
    """Convert a comparison to plain values for JSON: all that was read, and the results."""
    checked = check and {**msgspec.to_builtins(check, enc_hook=str), "passed": check.passed}
    return {
        "chips": comparison.chips,
        "sources": [{"name": system.name, "logs": _logs(system)} for system in comparison.systems],
        "headlines": _rows(comparison.headlines),
        "interface": _rows(comparison.interface),
        "end_to_end": _rows(comparison.measured),
        "steps": _rows(comparison.steps),
        "notes": msgspec.to_builtins(comparison.notes),
        "report": checked,
    }


def _logs(system: System) -> list[dict[str, Any]]:
    return [
        {
            "file": str(log.path),
            "tool": log.tool,
            "stages": msgspec.to_builtins(log.stages),
            "figures": msgspec.to_builtins(log.figures),
        }
        for log in system.logs
    ]


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "scope": row.scope,
            "batch": row.batch,
            "samples_per_second": list(row.rates),
            "ratios": list(row.ratios),
        }
        for row in rows
    ]


def comparison_page(comparison: Comparison, check: ReportCheck | None, command: str) -> str:
    """Return the Markdown page: tables, notes, and findings about the checked report."""
    lines = [f"* {note.about}: {note.text}" for note in comparison.notes]
    if check is not None:
        lines += ["", f"Arithmetic in {check.file.name}:", ""]
        lines += [f"* line {f.line}, {f.kind}: {f.text}" for f in check.findings]
        lines.append(f"* {verdict(check)}")
    page = page_of("Speed, compared", command, comparison_tables(comparison))
    return page + "".join(f"{line}\n" for line in lines)


def verdict(check: ReportCheck) -> str:
    """Return one line: how many equations and commands were checked, and how many are wrong."""
    wrong = sum(finding.kind != "rounded" for finding in check.findings)
    checked = f"{check.equations} equations and {check.commands} trtexec commands checked"
    return f"{checked}: {f'{wrong} do not follow' if wrong else 'all follow'}"
