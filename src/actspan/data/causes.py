"""Faults shared by most files of a dataset, reported in one line with a remedy for the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from actspan.config.stages import FeatureSpec
from actspan.core.problems import Problem, Skipped
from actspan.core.types import Float64
from actspan.core.wording import counted, listed, quoted
from actspan.data.names import holds_videos
from actspan.data.spec_file import SPEC_FILE
from actspan.data.videos import Videos

Layout = Literal["TC", "CT"]
_AXIS: dict[str, int] = {"TC": 1, "CT": 0}  # axis of the channels


def wrong_spec(
    shapes: Sequence[tuple[int, ...]],
    layout: Layout,
    channels: int,
    expected: int | None,
    given: FeatureSpec,
) -> str:
    """Return what dataset.toml should say if it contradicts most files, or "".

    Parameters
    ----------
    layout, channels
        Assumed layout and channels of the files.
    expected : int, optional
        Channels of the model.
    given : FeatureSpec
        Content of dataset.toml.
    """
    axis = _AXIS[layout]
    if 2 * sum(shape[axis] == channels for shape in shapes) >= len(shapes):
        return ""
    alike = ((found, *_commonest(shape[found] for shape in shapes)) for found in (axis, 1 - axis))
    common = [(found, size) for found, size, count in alike if 2 * count > len(shapes)]
    common.sort(key=lambda one: one[1] not in (channels, expected))  # explains more
    if not common or (given.layout is None and given.channels is None):
        return ""
    found, size = common[0]
    lines = []
    if given.channels is not None and size != channels:
        lines.append(f"channels = {size}")
    if found != axis:
        lines.append(f'layout = "{"TC" if found else "CT"}"')
    example = next(shape for shape in shapes if shape[found] == size)
    said = [f"layout {layout!r}"] if given.layout is not None else []
    said += [f"{channels} channels"] if given.channels is not None else []
    return (
        f"{SPEC_FILE} does not fit the features: it says {' and '.join(said)}, and "
        f"{sum(s[found] == size for s in shapes)} of {counted(len(shapes), 'file')} have shapes "
        f"such as {example}; write {' and '.join(lines)} to {SPEC_FILE}"
    )


def _commonest(sizes: Iterable[int]) -> tuple[int, int]:
    return Counter(sizes).most_common(1)[0]


def missing_features(
    videos: Videos,
    entries: Collection[str],
    strangers: Sequence[str],
    path: Path,
    what: str = "features",
) -> tuple[str, str]:
    """Return why most videos lack features and what to do; empty if there is no single cause.

    Parameters
    ----------
    videos : Videos
        Those that need features.
    entries : collection of str
        Ids that have features.
    strangers : sequence of str
        Ids that have features and no annotation.
    path : Path
        The dataset folder.
    what : str
        Name of what is missing: features, or boundary scores.
    """
    missing = [name for name in videos.ids if name not in entries]
    if 2 * len(missing) > len(videos) and 2 * len(strangers) >= len(missing):
        pair = _same_but_for(missing, strangers)
        video, stranger = pair or (missing[0], strangers[0])
        cause = f"{what} are named otherwise than videos: {stranger!r}, and not {video!r}"
        if pair is None:
            return cause, f"name {what} as annotations do, or check that they belong together"
        return cause, f"name {what} as annotations do: {video!r} in the place of {stranger!r}"
    if not entries and holds_videos(path):
        return (
            "no features, only videos",
            f"actspan extract {quoted(path)} --out {quoted(f'{path.name}-features')}",
        )
    if missing and not strangers:
        return _of_subsets(videos, entries, what)
    return "", ""


def _same_but_for(these: Sequence[str], those: Sequence[str]) -> tuple[str, str] | None:
    """Return a pair of ids that differ in the way most do: in case, or in a prefix or suffix."""
    for by_core in (_in_small_letters, _without_ends):
        left, right = by_core(these), by_core(those)
        common = [core for core in left if core in right]
        if 2 * len(common) > min(len(these), len(those)):
            return left[common[0]], right[common[0]]
    return None


def _in_small_letters(names: Sequence[str]) -> dict[str, str]:
    return {name.lower(): name for name in names}


def _without_ends(names: Sequence[str]) -> dict[str, str]:
    """Return the names by their distinct part: without the start and end that all share."""
    first = _shared_start(names)
    last = _shared_start([name[::-1] for name in names])
    return {name[first : len(name) - last]: name for name in names}


def _shared_start(names: Sequence[str]) -> int:
    """Return the number of characters that all names start with."""
    least, most = min(names), max(names)
    pairs = enumerate(zip(least, most, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(least), len(most)))


def _of_subsets(videos: Videos, entries: Collection[str], what: str) -> tuple[str, str]:
    """Return cause and remedy if exactly the videos of some subsets have features."""
    has = {subset: set[bool]() for subset in videos.subsets}
    for name, subset in zip(videos.ids, videos.subsets, strict=True):
        has[subset].add(name in entries)
    whole = [subset for subset, found in has.items() if found == {True}]
    lacking = [repr(subset) for subset, found in has.items() if found == {False}]
    if whole and len(whole) + len(lacking) == len(has):
        cause = f"no {what} for any video of subset {listed(lacking)}"
        return cause, f"pass --subset {whole[0]}, or compute the other {what}"
    return "", ""


def gaps(videos: Videos, spans: Float64, steps: Float64, path: Path) -> Iterator[Problem]:
    """Yield a note per video whose features do not cover its duration.

    Parameters
    ----------
    spans, steps : (V,) float64
        Seconds that features cover, and the larger of stride and length; NaN if unknown.
    """
    durations = videos.durations
    apart = np.abs(spans - durations) > np.maximum(0.1 * durations, 2 * steps)  # NaN is not a gap
    for place in np.flatnonzero(apart).tolist():
        what = f"features cover {spans[place]:,.1f} s of {durations[place]:,.1f} s"
        remedy = f"check the stride in {SPEC_FILE}, and the duration"
        yield Problem(videos.ids[place], str(path), what, remedy, Skipped.NOTHING)
