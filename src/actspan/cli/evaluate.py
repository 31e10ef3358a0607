"""`actspan evaluate`: recall of proposals, mAP of detections, and a diagnosis of both."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from actspan.cli.console import print_notes, progress_report, say, step_report
from actspan.cli.evaluation_output import print_evaluation, print_remarks
from actspan.cli.help import Text
from actspan.cli.options import command, refuse_options
from actspan.config.base import (
    Existing,
    ExistingFile,
    ExistingOrUrl,
    OnError,
    OutputFile,
    Positive,
    doc,
)

if TYPE_CHECKING:
    from actspan.data.annotations.annotation_set import Annotations
    from actspan.evaluation.detection import Mistakes
    from actspan.evaluation.diagnosis import Diagnosis


@command(
    subset=doc("Evaluate the videos of this subset.", "NAME", group="Input"),
    labels=doc(
        "Evaluate only instances whose label matches, as in '*_TO_*'; may be repeated. [default: "
        "all]",
        group="Input",
    ),
    task=doc(
        "Compute average recall of proposals, or average mAP of detections.", group="Evaluation"
    ),
    protocol=doc(
        "Thresholds and budgets: thumos14 uses mAP at 0.3:0.1:0.7 and AR up to 1000 proposals, "
        "and counts instances that are annotated twice once.",
        group="Evaluation",
    ),
    tiou=doc(
        "Thresholds that replace the protocol's: 0.5:0.05:0.95 (first:step:last), or 0.5,0.75.",
        "TIOU",
        group="Evaluation",
    ),
    max_proposals=doc(
        "Largest average number of proposals per video. [default: the protocol's]",
        group="Evaluation",
    ),
    blocked=doc(
        "File of videos to leave out: a JSON list of ids, or one id per line.", group="Input"
    ),
    on_error=doc("Stop at annotations that cannot be read, or skip them.", group="Input"),
    plot=doc("Write the AR-AN plot: .png, .svg or .pdf.", group="Output"),
    diagnose=doc(
        "Also report the stage of a run that misses each instance, and the errors of detections.",
        group="Evaluation",
    ),
)
def evaluate(
    result: ExistingOrUrl,
    *,
    ground_truth: Existing,
    subset: str = "validation",
    labels: tuple[Annotated[str, Text("PATTERN")], ...] = (),
    task: Literal["proposal", "detection"] = "proposal",
    protocol: Literal["activitynet", "thumos14"] = "activitynet",
    tiou: str | None = None,
    max_proposals: Positive | None = None,
    blocked: ExistingFile | None = None,
    on_error: OnError = "fail",
    plot: OutputFile | None = None,
    diagnose: bool = False,
    json_: bool = False,
) -> None:
    """Compute average recall of RESULT (a result.json or a run folder), or mAP of detections.

    RESULT may also be an unfinished run: RUN.partial, or the URL of its shards (s3://...), which
    are read one at a time.

    Prints AR@1 ... AR@100 and AUC in percent, and recall at every tIoU. Videos without proposals
    count as missed; they are named, as are videos that were not evaluated. With --task detection,
    RESULT is a file of labelled proposals, or a run that contains detections.json.

    \b
    Example:
      actspan evaluate run/ --ground-truth my-videos/ --plot curve.png
      actspan evaluate result.json --ground-truth annotations.json --json
      actspan evaluate run/ --ground-truth recordings/ --labels '*_TO_*'
      actspan evaluate run/ --ground-truth my-videos/ --diagnose
      actspan evaluate run/ --ground-truth thumos14/ --task detection \\
          --protocol thumos14
    """
    if task == "detection":
        refuse_options(["plot", "max_proposals"], "with --task detection")
    if "numpy" not in sys.modules:
        # No matrices are multiplied here, and starting one thread per core for that would take
        # longer than loading everything else.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from actspan.evaluation.evaluate import evaluate as compute
    from actspan.evaluation.evaluate import read_ground_truth

    truth = read_ground_truth(ground_truth, result, subset=subset, labels=labels, protocol=protocol)
    print_notes(truth.notes)
    if plot is not None:
        from actspan.report.figures import check_picture

        check_picture(plot)
    with step_report("evaluate"):
        evaluation: Any = compute(
            result,
            ground_truth=truth,
            subset=subset,
            task=task,
            protocol=protocol,
            tiou=tiou,
            max_proposals=max_proposals,
            blocked=blocked,
            on_error=on_error,
        )
    details: tuple[Diagnosis | None, Mistakes | None] = None, None
    if diagnose:
        settings = {
            "subset": subset,
            "tiou": evaluation.tiou,
            "blocked": blocked,
            "on_error": on_error,
        }
        budget = None if task == "detection" else evaluation.max_proposals
        details = _diagnose(truth, result, budget, settings)
    print_evaluation(evaluation, subset, *details, as_json=json_)
    if plot is not None:
        from actspan.report.charts import plot_recall

        plot_recall(evaluation, plot)
        say(f"picture: {plot}")
    print_remarks(evaluation)


def _diagnose(
    truth: Annotations, result: Path, budget: int | None, settings: dict[str, Any]
) -> tuple[Diagnosis | None, Mistakes | None]:
    """Return the losses of the stages of a run, and the errors of detections if there are any.

    `budget` is the largest average number of proposals, None for detections alone.
    """
    from actspan.data.detections import DETECTIONS_FILE
    from actspan.evaluation.detection import diagnose_detections
    from actspan.evaluation.diagnosis import diagnose

    diagnosis = mistakes = None
    if budget is not None:
        with progress_report() as report:
            diagnosis = diagnose(result, truth, max_proposals=budget, progress=report, **settings)
    if budget is None or (result / DETECTIONS_FILE).is_file():
        mistakes = diagnose_detections(truth, result, **settings)
    return diagnosis, mistakes
