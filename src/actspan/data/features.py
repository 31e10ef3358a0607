"""Features of a dataset folder: their spec, the array of each video, and reading it.

CSV, npy, npz and HDF5 files are read as one array per video. Pickles are never loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import from_dict, read_toml
from actspan.config.stages import FeatureSpec
from actspan.core.errors import AnnotationError, DataError, FeatureError
from actspan.core.files import check_expansion, folder_kind
from actspan.core.problems import Problem, Skipped
from actspan.core.wording import counted, listed
from actspan.data.array_files import (
    CONTAINERS,
    feature_errors,
    map_npy,
    open_container,
    table_shape,
)
from actspan.data.array_names import (
    COMMON_FILES,
    READABLE,
    SUFFIXES,
    ArrayNames,
    list_arrays,
)
from actspan.data.names import (
    Ignored,
    advice,
    composed,
    composed_note,
    file_stem,
    holds_videos,
    is_video,
)
from actspan.data.store_manifest import Manifest
from actspan.data.timebase import SPEC_FILE
from actspan.data.videos import canonical_id

# Folders of features, relative to the dataset folder: ours first, then the authors' repository.
_FOLDERS = (
    "features",
    "csv_mean_100",
    "activitynet_feature_cuhk/csv_mean_100",
    "data/activitynet_feature_cuhk/csv_mean_100",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """The location of one video's array."""

    path: Path
    key: str | None = None  # its name inside a file of several arrays
    joined: tuple[str, ...] = ()  # arrays of the same file whose channels are appended
    axis: int = 1  # of the channels, along which arrays are joined

    def __str__(self) -> str:
        if self.key is None:
            return str(self.path)
        return f"{self.path}[{'+'.join((self.key, *self.joined))}]"


class Table(NamedTuple):
    """One video's array as it is in its file, and facts about it that only a CSV has."""

    values: NDArray[Any]  # (T, C) or (C, T) numbers, filled
    is_csv: bool = False  # rows are snippets, for any counts
    dropped: str = ""  # the header or column that was dropped
    first_column: str = ""  # what it may be instead of a feature: `csv_features.first_column`


def read_array(entry: Entry, *, mapped: bool = False) -> NDArray[Any]:
    """Return one video's array, two-dimensional and numeric; further axes of size 1 are dropped.

    With `mapped`, an npy file is mapped into memory instead, and only accessed parts are read.

    Raises
    ------
    FeatureError
        Empty, truncated, not numeric, pickled, or not two-dimensional; the message names the file.
    """
    return read_table(entry, mapped=mapped).values


def read_table(entry: Entry, *, mapped: bool) -> Table:
    """Return an array as `read_array` does, with facts about it."""
    facts: tuple[bool, str, str] = (False, "", "")
    with feature_errors(entry.path):
        if entry.key is not None:
            with open_container(entry.path) as file:
                arrays = []
                for key in (entry.key, *entry.joined):
                    arrays.append(file.read(key))
                    total = sum(array.size for array in arrays) * 4  # as float32
                    check_expansion(entry.path.stat().st_size, total)
        elif entry.path.suffix.lower() == ".csv":
            from actspan.data.csv_features import first_column, read_csv  # compiled: loads slowly

            table, dropped = read_csv(entry.path)
            arrays, facts = [table], (True, dropped, first_column(table))
        else:
            array = map_npy(entry.path)
            arrays = [array if mapped else np.array(array)]
    for place, array in enumerate(arrays):
        if array.ndim != 2 or 0 in array.shape:
            shape = table_shape(array.shape)
            if shape is None:
                what = f"shape {array.shape}, but a filled (T, C) array is needed"
                raise FeatureError(f"{entry}: {what}")
            arrays[place] = array.reshape(shape)
    if len(arrays) == 1:
        return Table(arrays[0], *facts)
    lengths = [array.shape[1 - entry.axis] for array in arrays]
    if len(set(lengths)) > 1:
        counts = ", ".join(map(str, lengths))
        raise FeatureError(f"{entry}: arrays of {counts} snippets cannot be joined")
    return Table(np.concatenate(arrays, axis=entry.axis))


