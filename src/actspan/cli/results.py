"""Commands on results: `actspan label`, `report` and `serve`, and `demo`, which makes some."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shutil import which
from typing import Annotated, Literal

import click
from msgspec.structs import replace

from actspan.cli.console import (
    findings,
    print_findings,
    print_json,
    print_notes,
    progress_report,
    say,
)
from actspan.cli.options import Text, command, refuse_options
from actspan.cli.tables import print_figures
from actspan.config.base import (
    Bounds,
    Existing,
    ExistingFile,
    ExistingFolder,
    OnError,
    OutputFile,
    OutputFolder,
    Positive,
    Seconds,
)
from actspan.config.stages import BATCH
from actspan.core.wording import counted, quoted
from actspan.pipeline.labelling import LabelRequest
from actspan.server.settings import HOUR, MIB, Limits, ServeSettings

_LARGE = 15_000_000  # bytes; larger pages are slow to open
_OF_MODELS = (
    *("backbone", "upload_mib", "hours"),
    *("queue", "batch", "delay", "set_", "settings"),
)
_Count = Annotated[int, Bounds(0)]


@command(
    out="Folder for all files of the demo.",
    videos="Number of synthetic videos.",
    training_set="Only write N training and N // 4 validation videos, as a dataset to train on.",
)
def demo(
    *,
    out: OutputFolder = Path("demo-output"),
    videos: Annotated[int, Bounds(3)] = 60,
    seed: _Count = 1,
    training_set: _Count = 0,
) -> None:
    """Run the main steps on a small synthetic dataset.

    \b
    Example:
      actspan demo
      actspan demo --training-set 400 --seed 0 --out synthetic
    """
    from actspan.data.synthetic_dataset import check_demo_folder, write_synthetic_dataset

    if training_set:
        refuse_options(["videos"], "with --training-set")
        check_demo_folder(out, out)
        write_synthetic_dataset(
            out, training=training_set, validation=max(training_set // 4, 1), seed=seed
        )
        click.echo(
            f"synthetic training set in {out}; train on it: actspan train --dataset {quoted(out)}"
        )
        return
    with progress_report() as report:
        from actspan.report.demo_run import run_demo

        made = run_demo(out, videos=videos, seed=seed, progress=report)
    click.echo("Synthetic data: these figures say nothing about real videos")
    print_figures(made.recall.summary(), digits=2)
    click.echo(f"{made.summary.videos} synthetic videos, {made.recall.instances} actions")
    click.echo(f"dataset  {made.dataset}")
    click.echo(f"run      {made.run}")
    for picture in made.pictures:
        click.echo(f"picture  {picture}")
    if made.report is not None:
        click.echo(f"report   {made.report}: open it in a browser")
    if made.report is None or not made.pictures:
        from actspan.core.installation import install_command  # slow to import

        click.echo(f"some pictures could not be drawn: {install_command('report')}")
    program = "actspan" if which("actspan") else Path(sys.executable).with_name("actspan")
    click.echo(f"viewer   {program} serve --results {made.run}")


@command(
    arguments=["result"],
    without=["classify"],
    labels_from="A score file: {video: [{label, score}, ...]}, or one label per proposal.",
)
def label(request: LabelRequest, *, json_: bool = False) -> None:
    """Label the proposals of RESULT (a result.json or a run folder).

    Labels come from a score file, or from a classifier in a bundle. Each proposal gets its best
    labels; its score is multiplied by theirs.

    \b
    Example:
      actspan label run/ --labels-from scores.json
      actspan label result.json --model bsn/ --dataset my-videos/ --out detections.json
    """
    if (request.labels.labels_from is None) == (request.model is None):
        raise click.UsageError("give either --labels-from or --model")
    if (request.model is None) != (request.dataset is None):
        raise click.UsageError("--model and --dataset belong together")
    with progress_report() as report:
        from actspan.pipeline.labelling import label_result

        done = label_result(request, report)
    if json_:
        figures = {name: getattr(done, name) for name in ("out", "videos", "detections", "seconds")}
        print_json({**figures, **findings(done.problems)})
        return
    detections, videos = counted(done.detections, "detection"), counted(done.videos, "video")
    say(f"{detections} in {videos} in {done.out}")
    print_findings(done.problems)


@command(
    out="HTML file to write; it needs no other files.",
    ground_truth="Annotations or a dataset folder. [default: the dataset of a run, if unchanged]",
    subset="Evaluate on the videos of this subset.",
    protocol="Thresholds and budgets, as in `actspan evaluate`.",
    list_="List N videos, half of them the worst and half the best, or the videos with these "
    "ids, separated by commas; v_7 is the video with the id 7. [default: all]",
    frames="Show frames of the worst videos: start, middle and end of instances and proposals.",
    videos="Folder of the videos, for --frames. [default: where the runs found them]",
    viewer="Address of `actspan serve` with the same runs, to link videos and proposals to.",
    pictures="Also write recall curves and timelines into this folder, as PNG and SVG.",
    on_error="Stop at annotations that cannot be read, or skip them.",
)
def report(
    run: tuple[Existing, ...],
    *,
    out: OutputFile,
    ground_truth: Existing | None = None,
    subset: str = "validation",
    protocol: Literal["activitynet", "thumos14"] = "activitynet",
    list_: Annotated[str, Text("N|IDS")] | None = None,
    frames: bool = False,
    videos: ExistingFolder | None = None,
    viewer: Annotated[str, Text("URL")] | None = None,
    pictures: OutputFolder | None = None,
    on_error: OnError = "fail",
    json_: bool = False,
) -> None:
    """Write a page about one or more RUNs, to open in a browser.

    The page shows the verdict with its interval, average recall side by side, the stages at which
    instances are missed, the quality of scores, detections if there are any, and a timeline per
    video. A RUN is a run folder or a result.json; what a result.json alone cannot show is listed on
    the page.

    \b
    Example:
      actspan report run/ --out report.html
      actspan report old-run/ new-run/ --out report.html --ground-truth my-videos/
      actspan report run/ --out report.html --list 40 --pictures figures/
      actspan report run/ --out report.html --frames --videos my-videos/
    """
    from actspan.report.contents import GroundTruth
    from actspan.report.page import PageOptions, write_report
    from actspan.report.paper_pictures import check_pictures, write_pictures

    if not frames:
        refuse_options(["videos"], "without --frames")
    if pictures is not None:
        check_pictures(pictures)
    wanted = [name for name in (list_ or "").split(",") if name.strip()]
    options = PageOptions(wanted, frames, videos, viewer or "")
    truth = GroundTruth(ground_truth, subset, protocol, on_error)
    with progress_report() as progress:
        written = write_report(run, out, truth=truth, options=options, progress=progress)
    contents, listing = written.contents, written.listing
    drawn = write_pictures(contents, listing, pictures) if pictures else ()
    if json_:
        recalls = [(run.name, run.recall) for run in contents.runs]
        print_json(
            {
                "out": written.path,
                "bytes": written.size,
                "verdict": written.verdict.sentence,
                "ground_truth": contents.source or None,
                "runs": [
                    {"name": n, **(recall.summary() if recall else {})} for n, recall in recalls
                ],
                "videos": len(listing.videos),
                "unlisted": listing.unlisted,
                "pictures": drawn,
                **findings(contents.problems, contents.notes),
            }
        )
        return
    print_notes(contents.notes)
    click.echo(written.verdict.sentence)
    count = f"{counted(len(contents.runs), 'run')}, {counted(len(listing.videos), 'video')}"
    click.echo(f"{out}: {count}, {written.size / 1e6:.1f} MB; open it in a browser")
    if drawn:
        click.echo(f"{counted(len(drawn), 'picture')} in {pictures}")
    if written.size > _LARGE:
        say("a large page opens slowly: --list N lists fewer videos")
    print_findings(contents.problems)


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
    cache_mib="Space on disk for pictures and waveforms of the videos, in MiB.",
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

    \b
    Example:
      actspan serve --model bsn/
      actspan serve --results run/ --results other-run/ --videos videos/
      actspan serve --model bsn/ --host 0.0.0.0 --port 80 --data /var/lib/actspan
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
        cache_bytes=cache_mib * MIB,
    )
    token = make_token(service.host, service.token or os.environ.get("ACTSPAN_TOKEN"))
    changes = read_changes(set_, settings)
    run_service(replace(service, token=token, limits=limits, changes=changes), announce=say)
