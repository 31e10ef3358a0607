"""Output of `actspan evaluate`: documents for JSON, tables, and remarks on what was not counted.

All shares and gains are in percent, segments in seconds.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from actspan.cli.console import findings, print_findings, print_json, print_text, say
from actspan.cli.tables import count_and_names, print_figures, print_table
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.evaluation.detection import DetectionResult, Mistakes
    from actspan.evaluation.diagnosis import Diagnosis
    from actspan.evaluation.recall import RecallResult

_SHOWN = (0.5, 0.75, 0.95)  # thresholds that get a row, if they were evaluated


def _by_tiou(tiou: Any, values: Any) -> dict[str, Any]:
    """Return values by threshold; NaN, which JSON lacks, becomes None."""
    names = [f"{threshold:.2f}" for threshold in tiou.tolist()]
    return {name: _number(value) for name, value in zip(names, values, strict=True)}


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def print_evaluation(
    evaluation: RecallResult | DetectionResult,
    subset: str,
    diagnosis: Diagnosis | None,
    mistakes: Mistakes | None,
    *,
    as_json: bool,
) -> None:
    """Print recall or mAP, with a diagnosis if there is one, in percent."""
    from actspan.evaluation.recall import RecallResult

    if isinstance(evaluation, RecallResult):
        document, show = _recall_document(evaluation), partial(_print_recall, evaluation, subset)
    else:
        document, show = (
            _detection_document(evaluation),
            partial(_print_detection, evaluation, subset),
        )
    if not as_json:
        show()
        if diagnosis is not None:
            _print_diagnosis(diagnosis)
        if mistakes is not None:
            _print_mistakes(mistakes)
        return
    document |= {"subset": subset, **findings(evaluation.problems, evaluation.notes)}
    details = {} if diagnosis is None else _diagnosis_document(diagnosis)
    if mistakes is not None:
        details["detections"] = _mistakes_document(mistakes)
    print_json({**document, "diagnosis": details} if details else document)


def print_remarks(evaluation: RecallResult | DetectionResult) -> None:
    """Print what was skipped and what counts as missed."""
    from actspan.evaluation.recall import RecallResult

    if isinstance(evaluation, RecallResult):
        missing = "videos without proposals, counted as missed"
        extra = "videos with results, not evaluated (other subset, no instances)"
    else:
        missing = "videos without detections"
        extra = "videos with detections but not evaluated"
        if evaluation.undetected:
            say(f"classes without detections, AP 0: {count_and_names(evaluation.undetected)}")
        if evaluation.unknown:
            names = count_and_names([name or "''" for name in evaluation.unknown])
            what = counted(sum(evaluation.unknown.values()), "detection")
            say(f"{what} with labels that the ground truth lacks, skipped: {names}")
    for title, videos in ((missing, evaluation.missing), (extra, evaluation.extra)):
        if videos:
            say(f"{title}: {count_and_names(videos)}")
    print_findings(evaluation.problems, evaluation.notes)


def _recall_document(result: RecallResult) -> dict[str, Any]:
    names = ("max_proposals", "videos", "instances", "proposals", "missing", "extra")
    return {
        **result.summary(),
        "recall_by_tiou": _last_recall(result),
        "curve": {
            "proposals_per_video": result.proposals_per_video.tolist(),
            "average_recall": (100.0 * result.average_recall).tolist(),
        },
        **{name: getattr(result, name) for name in names},
    }


def _last_recall(result: RecallResult) -> dict[str, float]:
    """Return recall in percent at the largest budget, by threshold."""
    return _by_tiou(result.tiou, (100.0 * result.recall[:, -1]).tolist())


def _print_recall(result: RecallResult, subset: str) -> None:
    videos, instances = counted(result.videos, "video"), counted(result.instances, "instance")
    print_text(f"{subset}: {videos}, {instances}; in percent")
    print_figures(result.summary(), digits=2)
    print_text(f"recall at AN = {result.max_proposals}, by tIoU")
    print_figures(_last_recall(result), digits=1)


def _detection_document(result: DetectionResult) -> dict[str, Any]:
    means, curves = result.by_class(), (100.0 * result.average_precision.T).tolist()
    instances, detections = result.instances.tolist(), result.detections.tolist()
    counts = zip(result.classes, curves, instances, detections, strict=True)
    classes = {
        name: {
            "AP": means[name],
            "by_tiou": _by_tiou(result.tiou, curve),
            "instances": annotated,
            "detections": detected,
        }
        for name, curve, annotated, detected in counts
    }
    names = ("videos", "undetected", "unknown", "missing", "extra")
    return {
        **result.summary(),
        "classes": classes,
        **{name: getattr(result, name) for name in names},
    }


def _print_detection(result: DetectionResult, subset: str) -> None:
    instances = int(result.instances.sum())
    counts = (result.videos, "video"), (instances, "instance"), (len(result.classes), "class")
    print_text(f"{subset}: {', '.join(counted(*pair) for pair in counts)}; in percent")
    print_text("mAP, by tIoU")
    means = {name.removeprefix("mAP@"): value for name, value in result.summary().items()}
    means["average"] = means.pop("average_mAP")
    print_figures(means, digits=2)
    columns = zip(
        result.classes, result.instances.tolist(), result.detections.tolist(), strict=True
    )
    precision = result.by_class()
    rows = [(name, f"{precision[name]:.2f}", f"{i:,}", f"{d:,}") for name, i, d in columns]
    print_table(("class", "AP", "instances", "detections"), rows)


def _mistakes_document(mistakes: Mistakes) -> dict[str, Any]:
    from actspan.evaluation.detection import KINDS

    shares, gains = 100.0 * mistakes.share, 100.0 * mistakes.gain
    kinds = {
        kind: {
            "share": float(shares[:, number].mean()),
            "by_tiou": _by_tiou(mistakes.tiou, shares[:, number].tolist()),
            "gain": float(gains[number]),
        }
        for number, kind in enumerate(KINDS)
    }
    return {"right": 100.0 * float(mistakes.right.mean()), "kinds": kinds}


def _print_mistakes(mistakes: Mistakes) -> None:
    document = _mistakes_document(mistakes)
    kinds = document["kinds"].items()
    rows = [(kind, f"{row['share']:.1f}", f"{row['gain']:+.2f}") for kind, row in kinds]
    rows.append(("(right)", f"{document['right']:.1f}", ""))
    header = ("kind", "share of the best", "gain of average mAP without them")
    print_table(header, rows, title="Wrong detections, mean over the thresholds")


def _diagnosis_document(diagnosis: Diagnosis) -> dict[str, Any]:
    recall = {
        by: [
            {
                "bin": b.name,
                "range": b.range,
                "instances": b.instances,
                "AR": _number(100.0 * b.average_recall),
                "by_tiou": _by_tiou(diagnosis.recall.tiou, [100.0 * r for r in b.recall]),
            }
            for b in bins
        ]
        for by, bins in diagnosis.bins.items()
    }
    return {
        "lost": _losses(diagnosis),
        "gains": diagnosis.gains(),
        "recall": recall,
        "missed": _missed_instances(diagnosis),
        "notes": diagnosis.notes,
    }


def _losses(diagnosis: Diagnosis) -> dict[str, dict[str, float]]:
    """Return the share of instances lost at each stage, per threshold and as their mean."""
    from actspan.evaluation.stage_losses import STAGES

    shares = 100.0 * diagnosis.losses()
    rows = _by_tiou(diagnosis.recall.tiou, shares.tolist())
    rows["mean"] = shares.mean(axis=0).tolist()
    return {tiou: dict(zip((*STAGES, "found"), row, strict=True)) for tiou, row in rows.items()}


def _missed_instances(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Return every instance that is missed at some threshold, with the stage that loses it."""
    import numpy as np

    from actspan.evaluation.stage_losses import STAGES

    rows = []
    for i in np.flatnonzero(np.any(diagnosis.lost < len(STAGES), axis=0)).tolist():
        stages = _by_tiou(diagnosis.recall.tiou, diagnosis.lost[:, i].tolist())
        rows.append(
            {
                "video": diagnosis.videos[i],
                "segment": diagnosis.segments[i].tolist(),
                "label": diagnosis.labels[i],
                "best_tiou": float(diagnosis.best[i, -1]),
                "lost": {t: STAGES[stage] for t, stage in stages.items() if stage < len(STAGES)},
            }
        )
    return rows