def only_entry(path: Path, spec: FeatureSpec) -> Entry:
    """Return the place of the only features in a file; raise FeatureError if there are several."""
    if path.suffix.lower() not in CONTAINERS:
        return Entry(path)
    ignored = Ignored()
    names = ArrayNames({path: list_arrays(path, ignored)}, spec, None, ignored)
    found = list(names.videos_in(path, canonical_id(path.stem)))
    if len(found) > 1:
        videos = listed([video for video, _ in found])
        raise FeatureError(f"{path}: features of {len(found)} videos ({videos}): give one array")
    ((_, keys),) = found
    if isinstance(keys, FeatureError):
        raise keys
    axis = 0 if spec.layout == "CT" else 1
    return Entry(path, keys[0], tuple(keys[1:]), axis) if keys else Entry(path)


def read_spec(path: Path, packing: Manifest | None) -> FeatureSpec:
    """Return the spec of a dataset folder; for a store, channels and layout are known from packing.

    Raises DataError for an unknown table, and ConfigError for an unknown key or a bad value.
    """
    file = path / SPEC_FILE
    values = read_toml(file) if file.is_file() else {}
    if unknown := set(values) - {"features"}:
        names = ", ".join(sorted(unknown))
        if unknown <= set(FeatureSpec.__struct_fields__):
            raise DataError(f"{file}: write [features] above {names}")
        raise DataError(f"{file}: only the table [features] is known, not {names}")
    spec = from_dict(FeatureSpec, values.get("features", {}), where=f"{file} [features]")
    if packing is None:
        return spec
    return msgspec.structs.replace(spec, channels=packing.channels, layout="TC", join=None)


class FeatureIndex(NamedTuple):
    """The features of a folder."""

    entries: Mapping[str, Entry] = {}  # by video id
    problems: tuple[Problem, ...] = ()  # files that cannot be used, second features of a video
    notes: tuple[str, ...] = ()  # ignored files and arrays, and changed names


def index_features(
    path: Path, spec: FeatureSpec, known: Collection[str] | None = None
) -> FeatureIndex:
    """Return the features of a dataset folder by video id.

    `known` are the ids of the annotated videos, if any are annotated.
    """
    ignored, entries, problems = Ignored(), dict[str, Entry](), list[Problem]()
    place, files, unread, others = _list_files(path, ignored)
    arrays: dict[Path, list[str]] = {}  # names of the arrays in files of several
    for file in files:
        is_container = file.suffix.lower() in CONTAINERS
        try:
            arrays[file] = list_arrays(file, ignored) if is_container else []
        except FeatureError as error:
            problems.append(_refusal(canonical_id(file.stem), file, error))
    ids = {file: canonical_id(file.stem) for file in (*arrays, *unread)}
    containers = ArrayNames(arrays, spec, known, ignored)
    for file, names in arrays.items():
        if not names and ids[file] not in entries:
            entries[ids[file]] = Entry(file)
            continue
        for video, keys in containers.videos_in(file, ids[file]):
            problems += _add_entry(entries, video, file, keys, 0 if spec.layout == "CT" else 1)
    ignored.update(others)
    for file in unread:
        suffix = file.suffix or file.name
        if known is not None and ids[file] in known and ids[file] not in entries:
            problems.append(Problem(ids[file], str(file), f"{suffix} is not read", READABLE))
        else:
            ignored["files", suffix] += 1
    notes = list(ignored.notes(place)) if ignored else []
    if any(file.stem.removeprefix("v_") != video for file, video in ids.items()):
        notes += _renaming_notes(place, ids)
    if spec.join and all(entry.key is None for entry in entries.values()):
        notes.append(f"{place}: no file contains the arrays that dataset.toml joins")
    return FeatureIndex(entries, tuple(problems), tuple(notes))


