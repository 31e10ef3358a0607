"""Two parts of annotated videos: groups stay together, instances and labels are balanced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import compress

import numpy as np

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.types import Float64
from actspan.core.wording import counted, listed
from actspan.data.videos import Bools, Videos

_ORDERS = 200  # random orders of the groups, of which the best balanced one is used
_STREAM = 0x59117  # separates these random numbers from others of the same seed


def is_pattern(by: str) -> bool:
    """Return whether `by` is a regular expression over the id, not the name of a column."""
    return "(" in by


def groups_by_pattern(ids: Sequence[str], by: str, where: str) -> list[str]:
    """Return the group of each video: the part of its id that the group of a pattern matches.

    Raises ConfigError for an invalid pattern, and AnnotationError for ids without a match; messages
    of the latter start with `where`.

    Examples
    --------
    >>> groups_by_pattern(["anna_01", "anna_02", "ben_01"], "^([a-z]+)_", "a.json")
    ['anna', 'anna', 'ben']
    """
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise ConfigError(f"--by {by}: not a regular expression: {error}") from error
    if pattern.groups != 1:
        raise ConfigError(
            f"--by {by}: {counted(pattern.groups, 'group')} in parentheses; one is needed, which "
            "matches the person, day or camera, as in '^([^_]+)_'"
        )
    found = [match and match[1] for match in map(pattern.search, ids)]
    if without := [name for name, group in zip(ids, found, strict=True) if not group]:
        raise AnnotationError(
            f"{where}: {counted(len(without), 'id')} of {len(ids):,} without a match of {by!r} "
            f"({listed(without)}): change the pattern, or rename them"
        )
    return [group or "" for group in found]


def groups_by_value(
    values: Mapping[str, str], ids: Sequence[str], by: str, where: str
) -> list[str]:
    """Return the group of each video from values by id; raise AnnotationError if some have none."""
    if without := [name for name in ids if not values.get(name)]:
        raise AnnotationError(
            f"{where}: no {by!r} for {counted(len(without), 'video')} of {len(ids):,} "
            f"({listed(without)}): add it, or give a regular expression over the id, as in --by "
            "'^([^_]+)_'"
        )
    return [values[name] for name in ids]


def held_out(videos: Videos, groups: Sequence[str], share: float, seed: int) -> Bools:
    """Choose about a share of the instances to hold out, without dividing a group.

    The choice depends on the seed, not on the order of the videos. Of many random choices, the one
    is taken whose numbers of instances, in all and of each label, are nearest to the share.

    Parameters
    ----------
    videos : Videos
        V videos.
    groups : sequence of str
        The group of each video.
    share : float
        In (0, 1).

    Returns
    -------
    (V,) bool
        True for the videos to hold out.

    Raises
    ------
    ConfigError
        `share` is not in (0, 1), or fewer than two groups have instances.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a share of {share:g} to hold out; it must lie between 0 and 1")
    names = sorted(set(groups))
    number = {name: index for index, name in enumerate(names)}
    group = np.array([number[name] for name in groups], np.int64)  # (V,)
    counts: Float64 = np.bincount(group, videos.counts, len(names)).astype(np.float64)  # (G,)
    if np.count_nonzero(counts) < 2:
        having = listed(compress(names, counts > 0)) or "none"
        raise ConfigError(
            f"of {counted(len(names), 'group')}, {having} has instances, so a part would be empty: "
            "two groups with instances are needed; leave out --by, or choose smaller groups"
        )
    _, label = np.unique(np.array([*videos.labels, ""]), return_inverse=True)
    label, of_instance = label[:-1], np.repeat(group, videos.counts)  # (M,)
    wanted = share * np.bincount(label)  # (L,)
    best, least = np.zeros(len(names), np.bool_), np.inf
    rng = np.random.default_rng([seed, _STREAM])
    for _ in range(_ORDERS):
        order = rng.permutation(len(names))
        chosen = np.zeros(len(names), np.bool_)
        chosen[order[: _cut(counts[order], share)]] = True
        found = np.bincount(label[chosen[of_instance]], minlength=len(wanted))
        cost = abs(found.sum() - wanted.sum()) + np.abs(found - wanted).sum()
        if cost < least:
            best, least = chosen, cost
    return best[group]


def _cut(counts: Float64, share: float) -> int:
    """Return how many of the first groups have a share of the instances; both parts have some."""
    sums = np.cumsum(counts)
    possible = np.flatnonzero((sums > 0) & (sums < sums[-1]))
    return int(possible[np.abs(sums[possible] - share * sums[-1]).argmin()]) + 1
