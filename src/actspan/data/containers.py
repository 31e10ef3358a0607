"""Selection of a video's features among several arrays in one file (npz, HDF5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from actspan.config.stages import FeatureSpec
from actspan.core.wording import listed
from actspan.data.annotations.base import canonical_id
from actspan.data.readers import SUFFIXES, feature_shapes

READ = f"write {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
_NAMED = 6  # arrays of a file that a message lists


class Refusal(NamedTuple):
    """The reason why a file's arrays cannot be used, and a remedy."""

    problem: str
    remedy: str


def channel_axis(spec: FeatureSpec) -> int:
    """Return the axis of the channels, along which arrays are joined."""
    return 0 if spec.layout == "CT" else 1


def names_of(video: str, arrays: Iterable[str]) -> dict[str, str]:
    """Return short names of a video's arrays: the last part of each path that is not its id.

    Examples
    --------
    >>> names_of("a", ["rgb/v_a", "flow/v_a"])
    {'rgb/v_a': 'rgb', 'flow/v_a': 'flow'}
    """
    parts = {a: [p for p in a.split("/") if canonical_id(p) != video] or [a] for a in arrays}
    short = {array: names[-1] for array, names in parts.items()}
    if len(set(short.values())) == len(short):
        return short
    return {array: "/".join(names) for array, names in parts.items()}


def choose(file: Path, names: Mapping[str, str], spec: FeatureSpec) -> list[str] | Refusal:
    """Return the only array of a video that can be features, or those that are joined.

    Parameters
    ----------
    names : mapping of array to its short name
        Arrays of one video.
    spec : FeatureSpec
        Its `join` names the arrays; otherwise its `channels` select among several.

    Raises
    ------
    FeatureError
        The file is damaged.
    """
    if spec.join:
        return _joined(names, spec.join)
    if len(names) == 1:
        return list(names)
    shapes, axis = feature_shapes(file, names), channel_axis(spec)
    if not shapes:
        return Refusal(f"none of its {len(names)} arrays is a filled (T, C) array", READ)
    fitting = [array for array, shape in shapes.items() if shape[axis] == spec.channels]
    if len(shapes) == 1 or len(fitting) == 1:
        return fitting or list(shapes)
    return _one_of({names[array]: shape for array, shape in shapes.items()}, 1 - axis)


def _joined(names: Mapping[str, str], join: Iterable[str]) -> list[str] | Refusal:
    places = {name: array for array, name in names.items()}
    missing = [name for name in join if name not in places]
    if missing:
        return Refusal(
            f"holds no array {', '.join(missing)}, only {listed(sorted(places), _NAMED)}",
            "correct join in dataset.toml, or write the file again",
        )
    return [places[name] for name in join]


def _one_of(shapes: Mapping[str, tuple[int, ...]], axis: int) -> Refusal:
    """Refuse several arrays of a video; suggest joining them if they have equally many snippets."""
    first, *_ = names = [f'"{name}"' for name in shapes]
    if len({shape[axis] for shape in shapes.values()}) == 1:
        held, join = list(shapes), f"join them: [features] join = [{', '.join(names[:_NAMED])}]"
    else:
        held = [f"{name} {shape}" for name, shape in shapes.items()]
        join = f"choose it: [features] join = [{first}]"
    return Refusal(
        f"holds {len(names)} arrays ({listed(held, _NAMED)}), one per video is needed",
        f"keep one, or {join} in dataset.toml",
    )
