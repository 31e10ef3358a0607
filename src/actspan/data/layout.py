"""Layout, channels and snippet grid of a dataset's features, determined from its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from actspan.config.stages import FeatureSpec
from actspan.core.errors import FeatureError
from actspan.core.problems import Problem
from actspan.core.wording import counted
from actspan.data.causes import wrong_spec
from actspan.data.csv_features import ROW_NUMBERS, TIMES
from actspan.data.dataset import Dataset
from actspan.data.spec_file import SPEC_FILE
from actspan.data.timebase import infer_grid, stride_notes


class Seen(NamedTuple):
    """Results of examining one feature file."""

    place: int  # place of its video
    shape: tuple[int, ...] = ()
    header: bool = False  # a CSV: rows are snippets, whatever the counts
    problem: Problem | None = None
    dropped: str = ""  # what was dropped from a CSV
    counter: str = ""  # a CSV: `csv_features.counter` of it
    constant: bool = False  # all values are the same


def settle_layout(
    dataset: Dataset, seen: list[Seen], expected: int | None
) -> tuple[FeatureSpec, list[Problem]]:
    """Return the spec with layout and channels, and a problem per file that does not fit."""
    spec = dataset.spec
    channels = spec.channels or expected
    layout = spec.layout or _vote(seen, channels)
    if layout is None:
        raise FeatureError(
            f"{dataset.path}: cannot tell whether features are (T, C) or (C, T): write "
            'dataset.toml with [features] channels = ..., or layout = "TC" or "CT"'
            f"{_besides(dataset)}"
        )
    axis = 1 if layout == "TC" else 0
    counts = [look.shape[axis] for look in seen]
    dropped = Counter(look.dropped for look in seen).most_common(1)[0][0]
    common = max(set(counts), key=counts.count)
    if spec.channels is None and 2 * counts.count(common) > len(counts):
        require_channels(dataset, common, expected, dropped)
    channels = channels or common
    is_telling = len(seen) > 1 or len(dataset) == 1
    shapes = [look.shape for look in seen if is_telling]
    if what := wrong_spec(shapes, layout, channels, expected, spec):
        raise FeatureError(f"{dataset.path / SPEC_FILE}: {what}")
    require_channels(dataset, channels, expected, dropped)
    settled = msgspec.structs.replace(spec, channels=channels, layout=layout)
    misfits = [look for look in seen if look.shape[axis] != channels]
    return settled, [_misfit(dataset, look, axis, channels) for look in misfits]


def _besides(dataset: Dataset) -> str:
    """Return the other problems, for a message that ends the command before they are reported."""
    kinds = Counter(f"{p.problem}: {p.remedy}" for p in dataset.problems if p.is_error)
    return "".join(f"; besides, {counted(n, 'file')}: {what}" for what, n in kinds.items())


def without_counters(seen: Sequence[Seen], spec: FeatureSpec, expected: int | None) -> list[Seen]:
    """Return the results without first columns of row numbers or times in files without a header.

    Such a column is not a feature if files have one column more than the known channels; times
    only if all files have them, since features can look like times by chance. If the number of
    channels is unknown, row numbers are dropped if all files have them.
    """
    channels = spec.channels or expected
    if spec.layout == "CT" or (channels is None and not _all_have(seen, ROW_NUMBERS)):
        return list(seen)
    has_times = channels is not None and _all_have(seen, ROW_NUMBERS, TIMES)
    has_times = has_times and all(look.shape[1] - 1 == channels for look in seen)
    columns = (ROW_NUMBERS, TIMES) if has_times else (ROW_NUMBERS,)
    return [
        look._replace(shape=(look.shape[0], look.shape[1] - 1), dropped=look.counter)
        if look.counter in columns and channels in (None, look.shape[1] - 1)
        else look
        for look in seen
    ]


def _all_have(seen: Sequence[Seen], *counters: str) -> bool:
    """Return whether all files have such a column, and enough rows that this is no coincidence."""
    has = all(look.counter in counters for look in seen)
    return has and sum(look.shape[0] - 1 for look in seen) > 2


def require_channels(
    dataset: Dataset, channels: int | None, expected: int | None, dropped: str = ""
) -> None:
    """Raise FeatureError if a model expects another number of channels.

    Parameters
    ----------
    dropped : str
        Description of what was dropped from most files, for the message.
    """
    if expected is not None and expected != channels:
        without = f" without {dropped}" if dropped else ""
        raise FeatureError(
            f"{dataset.path}: features have {channels} channels{without}, but the model expects "
            f"{expected}; use a model that was trained on such features"
        )


def _vote(seen: list[Seen], channels: int | None) -> Literal["TC", "CT"] | None:
    """Return the layout in which most files have the known channels."""
    if all(look.header for look in seen):
        return "TC"
    if channels is None:
        return None
    rows = sum(look.shape[1] == channels for look in seen)
    columns = sum(look.shape[0] == channels for look in seen)
    return "CT" if columns > rows else "TC"


def _misfit(dataset: Dataset, look: Seen, axis: int, channels: int) -> Problem:
    remedy = f"extract the features again, with the network that gives {channels} channels"
    what = f"{look.shape[axis]} channels, {channels} expected"
    if look.shape[1 - axis] == channels:
        what = f"axes swapped: shape {look.shape}, {channels} channels"
        remedy = "transpose the array"
    name = dataset.videos.ids[look.place]
    return Problem(name, str(dataset.entries[name]), what, remedy)


def settle_grid(
    dataset: Dataset, spec: FeatureSpec, seen: list[Seen]
) -> tuple[FeatureSpec, list[str]]:
    """Return the spec with the snippet grid that fits most videos, and notes about it."""
    videos = dataset.videos.select(look.place for look in seen)
    snippets = [snippets_of(look, spec) for look in seen]
    if spec.stride_frames is not None or spec.stride_seconds is not None or not seen:
        return spec, stride_notes(videos, snippets, spec)
    settled, note = infer_grid(videos, snippets, spec)
    return settled, [note]


def snippets_of(look: Seen, spec: FeatureSpec) -> int:
    """Return the number of snippets of a file."""
    return look.shape[1] if spec.layout == "CT" else look.shape[0]
