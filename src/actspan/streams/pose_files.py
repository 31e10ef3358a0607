"""Pose files: DeepLabCut CSV and HDF5, and SLEAP analysis HDF5, without pandas and pickles."""

from __future__ import annotations

import math
import pickletools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actspan.core.errors import VideoError, require, require_installed
from actspan.core.files import check_size
from actspan.core.limits import DOCUMENT
from actspan.core.types import Float64
from actspan.core.wording import counted, listed
from actspan.data.array_files import check_dataset

_HEADER = 65_536  # bytes of a header line of a CSV file
_WIDTH = 8  # bytes of a coordinate as it is used, float64
_MOST_TEXTS, _LONGEST_TEXTS = 10_000, 1 << 20  # names of joints or tracks, and their bytes
_AS_CSV = "give the CSV file of the same analysis"
Names = tuple[str, ...]  # of a column: scorer, (individual,) joint, coordinate


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Points of one animal or person in every frame of a video.

    Attributes
    ----------
    joints : tuple of str
    points : (n, J, 2) float64
        Pixels; NaN is missing.
    likelihood : (n, J) float64, optional
    note : str
        What was left out: further animals; "" if nothing was.
    """

    joints: tuple[str, ...]
    points: Float64
    likelihood: Float64 | None
    note: str = ""


def read_pose(path: Path) -> Pose:
    """Read a pose file; raise VideoError if it is missing, damaged, or of another form."""
    require_installed("pyarrow", extra="arrow", purpose="reading a pose")
    import pyarrow as pa

    try:
        check_size(path, DOCUMENT)
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
        return _read_hdf5(path)
    except FileNotFoundError as error:
        raise VideoError(f"{path}: no such file") from error
    except (OSError, ValueError, KeyError, RuntimeError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise VideoError(f"{path}: cannot be read as a pose: {reason}") from error


def _read_csv(path: Path) -> Pose:
    """Read a CSV file of DeepLabCut: header rows scorer, (individuals), bodyparts, coords."""
    import pyarrow as pa
    from pyarrow import csv

    rows: dict[str, list[str]] = {}
    with path.open("rb") as stream:
        for _ in range(4):
            cells = stream.readline(_HEADER).decode("utf-8-sig").rstrip("\r\n").split(",")
            rows[cells[0].lower()] = cells[1:]
            if "coords" in rows:
                break
    if not {"scorer", "bodyparts", "coords"} <= rows.keys():
        raise ValueError("no header rows scorer, bodyparts, coords, as DeepLabCut writes them")
    if len({len(cells) for cells in rows.values()}) > 1:
        raise ValueError("its header rows have different lengths")
    names = list(zip(*rows.values(), strict=True))
    columns = [f"f{i + 1}" for i in range(len(names))]  # f0 is the frame
    table = csv.read_csv(
        str(path),
        read_options=csv.ReadOptions(skip_rows=len(rows), autogenerate_column_names=True),
        convert_options=csv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(columns, pa.float64())
        ),
    )
    values = np.empty((table.num_rows, len(names)))
    for i, column in enumerate(table.columns):
        filled = column.combine_chunks().fill_null(float("nan"))
        values[:, i] = np.from_dlpack(filled)
    return _of_columns(names, values)


def _of_columns(names: Sequence[Names], values: Float64) -> Pose:
    """Return the animal with the most points of a table with a column per coordinate, (n, 3 J)."""
    animals: dict[str, dict[str, dict[str, int]]] = {}
    for place, (_, *animal, joint, coordinate) in enumerate(names):
        joints = animals.setdefault("".join(animal), {})
        joints.setdefault(joint, {})[coordinate] = place
    counts = {
        name: sum(int(np.isfinite(values[:, c["x"]]).sum()) for c in joints.values() if "x" in c)
        for name, joints in animals.items()
    }
    chosen = max(counts, key=lambda name: counts[name])
    found = {name: c for name, c in animals[chosen].items() if {"x", "y"} <= set(c)}
    if not found:
        raise ValueError("no joint has columns x and y")
    points = np.stack([values[:, [c["x"], c["y"]]] for c in found.values()], axis=1)
    has_likelihood = all("likelihood" in c for c in found.values())
    likelihood = values[:, [c["likelihood"] for c in found.values()]] if has_likelihood else None
    return Pose(
        tuple(found), points, likelihood, _others_note([name for name in animals if name != chosen])
    )


def _others_note(others: Sequence[str]) -> str:
    if not others:
        return ""
    return f"{counted(len(others), 'further animal')} left out: {listed(others)}"


def _read_hdf5(path: Path) -> Pose:
    h5py = require("h5py", extra="hdf5", purpose=f"reading {path.name}")
    with h5py.File(path, "r") as file:
        if "tracks" in file and "node_names" in file:
            return _read_sleap(file)
        for name in file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                continue  # it may lead to another file
            group = file[name]
            if not isinstance(group, h5py.Group):
                continue
            if "block0_values" in group:
                return _of_columns(_fixed_names(group), _plain(group["block0_values"]))
            if "table" in group:
                names = _table_names(group["table"])
                return _of_columns(names, _plain(group["table"], "values_block_0"))
    raise ValueError("neither a SLEAP analysis file (tracks) nor one of DeepLabCut")


def _plain(dataset: Any, field: str | None = None) -> Any:
    """Read a data set of numbers, after its size is compared with the file's."""
    shape = dataset.dtype[field].shape if field else ()
    _check(dataset, dataset.size * math.prod(shape))
    array = dataset[field] if field else dataset[()]
    if array.dtype.kind not in "fiu" or array.ndim < 2:
        raise ValueError(f"{dataset.name} contains no table of numbers")
    return array.astype(np.float64)


