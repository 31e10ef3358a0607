from __future__ import annotations

import statistics
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan.bench.timing import Rule, anonymous_memory, is_settled, measure, peak_memory

QUICK = Rule(limit=0.02, least=5, warmup=1)


@pytest.mark.parametrize(
    ("seconds", "settled"),
    [
        pytest.param([1.0], False, id="one"),
        pytest.param([1.0] * 10, True, id="same"),
        pytest.param([1.0] * 5 + [2.0] * 5, False, id="slower"),
        pytest.param([1.0, 9.0, 1.0, 1.0, 1.0, 9.0, 1.0, 1.0], True, id="outliers"),
        pytest.param([2.0, 1.0, 1.0, 1.0, 1.0, 1.0], True, id="slow-start"),
    ],
)
def test_a_median_settles(seconds: list[float], settled: bool) -> None:
    assert is_settled(seconds, 0.02) is settled


@given(st.floats(1e-6, 1e3), st.integers(2, 50))
def test_equal_repeats_settle_whatever_they_take(seconds: float, repeats: int) -> None:
    assert is_settled([seconds] * repeats, 0.0)


@pytest.mark.parametrize(
    ("seconds", "spent", "over"),
    [
        pytest.param([1.0] * 4, 99.0, False, id="too-few-whatever-it-takes"),
        pytest.param([1.0] * 5, 0.5, False, id="too-early"),
        pytest.param([1.0] * 5, 1.5, True, id="settled"),
        pytest.param([1.0, 1.0, 2.0, 2.0, 2.0], 9.0, False, id="moving"),
        pytest.param([1.0, 1.0, 2.0, 2.0, 2.0], 10.0, True, id="time-is-up"),
    ],
)
def test_when_to_stop(seconds: list[float], spent: float, over: bool) -> None:
    assert Rule(limit=10.0, least=5).is_over(seconds, spent) is over


def test_every_repeat_has_its_number_and_warm_up_does_not_count() -> None:
    numbers: list[int] = []
    measured = measure(numbers.append, streams=2, rule=QUICK)
    assert set(numbers) >= set(range(len(measured.seconds)))
    assert len(numbers) > len(measured.seconds) >= 5


def test_times_and_rates() -> None:
    measured = measure(lambda _: time.sleep(0.004), streams=2, rule=QUICK)
    assert 0.004 <= min(measured.seconds) <= statistics.median(measured.seconds)
    assert measured.rate == pytest.approx(2 / statistics.median(measured.seconds))
    assert measured.cpu_seconds < sum(measured.seconds)  # sleep takes none
    assert measured.undisturbed_rate > measured.rate / 2


def test_what_the_work_raises_comes_through() -> None:
    def work(number: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        measure(work, streams=2, rule=QUICK)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_of_a_run_is_seen() -> None:
    def work() -> int:
        block = bytearray(64 * 2**20)
        time.sleep(0.05)
        return len(block)

    small = peak_memory(lambda: time.sleep(0.01))
    large = peak_memory(work)
    assert small is not None
    assert large is not None
    assert large - small > 32 * 2**20
    assert anonymous_memory(2**30) == 0  # no such process
