from __future__ import annotations

import math

import numpy as np
import pytest

from actspan.bench import roof
from actspan.bench.roof import RoofProcess, at_best, flops_of, free_environment, had_the_cores
from actspan.bench.timing import Run
from actspan.core.errors import BenchError

SHAPES = ((1, 64, 64, 64), (2, 32, 16, 8))


def runs(*seconds: float, cores: float = 2.0) -> list[Run]:
    """Return rounds in which `cores` were busy."""
    return [Run(value, value * cores) for value in seconds]


def test_variables_that_pin_a_kernel_or_threads_do_not_reach_the_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {"PATH": "/bin", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    pins = {"OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "1", "MKL_CBWR": "COMPATIBLE"}
    assert free_environment(kept | pins) == kept
    with RoofProcess(SHAPES) as free:
        monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
        with RoofProcess(SHAPES) as pinned:
            assert pinned.kernel == free.kernel


def test_the_fastest_kernel_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if "openblas" not in kernel_name():
        pytest.skip("NumPy has no OpenBLAS, whose kernels can be chosen")
    slow, fast = ({"OPENBLAS_CORETYPE": name} for name in ("Prescott", "Haswell"))
    for order in ((slow, fast), (fast, slow)):
        monkeypatch.setattr(roof, "_pins_of", lambda _, order=order: iter(order))
        with RoofProcess(((1, 400, 400, 400),)) as products:
            assert products.kernel == "openblas Haswell"


def kernel_name() -> str:
    with RoofProcess(SHAPES) as products:
        return products.kernel


def test_a_round_computes_all_products_on_every_core() -> None:
    with RoofProcess(SHAPES) as products:
        taken = products.round()
        assert taken.seconds > 0
        assert products.rounds == [taken]
        assert products.flops == flops_of(SHAPES) * products.cores
        assert products.gflops == pytest.approx(products.flops / taken.seconds / 1e9)
    for product, (g, m, _, n) in zip(roof.matrix_products(SHAPES)(0), SHAPES, strict=True):  # type: ignore[call-overload]
        assert np.shape(product) == (g, m, n)


def test_a_process_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roof, "_pins_of", lambda _: iter([{"PYTHONHOME": "/absent"}]))
    with pytest.raises(BenchError, match="matrix products ended"):
        RoofProcess(SHAPES)


@pytest.mark.parametrize(
    ("seconds", "reached"),
    [
        pytest.param([1.0, 1.02, 1.04, 2.0, 3.0], True, id="three-near"),
        pytest.param([1.0, 1.02, 1.2, 1.2, 1.2], False, id="two-near"),
        pytest.param([1.0, 1.0], False, id="too-few"),
        pytest.param([1.0] * 3 + [2.0] * 47, False, id="rare"),
        pytest.param([1.0] * 5 + [2.0] * 45, True, id="a-tenth"),
    ],
)
def test_rounds_reach_their_best_if_they_repeat_it(seconds: list[float], reached: bool) -> None:
    best = at_best(runs(*seconds))
    assert best.is_reached is reached
    assert best.minimum == 1.0
    assert best.median == sorted(seconds)[len(seconds) // 2]


def test_products_that_others_slow_evenly_are_not_at_their_best() -> None:
    even = [1.5] * 9
    assert had_the_cores(runs(*even), 2)
    assert not had_the_cores(runs(*even, cores=1.3), 2)  # a third of the cores went elsewhere


@pytest.mark.parametrize(
    ("part", "calm"),
    [
        pytest.param(runs(1.0, 1.05, 1.2), True, id="calm"),
        pytest.param(runs(1.0, 1.2, 1.3), False, id="disturbed"),
        pytest.param(runs(1.0, 1.0), False, id="too-few"),
        pytest.param(runs(1.0, 1.0, 1.0, cores=1.0), False, id="without-the-cores"),
        pytest.param(runs(1.5, 1.5, 1.5), False, id="slower-than-at-other-times"),
    ],
)
def test_the_machine_was_calm_while_its_roof_was_reached(part: list[Run], calm: bool) -> None:
    assert roof.was_calm(part, [*runs(1.0), *part], 2) is calm


def test_no_operations_are_counted_twice() -> None:
    assert flops_of(SHAPES) == 2 * (math.prod(SHAPES[0]) + math.prod(SHAPES[1]))