def _check(dataset: Any, count: int) -> None:
    """Raise ValueError if `count` values of a data set cannot be what is in the file."""
    width = max(dataset.dtype.itemsize, _WIDTH)
    check_dataset(dataset, dataset.file.id.get_filesize(), count * width)


def _texts(dataset: Any) -> list[str]:
    """Read texts one after another: each may refer to the same long one."""
    _check(dataset, dataset.size)
    if dataset.ndim != 1 or dataset.size > _MOST_TEXTS:
        raise ValueError(f"{dataset.name} is not a list of at most {_MOST_TEXTS:,} texts")
    texts, length = [], 0
    for text in dataset:
        texts.append(text.decode() if isinstance(text, bytes) else str(text))
        length += len(texts[-1])
        if length > _LONGEST_TEXTS:
            raise ValueError(f"the texts of {dataset.name} have more than {_LONGEST_TEXTS:,} bytes")
    return texts


def _fixed_names(group: Any) -> list[Names]:
    """Return the names of the columns in pandas' fixed format: labels are numbers of levels."""
    levels = int(group.attrs["block0_items_nlevels"])
    columns = []
    for level in range(levels):
        texts = _texts(group[f"block0_items_level{level}"])
        label = group[f"block0_items_label{level}"]
        _check(label, label.size)
        labels = np.asarray(label[()]).tolist()
        if any(not 0 <= label < len(texts) for label in labels):
            raise ValueError("the names of its columns are damaged")
        columns.append([texts[label] for label in labels])
    return list(zip(*columns, strict=True))


def _table_names(table: Any) -> list[Names]:
    """Return the names of the columns in pandas' table format, which are in a pickle.

    The pickle is not run: only lists and tuples of texts are read.
    """
    written = table.attrs["values_block_0_kind"]
    if not isinstance(written, bytes | np.void):
        raise ValueError("the names of its columns are damaged")
    names = texts_in_pickle(written if isinstance(written, bytes) else written.tobytes())
    widths = {len(name) for name in names if isinstance(name, tuple)}
    is_whole = all(isinstance(name, tuple) for name in names) and len(widths) == 1
    if not is_whole or len(names) != table.dtype["values_block_0"].shape[0]:
        raise ValueError(f"the names of its columns cannot be read; {_AS_CSV}")
    return names


def texts_in_pickle(data: bytes) -> list[Any]:
    """Return a list of texts, or of tuples of them, that was pickled with protocol 0.

    Nothing is called or imported. Raises ValueError for any other content.

    Examples
    --------
    >>> import pickle
    >>> texts_in_pickle(pickle.dumps([("a", "x"), ("a", "y")], protocol=0))
    [('a', 'x'), ('a', 'y')]
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    with suppress(IndexError, KeyError):
        for operation, argument, _ in pickletools.genops(data):
            match operation.name:
                case "MARK":
                    marks.append(len(stack))
                case "UNICODE":
                    stack.append(argument)
                case "PUT":
                    memo[argument] = stack[-1]
                case "GET":
                    stack.append(memo[argument])
                case "LIST" | "TUPLE":
                    begin = marks.pop()
                    items = stack[begin:]
                    stack[begin:] = [items if operation.name == "LIST" else tuple(items)]
                case "APPEND":
                    item = stack.pop()
                    if isinstance(item, list):
                        break
                    stack[-1].append(item)
                case "STOP" if len(stack) == 1 and isinstance(stack[0], list):
                    return stack[0]
                case _:
                    break
    raise ValueError(f"the names of its columns cannot be read; {_AS_CSV}")


def _read_sleap(file: Any) -> Pose:
    """Read an analysis file of SLEAP, one track at a time: tracks (tracks, 2, joints, frames)."""
    tracks, joints = file["tracks"], _texts(file["node_names"])
    shape = tracks.shape
    if tracks.dtype.kind != "f" or len(shape) != 4 or shape[1:3] != (2, len(joints)) or 0 in shape:
        raise ValueError(f"tracks have shape {shape}, not (tracks, 2, joints, frames)")
    count = shape[0]
    _check(tracks, tracks.size // count)
    names = _texts(file["track_names"]) if "track_names" in file else []
    names = names if len(names) == count else [f"track {i}" for i in range(count)]
    chosen = int(np.argmax([np.isfinite(tracks[i]).sum() for i in range(count)]))
    points = tracks[chosen].astype(np.float64).transpose(2, 1, 0)  # (frames, joints, 2)
    likelihood = None
    if "point_scores" in file:
        scores = file["point_scores"]  # (tracks, joints, frames)
        if scores.shape == (count, len(joints), len(points)) and scores.dtype.kind == "f":
            _check(scores, scores.size // count)
            likelihood = scores[chosen].astype(np.float64).T
    others = [name for i, name in enumerate(names) if i != chosen]
    return Pose(tuple(joints), points, likelihood, _others_note(others))
