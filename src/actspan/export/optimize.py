"""Run graph passes over any ONNX model, and hold it against what it was after each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from actspan.errors import ExportError, ParityError, require
from actspan.export.passes import DEFAULT, make_passes
from actspan.files import atomic_file, check_size
from actspan.limits import WEIGHTS

if TYPE_CHECKING:
    import onnx

    from actspan.export.passes.contract import GraphPass, Inputs, PassSettings

__all__ = [
    "PASSES_KEY",
    "PassReport",
    "Rewritten",
    "optimize_file",
    "read_model",
    "rewrite_model",
    "with_implied",
]

PASSES_KEY = "actspan.passes"  # metadata of a rewritten model: what was done to it
_OLDEST_IR = 4  # before it, constants had to be inputs as well
_LARGEST = 2**31 - 1  # bytes of a protocol buffer


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did.

    Attributes
    ----------
    name : str
    changed : bool
    nodes_before, nodes_after : int
        Operators in the graph.
    difference : float
        Of the whole model's outputs before and after, see `Contract.tolerance`.
    tolerance : float
        What was allowed.
    seconds : float
        With all checks.
    """

    name: str
    changed: bool
    nodes_before: int
    nodes_after: int
    difference: float
    tolerance: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A model after its passes.

    Attributes
    ----------
    model : onnx.ModelProto
    reports : tuple of PassReport
        One a pass, in order.
    tags : tuple of str
        Of the passes that changed something; a bundle's variant is named after them.
    probes : tuple of Inputs
        Real inputs that a pass brought for its numeric check.
    """

    model: onnx.ModelProto
    reports: tuple[PassReport, ...]
    tags: tuple[str, ...]
    probes: tuple[Inputs, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether any pass changed anything."""
        return any(report.changed for report in self.reports)


def with_implied(names: Sequence[str] | None, settings: PassSettings) -> list[str]:
    """The passes that were asked for, and those that only a setting asks for.

    None stands for `DEFAULT`. An opset and sizes come first, calibration last.

    Examples
    --------
    >>> from actspan.export.passes.contract import PassSettings
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
) -> Rewritten:
    """Rewrite an ONNX file; `target` appears when every pass has kept its contract.

    Parameters
    ----------
    source, target : path
        May be the same.
    passes : sequence of str, optional
        Names, in the order in which they run; `DEFAULT` if not given. `with_implied` adds to them.
    settings : PassSettings, optional

    Raises
    ------
    ExportError
        Not an ONNX file, no such pass, or one cannot be applied.
    ParityError
        A pass changed the outputs by more than its tolerance.
    MissingExtraError
        The package `onnx` is not installed.

    Examples
    --------
    >>> done = optimize_file("tem.onnx", "tem2d.onnx", ["conv1d-to-conv2d"])  # doctest: +SKIP
    >>> done.reports[0].difference < 1e-6  # doctest: +SKIP
    True
    """
    source, target = Path(source), Path(target)
    if not target.parent.is_dir():
        raise ExportError(f"{target}: the folder {target.parent} does not exist")
    rewritten = rewrite_model(read_model(source), passes, settings, where=str(source))
    with atomic_file(target) as stream:
        stream.write(rewritten.model.SerializeToString(deterministic=True))
    return rewritten


def read_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, weights in files beside it included.

    Raises
    ------
    ExportError
        It is missing, or not an ONNX file.
    """
    onnx = require("onnx", extra="export", purpose="rewriting ONNX graphs")
    try:
        check_size(path, WEIGHTS)
        model: Any = onnx.load(str(path))
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # DecodeError of whichever protobuf; ValidationError
        raise ExportError(f"{path}: not an ONNX file: {_line(error)}") from error
    if not model.graph.node:
        raise ExportError(f"{path}: not an ONNX file: it holds no graph with operators")
    return model