def _list_files(
    path: Path, ignored: Ignored
) -> tuple[Path, list[Path], list[Path], list[tuple[str, str]]]:
    """Return where the features of a dataset are, their files, files that are not read, and others.

    The others are places that are not searched, by kind and name. Folders are added to `ignored`.
    """
    folders = [name for name in _FOLDERS if (path / name).is_dir()]
    place = path / folders[0] if folders else path
    files: list[Path] = []
    unread: list[Path] = []
    if not folders:
        files = [path / name for name in COMMON_FILES if (path / name).is_file()]
    for file in sorted(place.iterdir()) if folders else ():
        if file.name.startswith("."):
            continue
        if file.is_dir():
            ignored["folders", file.name] += 1
        else:
            (files if file.suffix.lower() in SUFFIXES else unread).append(file)
    others = [("folders", name) for name in folders[1:]]
    for file in sorted(path.glob("features.*")):
        if file.is_file() and file not in files:
            is_read = file.suffix.lower() in SUFFIXES
            others.append(("files", file.name if is_read else file.suffix))
    return place, files, unread, others


def _add_entry(
    entries: dict[str, Entry], video: str, file: Path, keys: list[str] | FeatureError, axis: int
) -> list[Problem]:
    """Add a video's features: a file, or arrays of it; return the problem if that is impossible."""
    if isinstance(keys, FeatureError):
        return [_refusal(video, file, keys)]
    entry = Entry(file, keys[0], tuple(keys[1:]), axis) if keys else Entry(file)
    first = entries.setdefault(video, entry)
    if first is entry:
        return []
    what = f"second features for this video, beside {first}"
    return [Problem(video, str(entry), what, "keep one of the two", Skipped.FILE)]


def _refusal(video: str, file: Path, error: FeatureError) -> Problem:
    """Return the problem that a video's features cannot be used: "FILE: what; remedy"."""
    what, _, remedy = str(error).removeprefix(f"{file}: ").partition("; ")
    return Problem(video, str(file), what, remedy or "replace the file, or remove it")


def _renaming_notes(place: Path, files: Iterable[Path]) -> Iterator[str]:
    """Yield notes about file names whose id is not simply their stem."""
    stems = {file.name: file_stem(file.stem) for file in files}
    if renamed := [name for name, stem in stems.items() if stem != Path(name).stem]:
        dropped = f"{counted(len(renamed), 'file name')} ({listed(renamed)})"
        yield f"{place}: the suffix of a video was dropped from {dropped}"
    if changed := sum(composed(stem) != stem for stem in stems.values()):
        yield composed_note(place, changed)


def not_a_folder(path: Path) -> DataError:
    """Return an error that says what a path is that should be a dataset folder."""
    if path.is_file() and is_video(path):
        return DataError(f"{path}: a video, not a dataset; {advice(path)}")
    if path.exists():
        return DataError(f"{path}: a file; give the dataset folder: {path.parent}")
    return DataError(
        f"{path}: does not exist; a dataset folder is needed, with features/ and annotations.json"
    )


def not_a_dataset(path: Path, index: FeatureIndex) -> DataError:
    """Return an error that says what a folder without annotations and features is."""
    if holds_videos(path):
        return DataError(f"{path}: contains videos and no features; {advice(path)}")
    kind = folder_kind(path)
    if kind and not (index.problems or index.notes):  # those say more
        return DataError(
            f"{path}{kind} is not a dataset: it contains no annotations and no features"
        )
    if any(file.suffix.lower() in SUFFIXES for file in path.iterdir()):
        return DataError(
            f"{path}: contains files of features, not a dataset; give the dataset folder, with "
            f"these in features/: {path.parent}"
        )
    refused = [f"{p.file}: {p.problem}: {p.remedy}" for p in index.problems[:1]]
    return AnnotationError(
        f"{path}: contains no annotations (annotations.json, or anet_anno_action.json) and no "
        f"features (features/){''.join(f'; {reason}' for reason in (*refused, *index.notes))}"
    )
