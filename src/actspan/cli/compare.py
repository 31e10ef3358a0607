"""`actspan compare`: compare speeds from files or from two commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import click

from actspan.cli.console import print_error, print_json, print_text, progress_report, say
from actspan.cli.help import Text
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_table
from actspan.config.base import Bounds, ExistingFile, OutputFile, Positive
from actspan.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actspan.bench.comparison import Comparison, Row
    from actspan.bench.report_check import ReportCheck
    from actspan.bench.timing import Pair


def _limit(text: str) -> float:
    """Return the limit `slower:5%` as the fraction 0.05."""
    match = re.fullmatch(r"slower:(\d+(?:\.\d+)?)%", text)
    if match is None:
        raise ValueError(f"{text!r} is not a limit such as slower:5%")
    return float(match[1]) / 100


@command(
    chips="Chips per NPU card; the logs of NPUs are of one chip.",
    check_report="A report whose arithmetic and trtexec commands are checked against the logs.",
    fail_if="Exit with code 1 if another source takes more than N % longer than the first.",
    run_a="Time this command against that of --run-b.",
    run_b="The second command.",
    rounds="Number of rounds; each times A, B, B, A.",
    markdown="Write the comparison as a Markdown page.",
)
def compare(
    sources: tuple[Annotated[str, Text("[PATH | NAME=PATH]")], ...] = (),
    *,
    chips: Positive = 1,
    check_report: ExistingFile | None = None,
    fail_if: Annotated[float, Text("slower:N%", _limit)] | None = None,
    run_a: Annotated[str, Text("COMMAND")] | None = None,
    run_b: Annotated[str, Text("COMMAND")] | None = None,
    rounds: Annotated[int, Bounds(5)] = 10,
    markdown: OutputFile | None = None,
    json_: bool = False,
) -> None:
    """Compare speeds: results of `actspan bench`, and logs of other tools.

    A path is a result, a log or a folder of them. Logs are recognized by their content: the NPU
    benchmark's perf_vision_*.txt, trtexec (old and new layout), ais_bench (text and summary JSON),
    OpenVINO's benchmark_app (text, CSV, JSON), onnxruntime_perf_test. Ratios are relative to the
    first path. Headline figures are recomputed (interface rate x chips, BSN = 1/(1/TEM + 1/PEM))
    and shown next to the end-to-end measurement. The exit code is 1 if --check-report finds an
    error or the limit of --fail-if is exceeded.

    With --run-a and --run-b, two commands are timed alternately (no shell), so that drift affects
    both equally. --fail-if then applies only if the whole interval of the ratio is beyond the
    limit.

    \b
    Example:
      actspan compare old.json new.json --fail-if slower:5%
      actspan compare t4/ ascend310/ --chips 4 --check-report report.md
      actspan compare --run-a 'actspan --version' --run-b 'python -c pass'
    """
    context = click.get_current_context()
    if (run_a is None) != (run_b is None):
        raise click.UsageError("--run-a and --run-b belong together")
    if run_a is not None and run_b is not None:
        if sources or check_report or markdown:
            raise click.UsageError("compare either files or two commands, not both")
        refuse_options(["chips"], "with --run-a and --run-b")
        context.exit(0 if _time(run_a, run_b, rounds, fail_if, json_) else 1)
    refuse_options(["rounds"], "without --run-a and --run-b")
    if not sources:
        raise click.UsageError("give results or logs, or --run-a and --run-b")
    from actspan.bench.comparison import compare as compare_systems
    from actspan.bench.comparison import read_systems, slower_rows
    from actspan.bench.comparison_tables import comparison_page, comparison_to_dict
    from actspan.bench.report_check import check_report as check_claims
    from actspan.core.files import atomic_file

    comparison = compare_systems(read_systems(sources), chips=chips)
    checked = None if check_report is None else check_claims(check_report, comparison)
    slower = [] if fail_if is None else slower_rows(comparison, fail_if)
    if markdown is not None:
        with atomic_file(markdown) as stream:
            page = comparison_page(
                comparison, checked, shlex.join(["actspan", "compare", *sources])
            )
            stream.write(page.encode())
        say(f"report: {markdown}")
    if json_:
        rows = [
            {
                "source": source,
                "name": row.name,
                "scope": row.scope,
                "batch": row.batch,
                "longer": longer,
            }
            for source, row, longer in slower
        ]
        print_json({**comparison_to_dict(comparison, checked), "slower": rows})
    else:
        _print(comparison, checked)
    if fail_if is not None:
        _print_slower(slower, fail_if)
    if checked is not None and not checked.passed:
        print_error(f"{check_report}: figures do not follow from the logs; correct them")
    context.exit(1 if slower or (checked is not None and not checked.passed) else 0)


def _print_slower(slower: Sequence[tuple[str, Row, float]], limit: float) -> None:
    """Print each figure that is slower than allowed, and an error; or that there is none."""
    for name, row, longer in slower:
        say(f"{name} takes {100 * longer:.1f} % longer: {row.name} {row.scope}, batch {row.batch}")
    if slower:
        what = counted(len(slower), "figure")
        print_error(f"{what} slower by more than --fail-if allows, {100 * limit:g} %")
    else:
        say(f"nothing is slower by more than {100 * limit:g} %")


def _print(comparison: Comparison, check: ReportCheck | None) -> None:
    from actspan.bench.comparison_tables import comparison_tables, verdict

    for title, header, rows in comparison_tables(comparison):
        print_text(f"{title}:")
        print_table(header, rows)
    for note in comparison.notes:
        print_text(f"note: {note.about}: {note.text}")
    if check is not None:
        print_text("")
        for finding in check.findings:
            print_text(f"{check.file.name}:{finding.line}: {finding.kind}: {finding.text}")
        print_text(f"{check.file.name}: {verdict(check)}")


def _time(run_a: str, run_b: str, rounds: int, limit: float | None, as_json: bool) -> bool:
    """Time two commands and print the result; return whether it is within the limit."""
    from actspan.bench.timing import run_command, time_pair

    with progress_report() as report:
        pair = time_pair(
            partial(run_command, run_a),
            partial(run_command, run_b),
            rounds=rounds,
            progress=report,
        )
    if as_json:
        print_json({"run_a": run_a, "run_b": run_b, "rounds": rounds, **asdict(pair)})
    else:
        _print_pair(pair, run_a, run_b)
    if limit is None:
        return True
    slower = pair.is_slower(limit)
    if slower:
        print_error(f"B takes more than {100 * limit:g} % longer than A")
    else:
        say(f"B is not proven to take more than {100 * limit:g} % longer than A")
    return not slower


def _print_pair(pair: Pair, run_a: str, run_b: str) -> None:
    from actspan.bench.comparison_tables import pair_table

    title, header, rows = pair_table(pair)
    print_text(f"A: {run_a}\nB: {run_b}\n{title}:")
    print_table(header, rows)
    print_text(
        f"time of B / time of A: {pair.ratio:.3f}, 95 % interval {pair.low:.3f} to {pair.high:.3f}"
    )
