"""`actspan serve`: serve proposals over HTTP, with a viewer of runs."""

from __future__ import annotations

import os
from typing import Annotated

import click
from msgspec.structs import replace

from actspan.cli.console import say
from actspan.cli.options import Text, command, refuse_options
from actspan.config.base import Bounds, ExistingFile, Positive, Seconds
from actspan.config.stages import BATCH
from actspan.server.settings import HOUR, MIB, Limits, ServeSettings

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
    "set_",
    "settings",
]


@command(
    names={"hosts": "allow_host"},
    without=["limits", "changes"],
    request_mib="Largest request body that is answered directly, in MiB.",
    upload_mib="Largest upload of a job, in MiB.",
    hours="Longest recording, in hours.",
    timeout="Seconds within which a request must be answered.",
    queue="Largest number of waiting videos; further ones get status 429.",
    jobs="Largest number of waiting jobs; further ones get status 429.",
    batch="Videos per batch.",
    delay="Milliseconds that the first video of a batch waits for others.",
)
def serve(
    service: ServeSettings,
    *,
    request_mib: Positive = 64,
    upload_mib: Positive = 4096,
    hours: Seconds = 24.0,
    timeout: Seconds = 60.0,
    queue: Positive = 1024,
    jobs: Positive = 100,
    batch: Positive = BATCH,
    delay: Annotated[float, Bounds(0, 1000)] = 2.0,
    set_: tuple[Annotated[str, Text("KEY=VALUE")], ...] = (),
    settings: ExistingFile | None = None,
) -> None:
    """Serve proposals over HTTP, with a viewer of runs at /.

    \b
    Example:
      actspan serve --model bsn/
      actspan serve --results run/ --results other-run/ --videos videos/
      actspan serve --model bsn/ --host 0.0.0.0 --port 80 --data /var/lib/actspan
    """
    if not (service.model or service.results or service.ground_truth or service.videos):
        raise click.UsageError(
            "there is nothing to serve: give --model, --results, --ground-truth or --videos"
        )
    if service.model is None:
        refuse_options(_OF_MODELS, "without --model")
    from actspan.config.changes import read_changes
    from actspan.core.errors import require

    require("fastapi", extra="server", purpose="actspan serve")
    require("uvicorn", extra="server", purpose="actspan serve")
    from actspan.server.app import make_token
    from actspan.server.app import serve as run_service

    limits = Limits(
        request_bytes=request_mib * MIB,
        upload_bytes=upload_mib * MIB,
        recording_seconds=hours * HOUR,
        answer_seconds=timeout,
        waiting_rows=queue,
        waiting_jobs=jobs,
        batch_rows=batch,
        batch_delay=delay / 1000,
    )
    token = make_token(service.host, service.token or os.environ.get("ACTSPAN_TOKEN"))
    changes = read_changes(set_, settings)
    run_service(replace(service, token=token, limits=limits, changes=changes), announce=say)
