"""`actspan serve`: serve proposals over HTTP, with a viewer of runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import click

from actspan.cli.console import say
from actspan.cli.options import (
    Existing,
    ExistingFolder,
    OutputFolder,
    Positive,
    Seconds,
    Text,
    command,
    refuse_options,
    request_from_options,
)

_OF_MODELS = [
    "backend",
    "threads",
    "backbone",
    "upload_mib",
    "hours",
    "queue",
    "jobs",
    "batch",
    "delay",
]


@command(
    model="Bundle to propose with.",
    results="Run folder to show in the viewer; may be repeated, to compare runs.",
    ground_truth="Ground truth to show. [default: the datasets of the runs]",
    videos="Folder of videos to play, named after their ids.",
    host="Address to listen on; anything but loopback needs a token.",
    port="Port to listen on; 0 takes any free port.",
    token="Token that clients must send. [default: $ACTSPAN_TOKEN; else none on "  # noqa: S106
    "loopback, and a new one otherwise, which is printed]",
    data="Folder for jobs, results and corrections.",
    backend="Inference runtime.",
    backbone="onnx:FILE, if the model needs a custom backbone for videos.",
    request_mib="Largest request body that is answered directly, in MiB.",
    upload_mib="Largest upload of a job, in MiB.",
    hours="Longest recording, in hours.",
    timeout="Seconds within which a request must be answered.",
    queue="Largest number of waiting videos; further ones get status 429.",
    jobs="Largest number of waiting jobs; further ones get status 429.",
    batch="Videos per batch.",
    delay="Milliseconds that the first video of a batch waits for others.",
    allow_host="Another host name accepted by a loopback service, as when a proxy is in front of "
    "it.",
)
def serve(
    *,
    model: ExistingFolder | None = None,
    results: tuple[Existing, ...] = (),
    ground_truth: Existing | None = None,
    videos: ExistingFolder | None = None,
    host: str = "127.0.0.1",
    port: Annotated[int, click.IntRange(0, 65535)] = 8000,
    token: str | None = None,
    data: OutputFolder = Path("actspan-serve"),
    backend: str = "auto",
    threads: Positive | None = None,
    backbone: str | None = None,
    request_mib: Positive = 64,
    upload_mib: Positive = 4096,
    hours: Seconds = 24.0,
    timeout: Seconds = 60.0,
    queue: Positive = 1024,
    jobs: Positive = 100,
    batch: Positive = 16,
    delay: Annotated[float, click.FloatRange(0, 1000)] = 2.0,
    allow_host: tuple[Annotated[str, Text("NAME")], ...] = (),
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
        refuse_options(_OF_MODELS, "without --model")
    from actspan.core.errors import require

    require("fastapi", extra="server", purpose="actspan serve")
    require("uvicorn", extra="server", purpose="actspan serve")
    from actspan.server.app import make_token
    from actspan.server.app import serve as run_service
    from actspan.server.settings import HOUR, MIB, Batching, Limits, ServeSettings

    limits = Limits(
        request_bytes=request_mib * MIB,
        upload_bytes=upload_mib * MIB,
        recording_seconds=hours * HOUR,
        answer_seconds=timeout,
        waiting_rows=queue,
        waiting_jobs=jobs,
    )
    settings = request_from_options(
        ServeSettings,
        token=make_token(host, token or os.environ.get("ACTSPAN_TOKEN")),
        hosts=allow_host,
        limits=limits,
        batching=Batching(batch, delay / 1000),
    )
    run_service(settings, announce=say)
