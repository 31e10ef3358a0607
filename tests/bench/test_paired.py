from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from shlex import quote

import numpy as np
import pytest

from actspan.bench.timing import Run, run_command, time_pair
from actspan.core.errors import BenchError

PYTHON = quote(sys.executable)


class Machine:
    """A synthetic machine: what a command takes depends on when it runs."""

    def __init__(self, speed: Callable[[float], float], seed: int = 0) -> None:
        self.now = 0.0
        self._speed, self._rng = speed, np.random.default_rng(seed)
        self.order = ""

    def command(self, name: str, work: float) -> Callable[[], Run]:
        def run() -> Run:
            noise = 1 + 0.01 * self._rng.standard_normal()
            seconds = work * self._speed(self.now) * noise
            self.now += seconds
            self.order += name
            return Run(seconds, seconds)

        return run


def test_order_is_abba_after_a_warm_up() -> None:
    machine = Machine(lambda now: 1.0)
    pair = time_pair(machine.command("A", 1), machine.command("B", 1), rounds=5)
    assert machine.order == "AB" + 5 * "ABBA"
    assert (len(pair.a), len(pair.b)) == (10, 10)


@pytest.mark.parametrize(
    "speed",
    [
        pytest.param(lambda now: 1.0, id="steady"),
        pytest.param(lambda now: 1 + now / 20, id="ever-slower"),
        pytest.param(lambda now: 1 + 0.5 * np.sin(now / 15), id="waves"),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_drift_cancels(speed: Callable[[float], float], factor: float) -> None:
    machine = Machine(speed)
    pair = time_pair(machine.command("A", 1), machine.command("B", factor), rounds=20)
    assert pair.low <= pair.ratio <= pair.high
    assert pair.ratio == pytest.approx(factor, abs=0.02)
    assert pair.is_slower(0.05) == (factor > 1.05)


def test_an_uncertain_difference_does_not_fail() -> None:
    ratios: Iterator[float] = iter([0.8, 1.4] * 20)
    pair = time_pair(lambda: Run(1.0, 1.0), lambda: Run(next(ratios), 1.0), rounds=10, warmup=0)
    assert pair.ratio == pytest.approx(1.1)
    spread = iter(np.random.default_rng(1).uniform(0.7, 1.5, 40).tolist())
    noisy = time_pair(lambda: Run(1.0, 1.0), lambda: Run(next(spread), 1.0), rounds=10)
    assert noisy.low < 1.05
    assert not noisy.is_slower(0.05)


def test_the_same_times_give_the_same_interval() -> None:
    first, second = (
        time_pair(machine.command("A", 1), machine.command("B", 1), rounds=8)
        for machine in (Machine(lambda now: 1.0, 3), Machine(lambda now: 1.0, 3))
    )
    assert first == second


def test_too_few_rounds() -> None:
    with pytest.raises(BenchError, match="4 rounds are too few"):
        time_pair(lambda: Run(1, 1), lambda: Run(1, 1), rounds=4)


def test_runs_a_command_without_a_shell() -> None:
    run = run_command(
        f"{PYTHON} -c 'import sys; sys.exit(sys.argv[1:] != [\"$HOME\", \"|\"])' $HOME '|'"
    )
    assert 0 < run.seconds < 60
    assert run.cpu_seconds > 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param("no-such-program-here", "does not start: No such file", id="missing"),
        pytest.param("a 'b", "No closing quotation", id="quotes"),
        pytest.param(" ", "an empty command", id="empty"),
        pytest.param(
            f"{PYTHON} -c \"import sys; sys.exit('out of luck')\"",
            "ended with 1:\nout of luck",
            id="fails",
        ),
    ],
)
def test_commands_that_cannot_be_timed(command: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        run_command(command)
