"""`actspan label` and `actspan report`: labels for results, and a page about runs."""

from __future__ import annotations

from typing import Annotated, Literal

import click

from actspan.cli.console import (
    findings,
    print_findings,
    print_json,
    print_notes,
    progress_report,
    say,
)
from actspan.cli.options import Text, command
from actspan.config.base import Existing, OnError, OutputFile, OutputFolder
from actspan.core.wording import counted
from actspan.pipeline.labelling import LabelRequest

_LARGE = 15_000_000  # bytes; larger pages are slow to open


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
    videos="List N videos, half of them the worst and half the best, or the videos with these "
    "ids, separated by commas; v_7 is the video with the id 7. [default: all]",
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
    videos: Annotated[str, Text("N|IDS")] | None = None,
    pictures: OutputFolder | None = None,
    on_error: OnError = "fail",
    json_: bool = False,
) -> None:
    """Write a page about one or more RUNs, to open in a browser.

    The page shows average recall side by side, the stages at which instances are missed, the
    quality of scores, detections if there are any, and a timeline per video. A RUN is a run folder
    or a result.json; what a result.json alone cannot show is listed on the page.

    \b
    Example:
      actspan report run/ --out report.html
      actspan report old-run/ new-run/ --out report.html --ground-truth my-videos/
      actspan report run/ --out report.html --videos 40 --pictures figures/
    """
    from actspan.report.contents import GroundTruth
    from actspan.report.page import write_report
    from actspan.report.paper_pictures import check_pictures, write_pictures

    if pictures is not None:
        check_pictures(pictures)
    wanted = [name for name in (videos or "").split(",") if name.strip()]
    truth = GroundTruth(ground_truth, subset, protocol, on_error)
    with progress_report() as progress:
        written = write_report(run, out, truth=truth, videos=wanted, progress=progress)
    contents, listing = written.contents, written.listing
    drawn = write_pictures(contents, listing, pictures) if pictures else ()
    if json_:
        recalls = [(run.name, run.recall) for run in contents.runs]
        print_json(
            {
                "out": written.path,
                "bytes": written.size,
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
    count = f"{counted(len(contents.runs), 'run')}, {counted(len(listing.videos), 'video')}"
    click.echo(f"{out}: {count}, {written.size / 1e6:.1f} MB; open it in a browser")
    if drawn:
        click.echo(f"{counted(len(drawn), 'picture')} in {pictures}")
    if written.size > _LARGE:
        say("a large page opens slowly: --videos N lists fewer videos")
    print_findings(contents.problems)
