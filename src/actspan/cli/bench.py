"""`actspan bench`: measure how fast each stage of a model runs here, and check its output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from actspan.bench.records import BenchRequest
from actspan.cli.console import print_error, print_text, progress_report, say
from actspan.cli.options import command, command_line, given_options
from actspan.cli.tables import print_table
from actspan.config.base import OutputFile, OutputFolder, Positive, doc
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.bench.records import BenchResult


@command(
    without=["command"],
    json_=doc("Write the result, as input of actspan compare.", group="Output"),
    csv=doc("Write one row per stage.", group="Output"),
    markdown=doc("Write the tables as a Markdown page.", group="Output"),
    summary=doc(
        "Write summary lines in the format of the NPU benchmark into this folder, one file per "
        "network and batch.",
        group="Output",
    ),
    roofline=doc("Write the roofline plot: .png, .svg or .pdf.", group="Output"),
)
def bench(
    request: BenchRequest,
    *,
    streams: Positive | None = None,
    json_: OutputFile | None = None,
    csv: OutputFile | None = None,
    markdown: OutputFile | None = None,
    summary: OutputFolder | None = None,
    roofline: OutputFile | None = None,
) -> None:
    """Measure the speed of a model here, in total and per stage, and check its output.

    Without --model and --dataset, synthetic networks of the published sizes and synthetic features
    are used, and the result says so. Each measurement warms up and repeats until its median settles
    or the time is up. Results are compared with the checkpoint; the exit code is 1 if they differ
    by more than the precision allows. docs/project/performance.md explains every figure.

    \b
    Example:
      actspan bench
      actspan bench --model bsn/ --dataset my-videos/ --subset validation \\
          --json here.json
      actspan bench --model bsn/ --backend openvino --batch 16 \\
          --roofline roofline.png
      actspan compare before.json after.json --fail-if slower:5%
    """
    options = given_options()
    if request.subset is not None and request.dataset is None:
        raise click.UsageError("--subset needs --dataset")
    if request.model is not None and {"channels", "length"} & options:
        raise click.UsageError("--channels and --length are of synthetic networks, not of --model")
    if request.dataset is not None and request.snippets:
        raise click.UsageError("--snippets is of synthetic videos, not of --dataset")
    outputs = (json_, csv, markdown, roofline)
    with progress_report() as report:
        from actspan.bench.benchmark import run_benchmark
        from actspan.bench.result_tables import broken_limits
        from actspan.core.machine import core_count

        _check_outputs(outputs, roofline)
        request = replace(
            request,
            batches=tuple(dict.fromkeys(request.batches)),
            streams=streams or max(core_count() // request.threads, 1),
            command=command_line(),
        )
        result = run_benchmark(request, report)
    _print(result)
    _write(result, outputs, summary)
    if broken := broken_limits(result):
        what = counted(len(broken), "output")
        print_error(f"{what} outside the limits of the precision, so the speed is void; see above")
    click.get_current_context().exit(1 if broken else 0)


def _check_outputs(outputs: tuple[Path | None, ...], roofline: Path | None) -> None:
    """Raise, before work starts, if a requested file cannot be written."""
    from actspan.core.errors import BenchError

    if roofline is not None:
        from actspan.report.figures import check_picture

        check_picture(roofline)
    for path in filter(None, outputs):
        if not path.absolute().parent.is_dir():
            raise BenchError(f"{path}: the folder {path.absolute().parent} does not exist")


def _print(result: BenchResult) -> None:
    from actspan.bench.result_tables import heading, result_tables, sentences

    print_text(heading(result))
    for title, header, rows in result_tables(result):
        print_text(f"{title}:")
        print_table(header, rows)
    for line in sentences(result):
        print_text(line)


def _write(result: BenchResult, outputs: tuple[Path | None, ...], summary: Path | None) -> None:
    from actspan.bench.records import write_result
    from actspan.bench.result_tables import result_page, result_to_csv, write_summaries
    from actspan.core.files import atomic_file

    json_file, csv_file, markdown, roofline = outputs
    if json_file is not None:
        write_result(result, json_file)
    for path, text in ((csv_file, result_to_csv), (markdown, result_page)):
        if path is not None:
            with atomic_file(path) as stream:
                stream.write(text(result).encode())
    if roofline is not None:
        from actspan.report.roofline_picture import plot_roofline

        plot_roofline(result, roofline)
    summaries = () if summary is None else write_summaries(result, summary)
    for path in (*filter(None, outputs), *summaries):
        say(f"written: {path}")
