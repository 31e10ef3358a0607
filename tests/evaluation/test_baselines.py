"""Guesses that ignore the video, and a model compared with them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from actspan import Proposals, Video
from actspan.evaluation.baselines import (
    COUNT,
    Guess,
    compare_with_guesses,
    evaluate_guess,
    not_beaten,
    of_lengths,
    plain_windows,
    uniform_random,
)

INSTANCES = ((3.0, 6.0), (11.0, 25.0))
VIDEO = Video("v", 30.0, "test", INSTANCES, ("", ""))
LENGTHS = np.array([3.0, 14.0])
FOUND = {"v": Proposals([20.0], [29.0], [1.0], unit="seconds")}


@pytest.mark.parametrize(
    "guess",
    [
        pytest.param(uniform_random, id="uniform-random"),
        pytest.param(plain_windows, id="plain windows"),
        pytest.param(partial(of_lengths, LENGTHS), id="training lengths"),
    ],
)
def test_guesses_lie_in_the_video_and_find_a_little(guess: Guess) -> None:
    found = guess(30.0, np.random.default_rng(0))
    assert (found.start >= 0).all()
    assert (found.end <= 30).all()
    assert (found.end > found.start).all()
    row = evaluate_guess(guess, [VIDEO], draws=2)
    assert 0 < row["AR@100"] < 100
    assert row == evaluate_guess(guess, [VIDEO], draws=2)
    assert row != evaluate_guess(guess, [VIDEO], seed=5, draws=2)


def test_plain_windows_are_a_grid() -> None:
    found = plain_windows(1.0, np.random.default_rng(0))
    spans = set(zip(found.start.tolist(), found.end.tolist(), strict=True))
    assert len(spans) == len(found) == sum(2 * 2**k - 1 for k in range(6))
    assert {(0, 1), (0, 0.5), (0.25, 0.75), (0.5, 1), (31 / 32, 1)} <= spans


def test_guesses_have_the_lengths_of_training() -> None:
    found = of_lengths(LENGTHS, 1000.0, np.random.default_rng(0))
    assert len(found) == COUNT
    inside = (found.start > 0) & (found.end < 1000)
    assert set((found.end - found.start)[inside].round(9).tolist()) == {3.0, 14.0}
    longer = of_lengths(np.array([99.0]), 10.0, np.random.default_rng(0))
    assert (longer.start == 0).all()
    assert (longer.end == 10).all()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(3, 6, 0.9), (11, 25, 0.8)], [], id="found at once"),
        pytest.param(
            [(29, 30, 0.9)],
            ["label-free", "plain windows", "training lengths"],
            id="found nothing",
        ),
    ],
)
def test_a_model_is_compared_with_guesses(
    rows: list[tuple[float, float, float]], expected: list[str]
) -> None:
    proposals = {"v": Proposals(*np.array(rows).T, unit="seconds")}
    figures = compare_with_guesses([VIDEO], proposals, FOUND, LENGTHS)
    assert list(figures) == ["model", "label-free", "plain windows", "training lengths"]
    assert "label-free" not in compare_with_guesses([VIDEO], proposals, {}, LENGTHS)
    assert not_beaten(figures) == expected
    assert figures == compare_with_guesses([VIDEO], proposals, FOUND, LENGTHS)
