"""onnx's own test models through every pass: all operators, branches, loops and sequences.

A pass may refuse a model in one line. It may not fail otherwise, change an output, or find
something to change in a second run.
"""

from __future__ import annotations

import collections
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from actspan.core.errors import ExportError, ParityError
from actspan.deploy.optimize import rewrite_model
from actspan.deploy.passes.contract import Inputs, PassSettings, Sample, Shapes
from actspan.deploy.passes.numeric import difference

STORED = Path(onnx.__file__).parent / "backend" / "test" / "data"
KINDS = ("simple", "pytorch-converted", "pytorch-operator", "light")
NEWEST = onnx.defs.onnx_opset_version()
# Scores of masked places are an output of these. ONNX Runtime returns the lowest float32 up to
# opset 24, -inf from 25; half precision has no such number. The check refuses these, rightly.
UNEQUAL = re.compile("attention.*qk_matmul_bias_.d_mask_causal$")


@dataclass(frozen=True)
class Case:
    """A model and its test inputs; none if they are not tensors."""

    name: str
    model: onnx.ModelProto
    inputs: Sequence[Inputs]

    def sample(self, shapes: Shapes) -> Sample:
        """See `Calibration`."""
        return Sample(self.inputs)


def stored() -> Iterator[Case]:
    """Yield the models in files, also those with synthetic weights."""
    for kind in KINDS:
        for path in sorted((STORED / kind).glob("*.onnx")):
            yield Case(path.stem, onnx.load(path), [])
        for folder in sorted((STORED / kind).glob("*/model.onnx")):
            model = onnx.load(folder)
            tensors = [
                [read(data / f"input_{i}.pb") for i in range(len(list(data.glob("input_*.pb"))))]
                for data in sorted(folder.parent.glob("test_data_set_*"))
            ]
            yield Case(folder.parent.name, model, named(model, tensors))


def generated() -> Iterator[Case]:
    """Yield the models of single operators that onnx generates for its tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    for case in cases:
        sets = [list(inputs) for inputs, _ in case.data_sets]
        yield Case(case.name, case.model, named(case.model, sets))


def read(path: Path) -> Any:
    """Return the array of a file; None if it is a sequence, or text."""
    tensor = onnx.TensorProto()
    try:
        tensor.ParseFromString(path.read_bytes())
        return onnx.numpy_helper.to_array(tensor)
    except Exception:  # noqa: BLE001 (a DecodeError of whichever protobuf)
        return None


def named(model: onnx.ModelProto, sets: Sequence[Sequence[Any]]) -> list[Inputs]:
    """Return inputs by name, where all are arrays of numbers that NumPy knows."""
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input]
    if not all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for s in sets for a in s):
        return []
    return [
        {n: a for n, a in zip(names, arrays, strict=False) if n not in weights} for arrays in sets
    ]


def freed(case: Case) -> Case:
    """Name every axis of the inputs after its size, so that equal sizes have one name."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value > 0:
                dim.dim_param = f"of_{dim.dim_value}"
    for value in model.graph.output:
        kind = value.type
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = getattr(kind, kind.WhichOneof("value")).elem_type
        if kind.HasField("tensor_type"):
            kind.tensor_type.ClearField("shape")
    return Case(case.name, model, case.inputs)


def fixing(case: Case) -> PassSettings:
    names = {dim.dim_param for v in case.model.graph.input for dim in v.type.tensor_type.shape.dim}
    sizes = {name: int(name[3:]) for name in sorted(names) if name.startswith("of_")}
    return PassSettings(dims=sizes, probes=tuple(case.inputs))


def opset(version: int) -> Callable[[Case], PassSettings]:
    return lambda case: PassSettings(opset=version, probes=tuple(case.inputs))


def plain(case: Case) -> PassSettings:
    return PassSettings(probes=tuple(case.inputs))


