"""Run graph passes over any ONNX model, and compare it before and after each pass."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from actspan.core.errors import ExportError, ParityError, require
from actspan.core.files import atomic_file, check_size, folder_kind
from actspan.core.limits import WEIGHTS
from actspan.core.wording import listed
from actspan.deploy.passes import DEFAULT, make_passes
from actspan.deploy.passes.model_form import (
    checked,
    count_nodes,
    first_line,
    interface_change,
    named_failures,
    prepared,
)

if TYPE_CHECKING:
    import onnx

    from actspan.deploy.passes.contract import GraphPass, Inputs, PassSettings

PASSES_KEY = "actspan.passes"  # metadata of a rewritten model: the passes applied to it
_NO_TRAINING = "training_info is left out: it belongs to the graph as it was"
_REFUSED = "nothing is written: leave this pass out"


@dataclass(frozen=True, slots=True)
class PassReport:
    """Report of one pass."""

    name: str
    changed: bool
    nodes_before: int  # operators in the graph, in its branches and in its bodies
    nodes_after: int
    difference: float  # of the whole model's outputs before and after, see `Contract.tolerance`
    tolerance: float  # allowed difference
    seconds: float  # time of the pass, with all checks
    left: str | None = None  # one line about nodes that it did not change: number, names, reasons
    missed: bool = False  # True if it therefore missed its goal, see `Contract.complete`


@dataclass(frozen=True, slots=True)
class RewrittenModel:
    """A model after its passes."""

    model: onnx.ModelProto
    reports: tuple[PassReport, ...]  # one per pass, in order
    # Tags of the passes that changed something; a bundle's variant is named after them.
    tags: tuple[str, ...]
    probes: tuple[Inputs, ...] = ()  # real inputs from a pass for its numeric check
    # Lines about content of the file that the model no longer has, and about what passes skipped.
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True if any pass changed the model."""
        return any(report.changed for report in self.reports)

    @property
    def tolerance(self) -> float:
        """Sum of the tolerances of the passes that changed something."""
        return sum(report.tolerance for report in self.reports if report.changed)


def with_implied(names: Sequence[str] | None, settings: PassSettings) -> list[str]:
    """Return the requested passes, and those that only a setting implies.

    None stands for `DEFAULT`. An opset and sizes come first, calibration last.

    Examples
    --------
    >>> from actspan.deploy.passes.contract import PassSettings
    >>> with_implied(["fp16"], PassSettings(batch=16))
    ['fix-dims', 'fp16']
    """
    wanted = list(DEFAULT if names is None else names)
    sized = settings.batch or settings.length or settings.dims
    if sized and "fix-dims" not in wanted:
        wanted.insert(0, "fix-dims")
    if settings.opset and "opset" not in wanted:
        wanted.insert(0, "opset")
    if settings.calibration is not None and "int8" not in wanted:
        wanted.append("int8")
    return wanted


def optimize_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    passes: Sequence[str] | None = None,
    settings: PassSettings | None = None,
) -> RewrittenModel:
    """Rewrite an ONNX file; `target`, which may be the same, appears if every contract is kept.

    Parameters
    ----------
    passes : sequence of str, optional
        Names in the order in which they run, completed by `with_implied`; `DEFAULT` if not given.

    Raises
    ------
    ExportError, ParityError, MissingExtraError
        The file is not an ONNX file, or a pass does not exist or cannot be applied; a pass changed
        the outputs by more than its tolerance; the package `onnx` is not installed.
    """
    source, target = Path(source), Path(target)
    if not target.parent.is_dir():
        raise ExportError(f"{target}: the folder {target.parent} does not exist")
    rewritten = rewrite_model(read_model(source), passes, settings, where=str(source))
    with atomic_file(target) as stream:
        stream.write(rewritten.model.SerializeToString(deterministic=True))
    return rewritten


