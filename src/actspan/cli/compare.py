"""`actspan compare`: compare speeds from files or from two commands."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    json_option,
    progress_report,
    refuse_options,
    reports_errors,
    say,
)

if TYPE_CHECKING:
    from actspan.bench.comparison import Comparison, Row
    from actspan.bench.report_check import ReportCheck
    from actspan.bench.timing import Pair


def _limit(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Return the limit `slower:5%` as the fraction 0.05."""
    if value is None:
        return None
    found = re.fullmatch(r"slower:(\d+(?:\.\d+)?)%", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a limit such as slower:5%", context, option)
    return float(found[1]) / 100


@click.command("compare")
@click.argument("sources", nargs=-1, metavar="[PATH | NAME=PATH]...")
@click.option(
    "--chips",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Chips per NPU card; the logs of NPUs are of one chip.",
)
@click.option(
    "--claims",
    type=ExistingPath(dir_okay=False),
    help="A report whose arithmetic and trtexec commands are checked against the logs.",
)
@click.option(
    "--fail-if",
    callback=_limit,
    metavar="slower:N%",
    help="Exit with code 1 if another side takes N % longer than the first.",
)
@click.option("--run-a", metavar="COMMAND", help="Time this command ...")
@click.option("--run-b", metavar="COMMAND", help="... against this one, in turn: A B B A.")
@click.option(
    "--rounds",
    type=click.IntRange(5),
    default=10,
    show_default=True,
    help="Number of rounds A B B A.",
)
@click.option(
    "--markdown",
    type=PlainPath(dir_okay=False),
    help="Write the comparison as a Markdown page.",
)
@json_option
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    sources: tuple[str, ...],
    chips: int,
    claims: Path | None,
    fail_if: float | None,
    run_a: str | None,
    run_b: str | None,
    rounds: int,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Compare speeds: results of `actspan bench`, and logs of other tools.

    A path is a result, a log or a folder of them. Logs are recognized by their content: the NPU
    benchmark's perf_vision_*.txt, trtexec (old and new layout), ais_bench (text and summary JSON),
    OpenVINO's benchmark_app (text, CSV, JSON), onnxruntime_perf_test. Ratios are relative to the
    first path. Headlines are recomputed (interface rate x chips, BSN = 1/(1/TEM + 1/PEM)) and shown
    beside the end-to-end measurement. The exit code is 1 if --claims finds an error or the limit of
    --fail-if is exceeded.

    With --run-a and --run-b, two commands are timed alternately (no shell), so that drift affects
    both equally. --fail-if then applies only if the whole interval of the ratio is beyond the
    limit.

    \b
    Example:
      actspan compare old.json new.json --fail-if slower:5%
      actspan compare t4/ ascend310/ --chips 4 --claims report.md
      actspan compare --run-a 'actspan --version' --run-b 'python -c pass'
    """
    _check_usage(context, sources, (run_a, run_b), claims or markdown)
    if run_a is not None and run_b is not None:
        _time(context, run_a, run_b, rounds, fail_if, as_json)
        return
    from actspan.bench.comparison import compare, read_systems, slower_rows
    from actspan.bench.comparison_tables import comparison_page, comparison_to_dict
    from actspan.bench.report_check import check_report
    from actspan.core.files import atomic_file

    found = compare(read_systems(sources), chips=chips)
    checked = None if claims is None else check_report(claims, found)
    slower = [] if fail_if is None else slower_rows(found, fail_if)
    if markdown is not None:
        with atomic_file(markdown) as stream:
            page = comparison_page(found, checked, shlex.join(["actspan", "compare", *sources]))
            stream.write(page.encode())
        say(f"report: {markdown}")
    if as_json:
        answer = {**comparison_to_dict(found, checked), "slower": [_plain(*row) for row in slower]}
        click.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        _print(found, checked)
    for name, row, longer in slower:
        say(f"{name} takes {100 * longer:.1f} % longer: {row.name} {row.scope}, batch {row.batch}")
    if fail_if is not None:
        say(f"{'FAIL' if slower else 'passes'}: --fail-if slower:{100 * fail_if:g}%")
    context.exit(1 if slower or (checked is not None and not checked.holds) else 0)


def _plain(side: str, row: Row, longer: float) -> dict[str, object]:
    return {
        "side": side,
        "name": row.name,
        "scope": row.scope,
        "batch": row.batch,
        "longer": longer,
    }


def _check_usage(
    context: click.Context,
    sources: tuple[str, ...],
    commands: tuple[str | None, str | None],
    of_files: Path | None,
) -> None:
    given = sum(command is not None for command in commands)
    if given == 1:
        raise click.UsageError("--run-a and --run-b belong together", context)
    if given and (sources or of_files):
        raise click.UsageError("compare either files or two commands, not both", context)
    if given:
        refuse_options(context, ("chips",), "with --run-a and --run-b")
    else:
        refuse_options(context, ("rounds",), "without --run-a and --run-b")
    if not given and not sources:
        raise click.UsageError("give results or logs, or --run-a and --run-b", context)


def _print(found: Comparison, check: ReportCheck | None) -> None:
    from actspan.bench.comparison_tables import comparison_tables, verdict
    from actspan.cli.tables import print_table

    for title, header, rows in comparison_tables(found):
        click.echo(f"{title}:")
        print_table(header, rows)
    for note in found.notes:
        click.echo(f"note: {note.about}: {note.text}")
    if check is not None:
        click.echo("")
        for finding in check.findings:
            click.echo(f"{check.file.name}:{finding.line}: {finding.kind}: {finding.text}")
        click.echo(f"{check.file.name}: {verdict(check)}")


def _time(
    context: click.Context,
    run_a: str,
    run_b: str,
    rounds: int,
    limit: float | None,
    as_json: bool,
) -> None:
    from functools import partial

    from actspan.bench.timing import run_command, time_pair

    with progress_report() as report:
        pair = time_pair(
            partial(run_command, run_a),
            partial(run_command, run_b),
            rounds=rounds,
            progress=report,
        )
    if as_json:
        plain = dataclasses.asdict(pair)
        answer = {"run_a": run_a, "run_b": run_b, "rounds": rounds, **plain}
        click.echo(json.dumps(answer, indent=1))
    else:
        _print_pair(pair, run_a, run_b)
    slower = limit is not None and pair.is_slower(limit)
    if limit is not None:
        verdict = "B takes" if slower else "B is not shown to take"
        say(
            f"{'FAIL' if slower else 'passes'}: {verdict} more than {100 * limit:g} % longer than A"
        )
    context.exit(1 if slower else 0)


def _print_pair(pair: Pair, run_a: str, run_b: str) -> None:
    from actspan.bench.comparison_tables import pair_table
    from actspan.cli.tables import print_table

    title, header, rows = pair_table(pair)
    click.echo(f"A: {run_a}\nB: {run_b}\n{title}:")
    print_table(header, rows)
    click.echo(
        f"time of B / time of A: {pair.ratio:.3f}, 95 % interval {pair.low:.3f} to {pair.high:.3f}"
    )