def _print_diagnosis(diagnosis: Diagnosis) -> None:
    largest, losses, now = (
        diagnosis.recall.max_proposals,
        _losses(diagnosis),
        diagnosis.recall.summary(),
    )
    names = [*(name for name in (f"{tiou:.2f}" for tiou in _SHOWN) if name in losses), "mean"]
    shares = [(name, *(f"{share:.1f}" for share in losses[name].values())) for name in names]
    title = f"Instances missed at each stage, AN = {largest}, in percent"
    print_table(("tIoU", *losses["mean"]), shares, title=title)
    all_gains = diagnosis.gains()
    gains = [("(current)", *(f"{value:.2f}" for value in now.values()))]
    for stage, row in all_gains.items():
        gains.append((stage, *(f"{gain:+.2f}" for gain in row.values())))
    print_table(("stage", *now), gains, title="Gain of a perfect stage, in points")
    if any(gain < -0.005 for row in all_gains.values() for gain in row.values()):
        print_text(
            "Gains can be negative: additional candidates of a perfect stage can outrank better "
            "neighbours,\nor lower their scores in Soft-NMS. See docs/how-to/diagnosis.md\n"
        )
    rows = []
    for by, bins in diagnosis.bins.items():
        for number, b in enumerate(bins):
            recall = 100.0 * b.average_recall
            shown = "-" if math.isnan(recall) else f"{recall:.1f}"
            rows.append(("" if number else by, b.name, b.range, f"{b.instances:,}", shown))
    header = ("by", "bin", "range", "instances", f"AR@{largest}")
    print_table(header, rows, title="Recall by kind of instance")
    for note in diagnosis.notes:
        print_text(f"note: {note}")
