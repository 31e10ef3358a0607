"""A verification as plain values for JSON, and as the page docs/project/accuracy.md."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from actspan.core.problems import skipped_line
from actspan.core.wording import counted, markdown_table
from actspan.deploy.variants import LIMITS
from actspan.deploy.verification import VariantResult, Verification
from actspan.jobs.source import package_version
from actspan.model.bundle import Bundle

Table = tuple[list[str], list[list[str]]]  # header, rows

BUDGETS = ("AR@1", "AR@5", "AR@10", "AR@100", "AUC")
_LEGEND = (
    "Outputs are compared with the checkpoint's weights in double precision. *same*: share of the "
    "checkpoint's proposals with the same segment at the same rank; *kept*: at any rank. AR and "
    "AUC are in percent, followed by the change in points. *max*, *mean*: absolute difference of "
    "the probabilities, after the sigmoid; *logit*: before it, computed as the logit of the "
    "probabilities, where the checkpoint's is within -7 ... 7 (probabilities of 32 bits are too "
    "coarse beyond).",
)
_PACKAGES = ("actspan", "numpy", "onnxruntime", "openvino", "torch")


def to_dict(verification: Verification) -> dict[str, Any]:
    """Convert a verification to plain values; NaN becomes null."""
    return {
        "bundle": verification.bundle.path.name,
        "holds": verification.passed,
        "material": verification.material,
        "videos": verification.videos,
        "proposals": verification.proposals,
        "checkpoint": {
            "recall": None if verification.recall is None else dict(verification.recall)
        },
        "variants": [_variant(result, verification) for result in verification.results],
        "limits": {name: dataclasses.asdict(limits) for name, limits in LIMITS.items()},
        "versions": library_versions(),
        "notes": list(verification.notes),
    }


def _variant(result: VariantResult, verification: Verification) -> dict[str, Any]:
    recall, base, agreement = result.recall, verification.recall, result.agreement
    change = {k: recall[k] - base[k] for k in recall} if recall and base else None
    return {
        "variant": result.variant.name,
        "backend": result.variant.backend,
        "graph": result.variant.graph,
        "precision": result.variant.precision,
        "status": result.status,
        "problem": result.problem or None,
        "broken": list(result.broken),
        "outputs": {
            net: {k: None if math.isnan(v) else v for k, v in dataclasses.asdict(d).items()}
            for net, d in result.outputs.items()
        },
        "proposals": agreement and {**dataclasses.asdict(agreement), "ties": len(agreement.ties)},
        "recall": None if recall is None else dict(recall),
        "recall_change": change,
    }


def output_table(verification: Verification) -> Table:
    """Build the table of output differences from the checkpoint: a row per variant and network."""
    rows = []
    for result in verification.results:
        for net, d in result.outputs.items():
            figures = map(_small, (d.max, d.mean, d.logit_max, d.logit_mean))
            rows.append([result.variant.name, result.variant.precision, net.upper(), *figures])
    return ["variant", "precision", "net", "max", "mean", "logit max", "logit mean"], rows


def answer_table(verification: Verification) -> Table:
    """Build the table of proposals and recall; the first row is the checkpoint."""
    budgets = () if verification.recall is None else BUDGETS
    recall = [f"{(verification.recall or {})[name]:.2f}" for name in budgets]
    rows = [["checkpoint", "100 %", "100 %", *recall, ""]]
    for result in verification.results:
        shares = ["-", "-"]
        if result.agreement is not None:
            shares = [_share(result.agreement.same), _share(result.agreement.kept)]
        changes = [_change(result, verification, name) for name in budgets]
        rows.append([result.variant.name, *shares, *changes, result.status])
    return ["variant", "same", "kept", *budgets, "verdict"], rows


def _small(value: float) -> str:
    return "-" if math.isnan(value) else "0" if value == 0 else f"{value:.1e}"


def _share(value: float) -> str:
    """Format a share as a percentage that is never rounded up to 100 %."""
    return "100 %" if value == 1 else f"{math.floor(value * 1e4) / 1e2:.2f} %"


def _change(result: VariantResult, verification: Verification, name: str) -> str:
    if result.recall is None or verification.recall is None:
        return "-"
    change = result.recall[name] - verification.recall[name]
    return f"{result.recall[name]:.2f} {'=' if change == 0 else f'{change:+.2g}'}"


def to_markdown(verification: Verification, command: str) -> str:
    """Write the page: test material, tables, and how to read them."""
    bundle = verification.bundle
    lines = [
        "# Accuracy: every variant of a model compared with its checkpoint",
        "",
        f"Written by `{command}`; do not edit it.",
        "",
        f"Model: {_source(bundle)}. Run on: {verification.material}: "
        f"{counted(verification.videos, 'video')}, "
        f"{counted(verification.proposals, 'proposal')} of the checkpoint. Verdict: "
        f"**{'all variants pass' if verification.passed else 'not all variants pass'}**.",
        "",
        *markdown_table(*answer_table(verification)),
        "",
        *markdown_table(*output_table(verification)),
        "",
        *(f"* **{r.variant.name}**: {why}" for r in verification.results for why in r.failures),
        *([] if verification.passed else [""]),
        *_LEGEND,
        "",
        "Limits:",
        "",
        *_limits_table(),
        "",
        f"Machine: {platform.system()} {platform.machine()}, "
        + ", ".join(f"{name} {number}" for name, number in library_versions().items())
        + ".",
    ]
    notes = [
        f"* {note}" for note in (*verification.notes, skipped_line(verification.problems)) if note
    ]
    return "\n".join([*lines, *(["", *notes] if notes else []), ""])


def _source(bundle: Bundle) -> str:
    name, files = f"`{bundle.path.resolve().name}`", bundle.source.files
    if bundle.source.note:  # It names the files already if they were checkpoints.
        return f"{name}, {bundle.source.note}"
    return ", from ".join(filter(None, [name, ", ".join(f"`{file.name}`" for file in files)]))


def _limits_table() -> list[str]:
    rows = []
    for precision, limits in LIMITS.items():
        shares = (limits.same, "") if limits.kept is None else (limits.kept, " kept")
        same = "-" if shares[0] is None else f"{shares[0]:.1%}{shares[1]}"
        of = "every AR, AUC" if limits.all_recall else "AR@100, AUC"
        rows.append([precision, f"{limits.output:g}", same, f"{limits.recall:g} points", of])
    header = ["precision", "outputs within", "same, at least", "recall within", "of"]
    return markdown_table(header, rows)


def library_versions(names: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the installed packages."""
    versions = {"Python": platform.python_version()}
    installed = (name for name in names if find_spec(name) is not None)
    return versions | {name: package_version(name) for name in installed}
