"""Two parts of annotated videos, by group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actspan import Video
from actspan.core.errors import AnnotationError, ConfigError
from actspan.data.splits import groups_by_pattern, groups_by_value, held_out
from actspan.data.videos import Videos


def make(counts: list[list[str]]) -> Videos:
    """Return videos with instances of these labels."""
    return Videos(
        Video(f"v{i}", 10.0, segments=[[1, 2]] * len(labels), labels=tuple(labels))
        for i, labels in enumerate(counts)
    )


@given(
    videos=st.lists(
        st.tuples(st.lists(st.sampled_from("ab"), max_size=4), st.sampled_from("xyzw")),
        min_size=2,
        max_size=20,
    ),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 1000),
    shuffle=st.randoms(use_true_random=False),
)
def test_groups_stay_together(
    videos: list[tuple[list[str], str]], share: float, seed: int, shuffle: object
) -> None:
    assume(len({group for labels, group in videos if labels}) >= 2)
    made, groups = make([labels for labels, _ in videos]), [group for _, group in videos]
    chosen = held_out(made, groups, share, seed)
    parts = {g for g, c in zip(groups, chosen, strict=True) if c}
    others = {g for g, c in zip(groups, chosen, strict=True) if not c}
    assert not parts & others
    assert made.counts[chosen].sum() > 0 < made.counts[~chosen].sum()
    assert held_out(made, groups, share, seed).tolist() == chosen.tolist()
    order = list(range(len(made)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    again = held_out(made.select(order), [groups[i] for i in order], share, seed)
    assert again.tolist() == chosen[order].tolist()


@given(share=st.floats(0.1, 0.9), seed=st.integers(0, 100), size=st.integers(20, 60))
def test_instances_are_balanced(share: float, seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    made = make([["ab"[int(x)]] * n for x, n in rng.integers([0, 1], [2, 4], (size, 2))])
    chosen = held_out(made, made.ids, share, seed)
    labels = np.repeat(chosen, made.counts)
    assert abs(labels.mean() - share) < 0.1
    for label in "ab":
        own = labels[np.array(made.labels) == label]
        assert len(own) < 10 or abs(own.mean() - share) < 0.25


def test_seeds_give_different_parts() -> None:
    made = make([["a"]] * 40)
    parts = {tuple(held_out(made, made.ids, 0.25, seed).tolist()) for seed in range(5)}
    assert len(parts) == 5
    assert {sum(part) for part in parts} == {10}


@pytest.mark.parametrize(
    ("counts", "groups", "message"),
    [
        ([["a"], ["a"]], ["x", "x"], "of 1 group, x has instances, so a part would be empty"),
        ([["a"], []], ["x", "y"], "of 2 groups, x has instances"),
        ([[], []], ["x", "y"], "none has instances"),
    ],
)
def test_a_part_is_never_empty(counts: list[list[str]], groups: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        held_out(make(counts), groups, 0.2, 0)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_shares_are_checked(share: float) -> None:
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        held_out(make([["a"], ["a"]]), "xy", share, 0)


def test_groups_of_ids() -> None:
    assert groups_by_pattern(["p1_a", "p1_b", "p2_a"], "^(p[0-9])", "f") == ["p1", "p1", "p2"]
    with pytest.raises(AnnotationError, match=r"f: 1 id of 2 without a match of .* \(q_a\)"):
        groups_by_pattern(["p1_a", "q_a"], "^(p[0-9])", "f")
    with pytest.raises(ConfigError, match="2 groups in parentheses; one is needed"):
        groups_by_pattern(["p1_a"], "^(p)([0-9])", "f")
    with pytest.raises(ConfigError, match="not a regular expression: missing"):
        groups_by_pattern(["p1_a"], "^(p", "f")
    with pytest.raises(AnnotationError, match=r"f: no 'day' for 1 video of 2 \(b\)"):
        groups_by_value({"a": "monday"}, ["a", "b"], "day", "f")
