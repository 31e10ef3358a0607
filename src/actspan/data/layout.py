"""The layout of feature files, (T, C) or (C, T), their channels, and what contradicts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.problems import Problem
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.data.timebase import SPEC_FILE

Layout = Literal["TC", "CT"]


class FileCheck(NamedTuple):
    """Properties of one feature file without problems; see `features.Table`."""

    video_index: int  # of its video in the dataset
    shape: tuple[int, ...]
    is_csv: bool
    dropped: str
    first_column: str
    is_constant: bool = False  # all values are the same


def without_first_columns(checks: list[FileCheck], channels: int | None) -> list[FileCheck]:
    """Return the checks without first columns of row numbers or times in files without a header.

    Such a column is not a feature if files have one column more than the known channels; times
    only if all files have them, since features can look like times by chance. If the number of
    channels is unknown, row numbers are dropped if all files have them.
    """
    from actspan.data.csv_features import ROW_NUMBERS, TIMES  # compiled: loads slowly

    def all_have(*kinds: str) -> bool:  # and enough rows that this is no coincidence
        has = all(check.first_column in kinds for check in checks)
        return has and sum(check.shape[0] - 1 for check in checks) > 2

    if channels is None and not all_have(ROW_NUMBERS):
        return checks
    has_times = channels is not None and all_have(ROW_NUMBERS, TIMES)
    has_times = has_times and all(check.shape[1] - 1 == channels for check in checks)
    columns = (ROW_NUMBERS, TIMES) if has_times else (ROW_NUMBERS,)
    return [
        check._replace(shape=(check.shape[0], check.shape[1] - 1), dropped=check.first_column)
        if check.first_column in columns and channels in (None, check.shape[1] - 1)
        else check
        for check in checks
    ]


def vote_layout(dataset: Dataset, checks: Sequence[FileCheck], channels: int | None) -> Layout:
    """Return the layout in which most files have the known channels; that of a CSV is "TC".

    Raises FeatureError, which has the other problems of the dataset, if channels are unknown.
    """
    if all(check.is_csv for check in checks):
        return "TC"
    if channels is not None:
        rows = sum(check.shape[1] == channels for check in checks)
        columns = sum(check.shape[0] == channels for check in checks)
        return "CT" if columns > rows else "TC"
    kinds = Counter(f"{p.problem}: {p.remedy}" for p in dataset.problems if p.is_error)
    besides = (f"; besides, {counted(n, 'file')}: {what}" for what, n in kinds.items())
    raise FeatureError(
        f"{dataset.path}: cannot tell whether features are (T, C) or (C, T): write "
        'dataset.toml with [features] channels = ..., or layout = "TC" or "CT"'
        f"{''.join(besides)}"
    )


def channels_error(
    dataset: Dataset, channels: int | None, expected: int, checks: Sequence[FileCheck] = ()
) -> FeatureError:
    """Return the error that a model expects another number of channels than files have."""
    dropped = Counter(check.dropped for check in checks).most_common(1)
    without = f" without {dropped[0][0]}" if dropped and dropped[0][0] else ""
    return FeatureError(
        f"{dataset.path}: features have {channels} channels{without}, but the model expects "
        f"{expected}; use a model that was trained on such features"
    )


def channels_problems(
    dataset: Dataset, checks: Sequence[FileCheck], axis: int, channels: int
) -> list[Problem]:
    """Return a problem per file that has other channels along their axis."""
    problems = []
    for check in checks:
        what = f"{check.shape[axis]} channels, {channels} expected"
        remedy = f"extract the features again, with the network that gives {channels} channels"
        if check.shape[axis] == channels:
            continue
        if check.shape[1 - axis] == channels:
            what = f"axes swapped: shape {check.shape}, {channels} channels"
            remedy = "transpose the array"
        name = dataset.videos.ids[check.video_index]
        problems.append(Problem(name, str(dataset.entries[name]), what, remedy))
    return problems


def spec_error(
    shapes: Sequence[tuple[int, ...]],
    layout: Layout,
    channels: int,
    expected: int | None,
    declared: FeatureSpec,
) -> str:
    """Return what dataset.toml should say if it contradicts most files, or "".

    `layout` and `channels` are those assumed of the files, `expected` the channels of the model,
    and `declared` is the content of dataset.toml.
    """
    axis = 1 if layout == "TC" else 0
    common = []
    for axis_found in (axis, 1 - axis):
        size, count = Counter(shape[axis_found] for shape in shapes).most_common(1)[0]
        if 2 * count > len(shapes):
            common.append((axis_found, size, count))
    common.sort(key=lambda one: one[1] not in (channels, expected))  # explains more
    if not common or (declared.layout is None and declared.channels is None):
        return ""
    axis_found, size, count = common[0]
    lines, given_text = [], []
    if declared.layout is not None:
        given_text.append(f"layout {layout!r}")
    if declared.channels is not None:
        given_text.append(f"{channels} channels")
        if size != channels:
            lines.append(f"channels = {size}")
    if axis_found != axis:
        lines.append(f'layout = "{"TC" if axis_found else "CT"}"')
    example = next(shape for shape in shapes if shape[axis_found] == size)
    return (
        f"{SPEC_FILE} does not fit the features: it says {' and '.join(given_text)}, and "
        f"{count} of {counted(len(shapes), 'file')} have shapes such as {example}; write "
        f"{' and '.join(lines)} to {SPEC_FILE}"
    )
