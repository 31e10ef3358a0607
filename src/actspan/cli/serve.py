"""`actspan serve`: serve proposals over HTTP, with a viewer of runs."""

from __future__ import annotations

from pathlib import Path

import click

from actspan.cli.common import ExistingPath, PlainPath, refuse_options, reports_errors, say

_OF_MODELS = (
    *("backend", "threads", "backbone"),
    *("upload_mib", "hours", "queue", "jobs", "batch", "delay"),
)
_folder = ExistingPath(file_okay=False)


@click.command()
@click.option("--model", type=_folder, help="Bundle to propose with.")
@click.option(
    "--results",
    type=ExistingPath(),
    multiple=True,
    metavar="RUN",
    help="Run folder to show in the viewer; may be repeated, to compare runs.",
)
@click.option(
    "--ground-truth",
    type=ExistingPath(),
    metavar="ANNOTATIONS",
    help="Ground truth to show. [default: the datasets of the runs]",
)
@click.option(
    "--videos", type=_folder, metavar="DIR", help="Folder of videos to play, named after their ids."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; anything but loopback needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes any free port.",
)
@click.option(
    "--token",
    envvar="ACTSPAN_TOKEN",
    help="Token that clients must send. [default: none on loopback, else generated and printed]",
)
@click.option(
    "--data",
    type=PlainPath(file_okay=False),
    default=Path("actspan-serve"),
    show_default=True,
    help="Folder for jobs, results and corrections.",
)
@click.option("--backend", default="auto", show_default=True, help="Inference runtime.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads. [default: all cores]")
@click.option("--backbone", help="onnx:FILE, if the model needs a custom backbone for videos.")
@click.option(
    "--request-mib",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Largest request body that is answered directly, in MiB.",
)
@click.option(
    "--upload-mib",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="Largest upload of a job, in MiB.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    default=24.0,
    show_default=True,
    help="Longest recording, in hours.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds within which a request must be answered.",
)
@click.option(
    "--queue",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="Largest number of waiting videos; further ones get status 429.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Largest number of waiting jobs; further ones get status 429.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=16, show_default=True, help="Videos per batch."
)
@click.option(
    "--delay",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="Milliseconds that the first video of a batch waits for others.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Another host name accepted by a loopback service, as when a proxy is in front of it.",
)
@click.pass_context
@reports_errors
def command(
    context: click.Context,
    model: Path | None,
    results: tuple[Path, ...],
    ground_truth: Path | None,
    videos: Path | None,
    host: str,
    port: int,
    token: str | None,
    data: Path,
    backend: str,
    threads: int | None,
    backbone: str | None,
    request_mib: int,
    upload_mib: int,
    hours: float,
    timeout: float,
    queue: int,
    jobs: int,
    batch: int,
    delay: float,
    allow_host: tuple[str, ...],
) -> None:
    """Serve proposals over HTTP, with a viewer of runs at /.

    \b
    Example:
      actspan serve --model bsn/
      actspan serve --results run/ --results other-run/ --videos videos/
      actspan serve --model bsn/ --host 0.0.0.0 --port 80 --data /var/lib/actspan
    """
    if not (model or results or ground_truth or videos):
        raise click.UsageError(
            "there is nothing to serve: give --model, --results, --ground-truth or --videos"
        )
    if model is None:
        refuse_options(context, _OF_MODELS, "without --model")
    from actspan.core.errors import require

    require("fastapi", extra="server", purpose="actspan serve")
    require("uvicorn", extra="server", purpose="actspan serve")
    from actspan.server.app import make_token, serve
    from actspan.server.settings import HOUR, MIB, Batching, Limits, ServeSettings

    settings = ServeSettings(
        model=model,
        results=results,
        ground_truth=ground_truth,
        videos=videos,
        host=host,
        port=port,
        token=make_token(host, token),
        data=data,
        backend=backend,
        threads=threads,
        backbone=backbone,
        hosts=allow_host,
        limits=Limits(
            request_bytes=request_mib * MIB,
            upload_bytes=upload_mib * MIB,
            recording_seconds=hours * HOUR,
            answer_seconds=timeout,
            waiting_rows=queue,
            waiting_jobs=jobs,
        ),
        batching=Batching(batch, delay / 1000),
    )
    serve(settings, announce=say)