# name: passes, settings, and how many of all models they change at least
PASSES: dict[str, tuple[list[str] | None, Callable[[Case], PassSettings], int]] = {
    "up": (["opset"], opset(NEWEST), 1300),
    "down-13": (["opset"], opset(13), 600),
    "down-11": (["opset", "conv1d-to-conv2d"], opset(11), 600),
    "fix-dims": (["fix-dims"], fixing, 600),
    "constant-fold": (["constant-fold"], plain, 250),
    "fold-scale": (["fold-scale"], plain, 0),
    "fold-batchnorm": (["fold-batchnorm"], plain, 0),
    "conv1d-to-conv2d": (["conv1d-to-conv2d"], plain, 0),  # those with weights are of opset 6
    "fp16": (["fp16"], plain, 1000),
    "int8": (["int8"], lambda case: PassSettings(calibration=case), 0),
    "default": (None, plain, 250),
}


def outputs_of(model: onnx.ModelProto, inputs: Inputs) -> dict[str, Any] | None:
    """Return outputs by name; None if ONNX Runtime does not run it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = session.run(None, dict(inputs))
    except Exception:  # noqa: BLE001 (the vendor's exceptions have no base of their own)
        return None
    return dict(zip((value.name for value in session.get_outputs()), found, strict=True))


def is_random(model: onnx.ModelProto) -> bool:
    return any("Random" in n.op_type or n.op_type == "Bernoulli" for n in model.graph.node)


def outcome(case: Case, passes: list[str] | None, settings: PassSettings) -> str:
    """Return "changed", "same" or "refused"; else what is wrong."""
    try:
        done = rewrite_model(case.model, passes, settings)
    except ExportError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error}"
    except ParityError as error:
        return "refused" if UNEQUAL.search(case.name) else str(error)
    onnx.checker.check_model(done.model, full_check=True)
    allowed = sum(report.tolerance for report in done.reports if report.changed)
    for inputs in case.inputs if done.changed else ():
        fault = compared(case.model, done.model, inputs, allowed)
        if fault:
            return fault
    if not settings.dims:  # whose names are gone
        again = rewrite_model(done.model, passes, settings)
        if again.changed:
            return "the second run changes it again"
        if as_bytes(again.model) != as_bytes(done.model):
            return "the second run changes bytes"
    return "changed" if done.changed else "same"


def as_bytes(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def compared(
    before: onnx.ModelProto, after: onnx.ModelProto, inputs: Inputs, allowed: float
) -> str | None:
    expected = outputs_of(before, inputs)
    if expected is None or is_random(before):
        return None
    found = outputs_of(after, inputs)
    if found is None:
        return "it does not run any more"
    if list(found) != list(expected):
        return f"outputs {list(expected)} became {list(found)}"
    for name, value in expected.items():
        if not same(value, found[name], allowed):
            return f"output {name} differs"
    return None


def same(a: Any, b: Any, allowed: float) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y, allowed) for x, y in zip(a, b, strict=True))
    if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiub":
        return bool(np.array_equal(a, b))
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return difference(a, b) <= allowed


def survey(cases: Sequence[Case], name: str) -> tuple[dict[str, int], list[str]]:
    """Return how often each outcome was, and what is wrong, by model."""
    passes, settings, _ = PASSES[name]
    counts: dict[str, int] = collections.Counter()
    wrong = []
    for original in cases:
        case = freed(original) if name == "fix-dims" else original
        try:
            found = outcome(case, passes, settings(case))
        except Exception as error:  # noqa: BLE001 (any but ExportError is a fault to be reported)
            found = f"{type(error).__name__}: {error}"
        if found in ("changed", "same", "refused"):
            counts[found] += 1
        else:
            wrong.append(f"{case.name}: {found}")
    return counts, wrong


@pytest.fixture(scope="module")
def some() -> list[Case]:
    return list(stored())[::6]


@pytest.fixture(scope="module")
def every() -> list[Case]:
    return [*stored(), *generated()]


@pytest.mark.parametrize("name", PASSES)
def test_a_sample_of_models(some: list[Case], name: str) -> None:
    counts, wrong = survey(some, name)
    assert not wrong, "\n".join(wrong)
    assert counts


@pytest.mark.slow
@pytest.mark.parametrize("name", PASSES)
def test_all_models(every: list[Case], name: str) -> None:
    counts, wrong = survey(every, name)
    print(name, dict(counts))
    assert not wrong, "\n".join(wrong)
    assert counts["changed"] >= PASSES[name][2]