def rewrite_model(
    model: onnx.ModelProto,
    passes: Sequence[str] | None = None,
    settings: PassSettings | None = None,
    *,
    where: str = "model",
) -> Rewritten:
    """Run passes over a model, which is left as it was; see `optimize_file`.

    Parameters
    ----------
    where : str
        Named in errors.
    """
    require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
    from actspan.export.passes.contract import PassSettings

    settings = settings or PassSettings()
    chosen = make_passes(with_implied(passes, settings), settings)
    current = _prepared(model, where)
    reports: list[PassReport] = []
    tags: list[str] = []
    probes: tuple[Inputs, ...] = ()
    for graph_pass in chosen:
        begin = perf_counter()
        name, before = graph_pass.contract.name, current
        current, changed = _apply(graph_pass, before, f"{where}: pass {name}")
        inputs = graph_pass.probes or settings.probes
        apart = _compare(graph_pass, before, current, inputs, where) if changed else 0.0
        reports.append(
            PassReport(
                name=name,
                changed=changed,
                nodes_before=len(before.graph.node),
                nodes_after=len(current.graph.node),
                difference=apart,
                tolerance=graph_pass.contract.tolerance,
                seconds=perf_counter() - begin,
            )
        )
        tags += [graph_pass.tag] * changed
        probes = tuple(graph_pass.probes) or probes
    return Rewritten(current, tuple(reports), tuple(tags), probes)


def _prepared(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model in the form that passes expect: constants in one place, every node named."""
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    graph = ir.from_proto(model)
    graph.ir_version = max(graph.ir_version, _OLDEST_IR)
    for prepare in (
        common.InlinePass(),
        common.RemoveInitializersFromInputsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.NameFixPass(),
    ):
        prepare(graph)
    return _checked(graph, where)


def _apply(graph_pass: GraphPass, model: onnx.ModelProto, where: str) -> tuple[Any, bool]:
    """One pass with its contract: the model after it, and whether it changed."""
    import onnx_ir as ir

    try:
        result = graph_pass(ir.from_proto(model))
    except (ir.passes.InvariantError, ExportError) as error:
        raise ExportError(f"{where}: {_line(error)}") from error
    if not result.modified:
        return model, False
    done = result.model.metadata_props.get(PASSES_KEY)
    result.model.metadata_props[PASSES_KEY] = ", ".join(
        filter(None, [done, graph_pass.contract.name])
    )
    return _checked(result.model, where), True


def _checked(model: Any, where: str) -> onnx.ModelProto:
    """The model with inferred shapes, after the full check and strict shape inference."""
    import onnx
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    common.TopologicalSortPass()(model)
    common.NameFixPass()(model)
    proto: Any = ir.to_proto(model)
    if proto.ByteSize() > _LARGEST:
        raise ExportError(f"{where}: more than 2 GB in one file, which ONNX cannot hold")
    _forget_shapes(proto)
    try:
        proto = onnx.shape_inference.infer_shapes(
            proto, check_type=True, strict_mode=True, data_prop=True
        )
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # InferenceError, ValidationError
        raise ExportError(
            f"{where}: the graph does not pass onnx's check: {_line(error)}"
        ) from error
    return proto


def _forget_shapes(model: Any) -> None:
    """Drop what was inferred before of standard operators; it is inferred anew."""
    standard = {name for node in model.graph.node if not node.domain for name in node.output}
    kept = [value for value in model.graph.value_info if value.name not in standard]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _compare(
    graph_pass: GraphPass, before: Any, after: Any, probes: Sequence[Inputs], where: str
) -> float:
    from actspan.export.passes.numeric import largest_difference

    name, tolerance = graph_pass.contract.name, graph_pass.contract.tolerance
    try:
        apart = largest_difference(before, after, probes=probes)
    except ExportError as error:
        raise ExportError(f"{where}: pass {name}: {error}") from error
    if not apart <= tolerance:  # NaN is no agreement
        raise ParityError(
            f"{where}: pass {name}: outputs differ by {apart:.3g} where {tolerance:g} is allowed; "
            "nothing is written: leave this pass out"
        )
    return apart


def _line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), repr(error)).strip()
