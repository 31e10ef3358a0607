"""`actspan serve`: the HTTP service, with its viewer and workspace."""

from __future__ import annotations

import os
from typing import Annotated

import click
from msgspec.structs import replace

from actspan.cli.console import say
from actspan.cli.help import Text
from actspan.cli.options import command, refuse_options
from actspan.config.base import Bounds, ExistingFile, Positive, Seconds, doc
from actspan.config.stages import BATCH
from actspan.server.settings import HOUR, MIB, Limits, ServeSettings

_OF_MODELS = (
    *("backbone", "upload_mib", "hours"),
    *("queue", "batch", "delay", "set_", "settings"),
)


@command(
    names={"hosts": "allow_host"},
    without=["limits", "changes"],
    request_mib=doc(
        "Largest request body that is answered directly, in MiB.", "MIB", group="Limits"
    ),
    upload_mib=doc("Largest upload of a job, in MiB.", "MIB", group="Limits"),
    hours=doc("Longest recording, in hours.", "HOURS", group="Limits"),
    timeout=doc("Seconds within which a request must be answered.", "SECONDS", group="Limits"),
    queue=doc("Largest number of waiting videos; further ones get status 429.", group="Limits"),
    jobs=doc("Largest number of waiting jobs; further ones get status 429.", group="Limits"),
    batch=doc("Videos per batch.", group="Speed"),
    delay=doc(
        "Milliseconds that the first video of a batch waits for others.", "MS", group="Speed"
    ),
    cache_mib=doc(
        "Space on disk for pictures and waveforms of the videos, in MiB.", "MIB", group="Limits"
    ),
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
    cache_mib: Positive = 1024,
    set_: tuple[Annotated[str, Text("KEY=VALUE")], ...] = (),
    settings: ExistingFile | None = None,
) -> None:
    """Serve proposals over HTTP, with a viewer of runs at /.

    With a model, clients send features or videos and get proposals (docs/deploy/serve.md). With
    --videos alone, the page at / is a workspace without a model: it proposes in the videos, and
    people review and correct the proposals and train on them (docs/how-to/viewer.md).

    \b
    Example:
      actspan serve --videos films/
      actspan serve --model bsn/
      actspan serve --results run/ --results other-run/ --videos videos/
      actspan serve --model bsn/ --host 0.0.0.0 --port 80 \\
          --data /var/lib/actspan
    """
    if not (service.model or service.results or service.ground_truth or service.videos):
        raise click.UsageError(
            "nothing to serve: give --model, --results, --ground-truth or --videos"
        )
    if service.model is None:
        refuse_options(_OF_MODELS, "without --model")
    from actspan.config.changes import read_changes
    from actspan.core.errors import require

    require("fastapi", extra="server", purpose="actspan serve")
    require("uvicorn", extra="server", purpose="actspan serve")
    from actspan.server.http_server import make_token
    from actspan.server.http_server import serve as run_service

    limits = Limits(
        request_bytes=request_mib * MIB,
        upload_bytes=upload_mib * MIB,
        recording_seconds=hours * HOUR,
        answer_seconds=timeout,
        waiting_rows=queue,
        waiting_jobs=jobs,
        batch_rows=batch,
        batch_delay=delay / 1000,
        cache_bytes=cache_mib * MIB,
    )
    token = make_token(service.host, service.token or os.environ.get("ACTSPAN_TOKEN"))
    changes = read_changes(set_, settings)
    run_service(replace(service, token=token, limits=limits, changes=changes), announce=say)
