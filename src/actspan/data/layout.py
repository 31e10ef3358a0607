"""`dataset.toml`, and what it leaves open: layout, channels and snippet grid, found in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from actspan.config.base import from_dict, read_toml
from actspan.config.stages import FeatureSpec
from actspan.core.errors import DataError, FeatureError
from actspan.core.problems import Problem
from actspan.core.wording import counted
from actspan.data.csv_features import ROW_NUMBERS, TIMES
from actspan.data.store.store_manifest import Manifest
from actspan.data.timebase import infer_grid, stride_notes

if TYPE_CHECKING:
    from actspan.data.dataset import Dataset

SPEC_FILE = "dataset.toml"
Layout = Literal["TC", "CT"]


def read_spec(path: Path, packing: Manifest | None) -> FeatureSpec:
    """Return the spec of a dataset folder; for a store, channels and layout are known from packing.

    Raises DataError for an unknown table, and ConfigError for an unknown key or a bad value.
    """
    file = path / SPEC_FILE
    values = read_toml(file) if file.is_file() else {}
    unknown = set(values) - {"features"}
    if unknown:
        names = ", ".join(sorted(unknown))
        if unknown <= set(FeatureSpec.__struct_fields__):
            raise DataError(f"{file}: write [features] above {names}")
        raise DataError(f"{file}: only the table [features] is known, not {names}")
    spec = from_dict(FeatureSpec, values.get("features", {}), where=f"{file} [features]")
    if packing is None:
        return spec
    return msgspec.structs.replace(spec, channels=packing.channels, layout="TC", join=None)


class FileCheck(NamedTuple):
    """Results of checking one feature file."""

    place: int  # of its video in the dataset
    shape: tuple[int, ...] = ()
    is_csv: bool = False  # rows are snippets, whatever the counts
    problem: Problem | None = None
    dropped: str = ""  # what was dropped from a CSV
    counter: str = ""  # a CSV: `csv_features.counter` of it
    is_constant: bool = False  # all values are the same

    def snippets(self, spec: FeatureSpec) -> int:
        """Return the number of snippets."""
        return self.shape[1] if spec.layout == "CT" else self.shape[0]


class CompleteSpec(NamedTuple):
    """The complete spec of a dataset, notes, the files that fit, and problems of the others."""

    spec: FeatureSpec
    notes: list[str]
    checks: list[FileCheck]
    problems: list[Problem]


def complete_spec(dataset: Dataset, checks: list[FileCheck], expected: int | None) -> CompleteSpec:
    """Determine layout, channels and snippet grid from the files.

    `checks` has at least one file, and none with problems; `expected` are the model's channels.
    Raises FeatureError if the layout is unclear, dataset.toml contradicts most files, or the model
    has other channels.
    """
    given = dataset.spec
    if any(check.counter for check in checks) and given.layout != "CT":
        checks = _without_counters(checks, given.channels or expected)
    channels = given.channels or expected
    layout = given.layout or _vote(checks, channels)
    if layout is None:
        raise FeatureError(
            f"{dataset.path}: cannot tell whether features are (T, C) or (C, T): write "
            'dataset.toml with [features] channels = ..., or layout = "TC" or "CT"'
            f"{_other_problems(dataset)}"
        )
    axis = 1 if layout == "TC" else 0
    dropped = Counter(check.dropped for check in checks).most_common(1)[0][0]
    sizes = Counter(check.shape[axis] for check in checks)
    common = max(sorted(sizes), key=sizes.__getitem__)
    if given.channels is None and 2 * sizes[common] > len(checks):
        require_channels(dataset, common, expected, dropped)
    channels = channels or common
    if 2 * sizes[channels] < len(checks) and (len(checks) > 1 or len(dataset) == 1):
        shapes = [check.shape for check in checks]
        if what := spec_error(shapes, layout, channels, expected, given):
            raise FeatureError(f"{dataset.path / SPEC_FILE}: {what}")
    require_channels(dataset, channels, expected, dropped)
    spec = msgspec.structs.replace(given, channels=channels, layout=layout)
    good = [check for check in checks if check.shape[axis] == channels]
    bad = [check for check in checks if check.shape[axis] != channels]
    problems = [_misfit(dataset, check, axis, channels) for check in bad]
    if not good:
        return CompleteSpec(spec, [], good, problems)
    videos = dataset.videos.select(check.place for check in good)
    snippets = [check.snippets(spec) for check in good]
    if spec.stride_frames is not None or spec.stride_seconds is not None:
        has_frames = "feature_frames" in videos.given
        notes = stride_notes(videos, snippets, spec) if has_frames else []
        return CompleteSpec(spec, notes, good, problems)
    spec, note = infer_grid(videos, snippets, spec)
    return CompleteSpec(spec, [note], good, problems)


def _other_problems(dataset: Dataset) -> str:
    """Return the other problems, for a message that ends the command before they are reported."""
    kinds = Counter(f"{p.problem}: {p.remedy}" for p in dataset.problems if p.is_error)
    return "".join(f"; besides, {counted(n, 'file')}: {what}" for what, n in kinds.items())


def _without_counters(checks: list[FileCheck], channels: int | None) -> list[FileCheck]:
    """Return the checks without first columns of row numbers or times in files without a header.

    Such a column is not a feature if files have one column more than the known channels; times
    only if all files have them, since features can look like times by chance. If the number of
    channels is unknown, row numbers are dropped if all files have them.
    """

    def all_have(*counters: str) -> bool:  # and enough rows that this is no coincidence
        has = all(check.counter in counters for check in checks)
        return has and sum(check.shape[0] - 1 for check in checks) > 2

    if channels is None and not all_have(ROW_NUMBERS):
        return checks
    has_times = channels is not None and all_have(ROW_NUMBERS, TIMES)
    has_times = has_times and all(check.shape[1] - 1 == channels for check in checks)
    columns = (ROW_NUMBERS, TIMES) if has_times else (ROW_NUMBERS,)
    return [
        check._replace(shape=(check.shape[0], check.shape[1] - 1), dropped=check.counter)
        if check.counter in columns and channels in (None, check.shape[1] - 1)
        else check
        for check in checks
    ]


def require_channels(
    dataset: Dataset, channels: int | None, expected: int | None, dropped: str = ""
) -> None:
    """Raise FeatureError if a model expects another number of channels.

    `dropped` describes what was dropped from most files, for the message.
    """
    if expected is not None and expected != channels:
        without = f" without {dropped}" if dropped else ""
        raise FeatureError(
            f"{dataset.path}: features have {channels} channels{without}, but the model expects "
            f"{expected}; use a model that was trained on such features"
        )


def _vote(checks: Sequence[FileCheck], channels: int | None) -> Layout | None:
    """Return the layout in which most files have the known channels."""
    if all(check.is_csv for check in checks):
        return "TC"
    if channels is None:
        return None
    rows = sum(check.shape[1] == channels for check in checks)
    columns = sum(check.shape[0] == channels for check in checks)
    return "CT" if columns > rows else "TC"


def _misfit(dataset: Dataset, check: FileCheck, axis: int, channels: int) -> Problem:
    remedy = f"extract the features again, with the network that gives {channels} channels"
    what = f"{check.shape[axis]} channels, {channels} expected"
    if check.shape[1 - axis] == channels:
        what = f"axes swapped: shape {check.shape}, {channels} channels"
        remedy = "transpose the array"
    name = dataset.videos.ids[check.place]
    return Problem(name, str(dataset.entries[name]), what, remedy)


def spec_error(
    shapes: Sequence[tuple[int, ...]],
    layout: Layout,
    channels: int,
    expected: int | None,
    given: FeatureSpec,
) -> str:
    """Return what dataset.toml should say if it contradicts most files, or "".

    `layout` and `channels` are those assumed of the files, `expected` the channels of the model,
    and `given` is the content of dataset.toml.
    """
    axis = 1 if layout == "TC" else 0
    common = []
    for found in (axis, 1 - axis):
        size, count = Counter(shape[found] for shape in shapes).most_common(1)[0]
        if 2 * count > len(shapes):
            common.append((found, size, count))
    common.sort(key=lambda one: one[1] not in (channels, expected))  # explains more
    if not common or (given.layout is None and given.channels is None):
        return ""
    found, size, count = common[0]
    lines, given_text = [], []
    if given.layout is not None:
        given_text.append(f"layout {layout!r}")
    if given.channels is not None:
        given_text.append(f"{channels} channels")
        if size != channels:
            lines.append(f"channels = {size}")
    if found != axis:
        lines.append(f'layout = "{"TC" if found else "CT"}"')
    example = next(shape for shape in shapes if shape[found] == size)
    return (
        f"{SPEC_FILE} does not fit the features: it says {' and '.join(given_text)}, and "
        f"{count} of {counted(len(shapes), 'file')} have shapes such as {example}; write "
        f"{' and '.join(lines)} to {SPEC_FILE}"
    )
