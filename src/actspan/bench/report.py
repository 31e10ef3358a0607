"""Comparison of results as tables, as plain values for JSON, and as a Markdown page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from actspan.bench.claims import Claims
from actspan.bench.compare import Comparison, Row
from actspan.bench.paired import Pair, Run
from actspan.bench.sides import Side
from actspan.core.markdown import markdown_table

__all__ = ["Table", "pair_table", "pair_to_dict", "tables", "to_dict", "to_markdown", "verdict"]

Table = tuple[str, list[str], list[list[str]]]  # title, header, rows


def tables(found: Comparison) -> Iterator[Table]:
    """Yield the tables that have rows: headlines, interface and measured rates, steps, answers.

    Steps are shown if there is only one side, or if two sides have them.
    """
    if found.headlines:
        chips = f" x {found.chips} chips of an NPU card" if found.chips > 1 else ""
        title = f"Headlines, samples/s: interface rate{chips}; BSN = 1 / (1/TEM + 1/PEM)"
        yield title, *_side_by_side(found, found.headlines)
    if found.measured:
        title = "Samples/s of one chip or process: the runtime's call alone, and end to end"
        yield title, *_interface_and_measured(found)
    steps = [row for row in found.steps if len(found.sides) == 1 or _is_shared(row)]
    if steps:
        yield "Samples/s of the steps", *_side_by_side(found, steps)
    unknown = [row for side in found.sides for row in _of_unknown_batches(side)]
    if unknown:
        header = ["side", "what", "scope", "batches/s"]
        yield "Batches/s, where the batch size is not known", header, unknown
    answers = [row for side in found.sides for row in _answers(side)]
    if answers:
        header = ["side", "what", "batch", "answers"]
        yield "What was answered while the clock ran", header, answers


def _side_by_side(found: Comparison, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    first, *others = [side.name for side in found.sides]
    header = ["what", "batch", first, *others, *(f"{name} / {first}" for name in others)]
    return header, [
        [_title(row.name), _batch(row.batch), *map(_rate, row.rates), *map(_ratio, row.ratios)]
        for row in rows
    ]


def _interface_and_measured(found: Comparison) -> tuple[list[str], list[list[str]]]:
    rows = []
    for number, side in enumerate(found.sides):
        interface = {(r.name, r.batch): r.rates[number] for r in found.interface}
        measured = {(r.name, r.batch): r.rates[number] for r in found.measured}
        for (name, batch), whole in measured.items():
            if whole is not None:
                call = interface.get((name, batch))
                share = "-" if call is None else f"{100 * whole / call:.1f} %"
                figures = [_rate(call), _rate(whole), share]
                rows.append([side.name, _title(name), _batch(batch), *figures])
    return ["side", "what", "batch", "interface", "end to end", "share"], rows


def _of_unknown_batches(side: Side) -> Iterator[list[str]]:
    for stage in side.stages.values():
        if stage.samples_per_second is None and stage.batches_per_second is not None:
            rate = _rate(stage.batches_per_second)
            yield [side.name, _title(stage.name), stage.scope, rate]


def _answers(side: Side) -> Iterator[list[str]]:
    """Yield a row of recall or parity for every stage that states one."""
    for stage in side.stages.values():
        accuracy = stage.accuracy
        if accuracy is None:
            continue
        parts = [f"{name} {value:.2f}" for name, value in (accuracy.recall or {}).items()]
        if accuracy.max_difference is not None:
            parts.append(f"outputs within {accuracy.max_difference:.1e} of the checkpoint's")
        parts += [f"({accuracy.of})"] if accuracy.of else []
        yield [side.name, _title(stage.name), _batch(stage.batch), " ".join(parts)]


def _is_shared(row: Row) -> bool:
    return sum(rate is not None for rate in row.rates) > 1


def _title(name: str) -> str:
    """Return the name of a stage with networks in capitals: `TEM data read`."""
    head, _, rest = name.partition(" ")
    return " ".join([head.upper() if head in ("tem", "pem", "bsn") else head, *rest.split()])


def _batch(batch: int | None) -> str:
    return "?" if batch is None else str(batch)


def _rate(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.2f}"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.3f}"


def pair_table(pair: Pair) -> Table:
    """Return the table of both commands' times."""
    rows = []
    for name, runs in (("A", pair.a), ("B", pair.b)):
        seconds = [run.seconds for run in runs]
        figures = (min(seconds), statistics.median(seconds), max(seconds), _cpu(runs))
        rows.append([name, *(f"{value:.4f}" for value in figures)])
    title = f"Seconds a run, {pair.rounds} rounds of A B B A"
    return title, ["command", "min", "median", "max", "median CPU"], rows


def _cpu(runs: Sequence[Run]) -> float:
    return statistics.median(run.cpu_seconds for run in runs)


def pair_to_dict(pair: Pair) -> dict[str, Any]:
    """Convert a pair to plain values for JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(pair)
    return {"rounds": pair.rounds, **plain}


def to_dict(found: Comparison, claims: Claims | None) -> dict[str, Any]:
    """Convert a comparison to plain values for JSON: all that was read, and the results."""
    return {
        "chips": found.chips,
        "sides": [_side(side) for side in found.sides],
        "headlines": [_row(row) for row in found.headlines],
        "interface": [_row(row) for row in found.interface],
        "end_to_end": [_row(row) for row in found.measured],
        "steps": [_row(row) for row in found.steps],
        "notes": [{"about": note.about, "text": note.text} for note in found.notes],
        "claims": None if claims is None else _claims(claims),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "logs": [
            {
                "file": str(log.path),
                "tool": log.tool,
                "stages": msgspec.to_builtins(log.stages),
                "figures": msgspec.to_builtins(log.figures),
            }
            for log in side.logs
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "scope": row.scope,
        "batch": row.batch,
        "samples_per_second": list(row.rates),
        "ratios": list(row.ratios),
    }


def _claims(claims: Claims) -> dict[str, Any]:
    return {
        "file": str(claims.file),
        "holds": claims.holds,
        "equations": claims.equations,
        "commands": claims.commands,
        "findings": [{"kind": f.kind, "line": f.line, "text": f.text} for f in claims.findings],
    }


def to_markdown(found: Comparison, claims: Claims | None, command: str) -> str:
    """Return the Markdown page: tables, notes, and claims that do not follow."""
    lines = ["# Speed, compared", "", f"Written by `{command}`; do not edit it.", ""]
    for title, header, rows in tables(found):
        lines += [f"{title}:", "", *markdown_table(header, rows), ""]
    for note in found.notes:
        lines.append(f"* {note.about}: {note.text}")
    if claims is not None:
        lines += ["", f"Arithmetic in {claims.file.name}:", ""]
        lines += [f"* line {f.line}, {f.kind}: {f.text}" for f in claims.findings]
        lines.append(f"* {verdict(claims)}")
    return "\n".join([*lines, ""])


def verdict(claims: Claims) -> str:
    """Return one line: how many claims were checked, and how many are wrong."""
    wrong = sum(finding.kind != "rounded" for finding in claims.findings)
    checked = f"{claims.equations} equations and {claims.commands} trtexec commands checked"
    return f"{checked}: {f'{wrong} do not follow' if wrong else 'all follow'}"
