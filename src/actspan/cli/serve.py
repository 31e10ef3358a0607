"""`actspan serve`: the HTTP service and the viewer."""

from __future__ import annotations

from pathlib import Path

import click

from actspan.cli.common import ExistingPath, reports_errors, say

_folder = ExistingPath(file_okay=False)


@click.command()
@click.option("--model", type=_folder, help="A bundle to propose with.")
@click.option(
    "--results",
    type=ExistingPath(),
    multiple=True,
    metavar="RUN",
    help="A run folder to look at; repeat it to compare.",
)
@click.option(
    "--ground-truth",
    type=ExistingPath(),
    metavar="ANNOTATIONS",
    help="What is really there. [default: what the runs were made from]",
)
@click.option("--videos", type=_folder, metavar="DIR", help="Videos to play, named as their ids.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; anything but loopback needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes any that is free.",
)
@click.option(
    "--token",
    envvar="ACTSPAN_TOKEN",
    help="What callers have to know. [default: none on loopback, else made and printed]",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("actspan-serve"),
    show_default=True,
    help="Folder of jobs, results and corrections.",
)
@click.option("--backend", default="auto", show_default=True, help="Inference runtime.")
@click.option("--threads", type=click.IntRange(1), help="Workers. [default: all cores]")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A further name by which a loopback service is called, by a proxy before it.",
)
@reports_errors
def command(
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
    allow_host: tuple[str, ...],
) -> None:
    """Serve proposals over HTTP, and a viewer of runs at /.

    \b
    Example:
      actspan serve --model bsn/
      actspan serve --results run/ --results other-run/ --videos videos/
      actspan serve --model bsn/ --host 0.0.0.0 --port 80 --data /var/lib/actspan
    """
    if model is None and not results:
        raise click.UsageError("give --model, --results or both: there is nothing to serve")
    from actspan.errors import require

    require("fastapi", extra="server", purpose="actspan serve")
    require("uvicorn", extra="server", purpose="actspan serve")
    from actspan.server.running import made_token, serve
    from actspan.server.settings import ServeSettings

    settings = ServeSettings(
        model=model,
        results=results,
        ground_truth=ground_truth,
        videos=videos,
        host=host,
        port=port,
        token=made_token(host, token),
        data=data,
        backend=backend,
        threads=threads,
        hosts=allow_host,
    )
    serve(settings, announce=say)