def read_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with weights in separate files; raise ExportError if it is none."""
    onnx = require("onnx", extra="export", purpose="rewriting ONNX graphs")
    if path.is_dir():
        graphs = [str(file) for file in sorted(path.glob("*.onnx"))]
        inside = f"give a file in it: {listed(graphs)}" if graphs else "no *.onnx file is in it"
        raise ExportError(f"{path}: is a folder{folder_kind(path)}; {inside}")
    try:
        check_size(path, WEIGHTS)
        model: Any = onnx.load(str(path))
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # DecodeError of any protobuf version; ValidationError
        raise ExportError(f"{path}: not an ONNX file: {first_line(error)}") from error
    if not model.graph.node:
        raise ExportError(f"{path}: not an ONNX file: it contains no graph with operators")
    return model


def rewrite_model(
    model: onnx.ModelProto,
    passes: Sequence[str] | None = None,
    settings: PassSettings | None = None,
    *,
    where: str = "model",
) -> RewrittenModel:
    """Run passes over a copy of a model; see `optimize_file`. `where` names it in errors."""
    require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
    from actspan.deploy.passes.contract import PassSettings

    settings = settings or PassSettings()
    chosen = make_passes(with_implied(passes, settings), settings)
    current = prepared(model, where)
    reports: list[PassReport] = []
    tags: list[str] = []
    probes: tuple[Inputs, ...] = ()
    notes = [_NO_TRAINING] if model.training_info else []
    for graph_pass in chosen:
        current, report = _run(graph_pass, current, settings, where)
        reports.append(report)
        tags += [graph_pass.tag] * report.changed
        probes = tuple(graph_pass.probes) or probes
        notes += graph_pass.notes
    return RewrittenModel(current, tuple(reports), tuple(tags), probes, tuple(notes))


def _run(
    graph_pass: GraphPass, before: onnx.ModelProto, settings: PassSettings, where: str
) -> tuple[onnx.ModelProto, PassReport]:
    """Apply one pass, repeatedly while it finds more, with all checks."""
    import onnx_ir as ir

    begin, contract = perf_counter(), graph_pass.contract
    where = f"{where}: pass {contract.name}"
    current = before
    with named_failures(where):
        model = ir.from_proto(before)
        before_count = len(graph_pass.remaining(model))
    for _ in range(graph_pass.rounds):
        with named_failures(where):
            result = graph_pass(model)
        if not result.modified:
            break
        after = checked(result.model, where)
        if after == current:
            break
        current, model = after, ir.from_proto(after)
    changed = current is not before
    if changed:
        known = {entry.key: entry for entry in current.metadata_props}
        entry = known.get(PASSES_KEY) or current.metadata_props.add(key=PASSES_KEY)
        entry.value = f"{entry.value}, {contract.name}".removeprefix(", ")
    with named_failures(where):
        left = graph_pass.left(model, before_count)
    probes = graph_pass.probes or settings.probes
    report = PassReport(
        name=contract.name,
        changed=changed,
        nodes_before=count_nodes(before),
        nodes_after=count_nodes(current),
        difference=_compare(graph_pass, before, current, probes, where) if changed else 0.0,
        tolerance=contract.tolerance,
        seconds=perf_counter() - begin,
        left=left,
        missed=contract.complete and left is not None,
    )
    return current, report


def _compare(
    graph_pass: GraphPass, before: Any, after: Any, probes: Sequence[Inputs], where: str
) -> float:
    """Return the largest difference of an output; raise if it, or another change, is too large."""
    from actspan.deploy.passes.numeric import largest_difference

    tolerance = graph_pass.contract.tolerance
    change = interface_change(before, after, retyped=graph_pass.contract.retypes)
    if change:
        raise ExportError(f"{where}: {change}; {_REFUSED}")
    with named_failures(where):
        apart = largest_difference(before, after, probes=probes)
        if apart <= tolerance:  # NaN counts as a failure
            return apart
        if largest_difference(before, before, probes=probes) != 0:
            raise ExportError(
                "two runs of the graph before it give different outputs (random operators, or "
                "memory that is never written), so no rewrite can be checked"
            )
    allowed = f"where {tolerance:g} is allowed"
    raise ParityError(f"{where}: outputs differ by {apart:.3g} {allowed}; {_REFUSED}")
