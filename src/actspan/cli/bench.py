"""`actspan bench`: measure how fast each stage of a model runs here, and check its output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from actspan.cli.common import (
    ExistingPath,
    PlainPath,
    on_error_option,
    progress_report,
    repeated,
    reports_errors,
    say,
)

if TYPE_CHECKING:
    from actspan.bench.result import BenchResult

_existing = ExistingPath(file_okay=False)
_file = PlainPath(dir_okay=False)
_positive = click.IntRange(1)


@click.command("bench")
@click.option(
    "--model", type=_existing, help="A bundle. [default: made-up networks of published sizes]"
)
@click.option("--dataset", type=_existing, help="A dataset folder. [default: made-up features]")
@click.option("--subset", help="Use only the videos of this subset: validation, ... [default: all]")
@click.option(
    "--videos", type=_positive, help="Use at most N videos. [default: all; 128 made-up ones]"
)
@click.option(
    "--batch",
    "batches",
    type=_positive,
    multiple=True,
    default=(1, 16),
    show_default=True,
    help="Videos per batch; may be repeated.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Inference runtime, with its precision; see actspan backends.",
)
@click.option("--variant", default="", help="Other graphs of the bundle: fp16 uses tem.fp16.onnx.")
@click.option("--threads", type=_positive, default=1, show_default=True, help="Threads per call.")
@click.option(
    "--streams", type=_positive, help="Calls that run at the same time. [default: cores / threads]"
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Longest time per measurement; it ends earlier when its median settles.",
)
@click.option("--channels", type=_positive, help="Channels of made-up networks. [default: 400]")
@click.option("--length", type=click.IntRange(2), help="Cells of made-up networks. [default: 100]")
@click.option(
    "--snippets", type=_positive, help="Snippets of made-up videos. [default: as many as cells]"
)
@on_error_option("Stop at problems in the dataset, or skip what cannot be used.")
@click.option(
    "--json", "json_file", type=_file, help="Write the result, as input of actspan compare."
)
@click.option("--csv", "csv_file", type=_file, help="Write one row per stage.")
@click.option("--markdown", type=_file, help="Write the tables as a Markdown page.")
@click.option(
    "--summary",
    type=PlainPath(file_okay=False),
    help="Write the NPU benchmark's summary lines into this folder, one file per network and "
    "batch.",
)
@click.option("--roofline", type=_file, help="Write the roofline plot: .png, .svg or .pdf.")
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    model: Path | None,
    dataset: Path | None,
    subset: str | None,
    videos: int | None,
    batches: tuple[int, ...],
    backend: str,
    variant: str,
    threads: int,
    streams: int | None,
    seconds: float,
    channels: int | None,
    length: int | None,
    snippets: int | None,
    on_error: Literal["fail", "skip"],
    json_file: Path | None,
    csv_file: Path | None,
    markdown: Path | None,
    summary: Path | None,
    roofline: Path | None,
) -> None:
    """Measure the speed of a model here, in total and per stage, and check its output.

    Without --model and --dataset, networks of the published sizes and features are made up, and the
    result says so. Each measurement warms up and repeats until its median settles or the time is
    up. Answers are compared with the checkpoint; the exit code is 1 if they differ by more than the
    precision allows. docs/performance.md explains every figure.

    \b
    Example:
      actspan bench
      actspan bench --model bsn/ --dataset my-videos/ --subset validation --json here.json
      actspan bench --model bsn/ --backend openvino --batch 16 --roofline roofline.png
      actspan compare before.json after.json --fail-if slower:5%
    """
    if subset is not None and dataset is None:
        raise click.UsageError("--subset needs --dataset", context)
    if model is not None and (channels or length):
        raise click.UsageError("--channels and --length are of made-up networks, not of --model")
    if dataset is not None and snippets:
        raise click.UsageError("--snippets is of made-up videos, not of --dataset")
    outputs = [path for path in (json_file, csv_file, markdown, roofline) if path is not None]
    with progress_report() as report:
        from actspan.bench import synthetic
        from actspan.bench.environment import core_count
        from actspan.bench.material import Request
        from actspan.bench.run import run_benchmark

        _check_outputs(outputs, roofline)
        request = Request(
            model=model,
            dataset=dataset,
            subset=subset,
            videos=videos,
            batches=tuple(dict.fromkeys(batches)),
            backend=backend,
            variant=variant,
            threads=threads,
            streams=streams or max(core_count() // threads, 1),
            seconds=seconds,
            channels=channels or synthetic.CHANNELS,
            length=length or synthetic.LENGTH,
            snippets=snippets,
            on_error=on_error,
            command=repeated(context),
        )
        result = run_benchmark(request, report)
    _print(result)
    _write(result, json_file, csv_file, markdown, summary, roofline)
    from actspan.bench.tables import broken_limits

    context.exit(1 if broken_limits(result) else 0)


def _check_outputs(outputs: list[Path], roofline: Path | None) -> None:
    """Raise, before work starts, if a requested file cannot be written."""
    from actspan.core.errors import BenchError

    if roofline is not None:
        from actspan.report.figures import check_picture

        check_picture(roofline)
    for path in outputs:
        if not path.absolute().parent.is_dir():
            raise BenchError(f"{path}: the folder {path.absolute().parent} does not exist")


def _print(result: BenchResult) -> None:
    from actspan.bench.tables import heading, result_tables, sentences
    from actspan.cli.tables import print_table

    click.echo(heading(result))
    for title, header, rows in result_tables(result):
        click.echo(f"{title}:")
        print_table(header, rows)
    for line in sentences(result):
        click.echo(line)


def _write(
    result: BenchResult,
    json_file: Path | None,
    csv_file: Path | None,
    markdown: Path | None,
    summary: Path | None,
    roofline: Path | None,
) -> None:
    from actspan.bench.result import write_result
    from actspan.bench.tables import result_page, result_to_csv, write_summaries
    from actspan.core.files import atomic_file

    if json_file is not None:
        write_result(result, json_file)
    for path, text in ((csv_file, result_to_csv), (markdown, result_page)):
        if path is not None:
            with atomic_file(path) as stream:
                stream.write(text(result).encode())
    if roofline is not None:
        from actspan.report.roofline import plot_roofline

        plot_roofline(result, roofline)
    for path in (json_file, csv_file, markdown, roofline):
        if path is not None:
            say(f"written: {path}")
    if summary is not None:
        for path in write_summaries(result, summary):
            say(f"written: {path}")
