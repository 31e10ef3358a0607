from __future__ import annotations

import sys

import numpy as np
import pytest

from actspan.bench import machine
from actspan.bench.costs import Workload, bmn_products, sample_costs, tem_products
from actspan.bench.machine import attainable, measure_machine, roof_of, with_cost
from actspan.bench.records import (
    BatchesPerSecond,
    Cost,
    Roof,
    SamplesPerSecond,
    Stage,
    Timing,
)
from actspan.bench.roof import RoofProcess, flops_of, matrix_products
from actspan.bench.timing import Rule
from actspan.config.bmn import BmnConfig
from actspan.config.stages import PemConfig, PipelineConfig, TemConfig
from actspan.core.errors import MissingExtraError
from actspan.model.bsn.forward import tem_forward
from tests.bench.small import lower_the_roof

CONFIG = PipelineConfig(tem=TemConfig(), pem=PemConfig())
WORK = Workload(snippets=100, read_bytes=160_000, candidates=1000, proposals=100, result_bytes=6000)
ROOF = Roof(gflops=100.0, gigabytes_per_second=10.0, cache_gigabytes_per_second=50.0)


def test_bmn_takes_8_billion_operations_a_video_without_sampling() -> None:
    assert flops_of(bmn_products(BmnConfig(), 1)) == pytest.approx(8.1e9, rel=0.02)


def test_the_costs_of_bmn_are_those_of_its_own_sizes() -> None:
    config = PipelineConfig(bmn=BmnConfig(channels=6, length=20, hidden=8))
    costs = sample_costs(config, WORK, batch=1)
    assert costs.keys() >= {"rescale", "bmn", "candidates", "pipeline"}
    assert costs["rescale"].bytes == 4 * (100 * 6 + 20 * 6)
    assert not costs.keys() & {"tem", "pem"}


def test_tem_takes_280_million_operations_a_video() -> None:
    assert flops_of(tem_products(TemConfig(), 1)) == pytest.approx(280.5e6, rel=1e-3)
    assert flops_of(tem_products(TemConfig(), 16)) == 16 * flops_of(tem_products(TemConfig(), 1))


@pytest.mark.parametrize(("members", "dilated"), [(1, 0), (2, 0), (2, 1)])
def test_products_are_those_of_the_network(members: int, dilated: int) -> None:
    config = TemConfig(channels=6, length=20, hidden=8, members=members, dilated=dilated)
    shapes = tem_products(config, 3)
    sizes = [8 * 60] * (2 + dilated) + [3 * 60]
    assert [np.prod(y.shape) for y in matrix_products(shapes)(0)] == sizes  # type: ignore[attr-defined]
    # the forward pass takes weights of these shapes
    rng = np.random.default_rng(0)
    weights = {}
    layers = ("conv1", "conv2", "dilated.0", "conv3") if dilated else ("conv1", "conv2", "conv3")
    for name, (groups, out, inputs, _) in zip(layers, shapes, strict=True):
        taps = 1 if name == "conv3" else 3
        shape = (groups * out, inputs // taps, taps)
        weights[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(groups * out, np.float32)
    assert tem_forward(weights, np.zeros((3, 6, 20))).shape == (3, 3, 20)


def test_costs_are_those_of_the_arithmetic() -> None:
    costs = sample_costs(CONFIG, WORK, batch=16)
    assert costs["pem"].flops == 1000 * (2 * 32 * 256 + 2 * 256)
    assert costs["rescale"].flops == 0  # as many snippets as cells: a copy
    assert costs["read"].bytes == 160_000 + 4 * 100 * 400
    parts = [cost for name, cost in costs.items() if name not in ("bsn", "evaluate")]
    assert costs["bsn"].flops == sum(cost.flops for cost in parts)
    assert costs["tem"].bytes < sample_costs(CONFIG, WORK, batch=1)["tem"].bytes  # weights, once


def test_learnt_curves_and_hidden_layers_are_counted() -> None:
    tem, pem = TemConfig(curves=16), PemConfig(inputs=257, hidden=64, layers=2)
    costs = sample_costs(PipelineConfig(tem=tem, pem=pem), WORK, batch=16)
    assert costs["pem"].flops == 1000 * 2 * 64 * (257 + 64 + 1)
    assert costs["tem"].flops - sample_costs(CONFIG, WORK, batch=16)["tem"].flops == (
        2 * 18 * 512 * 100
    )


def test_the_lower_part_of_the_roof_counts() -> None:
    assert attainable(Cost(flops=1e9, bytes=1.0), ROOF) == pytest.approx(100)
    assert attainable(Cost(flops=1.0, bytes=1e9), ROOF) == pytest.approx(50)


@pytest.mark.parametrize(
    ("name", "scope", "known"),
    [
        pytest.param("tem", "interface", True, id="network"),
        pytest.param("tem", "end-to-end", False, id="its-half"),
        pytest.param("bsn", "end-to-end", True, id="whole"),
        pytest.param("latency", "step", False, id="latency"),
    ],
)
def test_shares_of_the_roof(name: str, scope: str, known: bool) -> None:
    stage = Stage(
        name=name,
        scope=scope,  # type: ignore[arg-type]
        batch=1,
        samples_per_second=SamplesPerSecond(100.0),
        batches_per_second=BatchesPerSecond(100.0),
        seconds=Timing.of([0.01]),
    )
    costs = sample_costs(CONFIG, WORK, batch=1)
    found = with_cost(stage, CONFIG, WORK, ROOF, calm=True).cost
    assert (found is not None) is known
    if found is not None:
        assert found.share == pytest.approx(100 / attainable(costs[name], ROOF))
        noisy = with_cost(stage, CONFIG, WORK, ROOF, calm=False).cost
        assert noisy is not None
        assert noisy.share is None


def test_the_roof_is_measured_and_the_highest_that_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lower_the_roof(monkeypatch)
    announced: list[str] = []
    config = PipelineConfig(tem=TemConfig(channels=8, length=20, hidden=16))
    rule = Rule(limit=0.02, least=1)
    with RoofProcess(machine.FIXED) as fixed:
        rounds, copies = measure_machine(fixed, config, rule, announced.append)
        assert min(run.seconds for run in rounds) > 0
        assert announced == ["noise", "roof"]
        assert min(copies) > 0
        roof = roof_of(fixed, (5.0, 9.0), (4.0, 9.5))
        assert roof.gflops == fixed.gflops > 0
        assert (roof.gigabytes_per_second, roof.cache_gigabytes_per_second) == (5.0, 9.5)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.*\[bench\]'"):
        RoofProcess(machine.FIXED)
