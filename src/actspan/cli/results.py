"""Commands on results: `actspan label` and `report`, and `demo`, which makes some."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from typing import Annotated, Literal

import click

from actspan.cli.console import (
    findings,
    print_findings,
    print_json,
    print_notes,
    print_text,
    progress_report,
    say,
)
from actspan.cli.help import Text
from actspan.cli.options import command, refuse_options
from actspan.cli.tables import print_figures
from actspan.config.base import (
    Bounds,
    Existing,
    ExistingFolder,
    OnError,
    OutputFile,
    OutputFolder,
    doc,
)
from actspan.core.wording import counted, quoted
from actspan.pipeline.labelling import LabelRequest

_LARGE = 15_000_000  # bytes; larger pages are slow to open
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

    Writes a dataset, proposes with small networks of the package, evaluates the proposals, and
    draws pictures and a report of them if the extra for reports is installed.

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
        print_text(
            f"synthetic training set in {out}; train on it: actspan train --dataset {quoted(out)}"
        )
        return
    with progress_report() as report:
        from actspan.report.demo_run import run_demo

        made = run_demo(out, videos=videos, seed=seed, progress=report)
    print_text("Synthetic data: these figures say nothing about real videos")
    print_figures(made.recall.summary(), digits=2)
    print_text(f"{made.summary.videos} synthetic videos, {made.recall.instances} actions")
    print_text(f"dataset  {made.dataset}")
    print_text(f"run      {made.run}")
    for picture in made.pictures:
        print_text(f"picture  {picture}")
    if made.report is not None:
        print_text(f"report   {made.report}: open it in a browser")
    if made.report is None or not made.pictures:
        from actspan.core.installation import install_command  # slow to import

        print_text(f"some pictures could not be drawn: {install_command('report')}")
    program = "actspan" if which("actspan") else Path(sys.executable).with_name("actspan")
    print_text(f"viewer   {program} serve --results {made.run}")


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
      actspan label result.json --model bsn/ --dataset my-videos/ \\
          --out detections.json
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
    out=doc("HTML file to write; it needs no other files.", group="Output"),
    ground_truth=doc(
        "Annotations or a dataset folder. [default: the dataset of a run, if unchanged]",
        group="Input",
    ),
    subset=doc("Evaluate on the videos of this subset.", "NAME", group="Input"),
    protocol=doc("Thresholds and budgets, as in `actspan evaluate`.", group="Evaluation"),
    list_=doc(
        "List N videos, half of them the worst and half the best, or the videos with these ids, "
        "separated by commas; v_7 is the video with the id 7. [default: all]",
        group="Output",
    ),
    frames=doc(
        "Show frames of the worst videos: start, middle and end of instances and proposals.",
        group="Output",
    ),
    videos=doc(
        "Folder of the videos, for --frames. [default: where the runs found them]", group="Input"
    ),
    viewer=doc(
        "Address of `actspan serve` with the same runs, to link videos and proposals to.",
        group="Output",
    ),
    pictures=doc(
        "Also write recall curves and timelines into this folder, as PNG and SVG.", group="Output"
    ),
    on_error=doc("Stop at annotations that cannot be read, or skip them.", group="Input"),
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
      actspan report old-run/ new-run/ --out report.html \\
          --ground-truth my-videos/
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
    print_text(written.verdict.sentence)
    count = f"{counted(len(contents.runs), 'run')}, {counted(len(listing.videos), 'video')}"
    print_text(f"{out}: {count}, {written.size / 1e6:.1f} MB; open it in a browser")
    if drawn:
        print_text(f"{counted(len(drawn), 'picture')} in {pictures}")
    if written.size > _LARGE:
        say("a large page opens slowly: --list N lists fewer videos")
    print_findings(contents.problems)
