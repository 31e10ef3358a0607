"""A benchmark that is over in a second or two: small networks, few videos, a low roof."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from actspan.bench import machine, roof
from actspan.bench.records import BenchRequest, BenchResult, Stage

SMALL = BenchRequest(
    videos=8, batches=(1, 4), streams=2, seconds=0.01, channels=8, length=20, snippets=30
)


def lower_the_roof(patch: pytest.MonkeyPatch) -> None:
    """Make the measurements of the machine as short as possible, and accept all of them."""
    patch.setattr(roof, "_CALM", math.inf)
    patch.setattr(roof, "_NEAR", math.inf)
    patch.setattr(roof, "_FULL", 0.0)
    patch.setattr(machine, "FIXED", ((1, 32, 32, 32),))
    patch.setattr(machine, "_LARGE", 2**20)


def stage_of(result: BenchResult, name: str, scope: str, batch: int) -> Stage:
    (found,) = (s for s in result.stages if (s.name, s.scope, s.batch) == (name, scope, batch))
    return found


def with_wrong_graph(folder: Path) -> Path:
    """Return a bundle in which `pem.wrong.onnx` answers something else."""
    import onnx

    from actspan.model.bsn.graph import build_pem
    from tests.examples import write_bundle

    bundle = write_bundle(folder)
    weights = bundle.weights("pem")
    weights["fc2.bias"] = weights["fc2.bias"] + 1
    wrong = build_pem(weights)
    bundle.add_file("pem.wrong.onnx", lambda path: onnx.save(wrong, path))
    return folder
