"""Packing: features of all videos of a dataset in a few Arrow files, read without copies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from actspan.config.base import dump_toml
from actspan.config.stages import DType, Edge
from actspan.core.errors import ConfigError, StoreError, require_installed
from actspan.core.files import atomic_file, folder_name_error, sha256
from actspan.core.folders import atomic_folder, is_free, locked_folder
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Features, Video
from actspan.data.annotations.activitynet import AUTHORS_TABLE
from actspan.data.annotations.formats import find_annotations
from actspan.data.cells import fit_to_cells
from actspan.data.check import check_dataset
from actspan.data.data_requests import PackRequest
from actspan.data.dataset import Dataset
from actspan.data.shards import schema_of
from actspan.data.store_manifest import MANIFEST, Manifest, ShardRecord, shard_path
from actspan.data.timebase import SPEC_FILE, SnippetGrid

_BATCH = 2**24  # bytes of features per record batch, which are in memory before they are written


@dataclass(frozen=True, slots=True)
class PackSummary:
    """Results of packing: the manifest, rescaled videos, skipped data, and notes."""

    out: Path
    manifest: Manifest
    rescaled: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def pack_dataset(request: PackRequest, progress: Progress = no_progress) -> PackSummary:
    """Write a store, which is itself a dataset; it appears only when it is complete.

    Raises
    ------
    DatasetError
        The dataset has problems, or values too large for float16, and `on_error` is "fail".
    StoreError, ConfigError, DataError
        The request is invalid, the target exists or is being written, or a part cannot be read.
    """
    _check_request(request)
    with locked_folder(request.out):
        _check_target(request)
        return _pack(request, progress)


def _pack(request: PackRequest, progress: Progress) -> PackSummary:
    loaded = _with_bad_ids(Dataset.load(request.dataset).subset(request.subset))
    before = loaded.packing
    length, edge = _cells(request, loaded)
    dataset = check_dataset(
        loaded, dtype=request.dtype, on_error=request.on_error, progress=progress
    )
    assert dataset.spec.channels is not None  # determined by the check
    manifest = Manifest(
        dtype=request.dtype,
        channels=dataset.spec.channels,
        length=length,
        # Without the notes that reading annotations gives again.
        notes=(*(before.notes if before else ()), *dataset.notes[len(loaded.notes) :]),
        left_out={
            problem.video: problem.problem
            for problem in dataset.problems
            if problem.skipped is Skipped.VIDEO and _is_text(problem.video)
        },
    )
    with atomic_folder(request.out) as folder:
        _copy_annotations(request.dataset, folder)
        spec = msgspec.structs.replace(dataset.spec, layout="TC", join=None)
        with atomic_file(folder / SPEC_FILE) as stream:
            stream.write(dump_toml({"features": spec}).encode())
        rescaled: list[str] = []
        rows = _read_rows(dataset, manifest, edge, rescaled, progress)
        shards = write_shards(folder, manifest, rows, shard_size=request.shard_size)
        is_rescaled = rescaled or (before is not None and before.edge is not None)
        manifest = msgspec.structs.replace(
            manifest, edge=edge if is_rescaled else None, shards=shards
        )
        manifest.save(folder)
    return PackSummary(request.out, manifest, len(rescaled), dataset.problems, dataset.notes)


def _check_request(request: PackRequest) -> None:
    require_installed("pyarrow", extra="arrow", purpose="a packed store")
    if request.dtype not in get_args(DType):
        raise ConfigError(f"dtype {request.dtype!r} is not known: {' or '.join(get_args(DType))}")
    if request.edge is not None and request.length is None:
        raise ConfigError("edge says how videos are rescaled: give the length in cells with it")
    _check_target(request)


def _check_target(request: PackRequest) -> None:
    out = request.out
    if fault := folder_name_error(out, "a store"):
        raise StoreError(fault)
    if is_free(out):
        return
    if not (out / MANIFEST).is_file():
        raise StoreError(f"{out}: already exists and is not a store: choose another folder")
    if not request.overwrite:
        raise StoreError(f"{out}: a store already exists: choose another folder, or use --force")


def _cells(request: PackRequest, dataset: Dataset) -> tuple[int | None, Edge]:
    """Return the number of cells for rescaling, and its edge; features are never rescaled twice."""
    length, edge, before = request.length, request.edge or dataset.edge, dataset.packing
    if before is None or before.edge is None:
        return length, edge
    if length in (None, before.length) and edge == before.edge:
        return before.length, edge
    raise StoreError(
        f"{dataset.path}: its videos were rescaled to {before.length} cells (edge "
        f"{before.edge!r}) already: pack the dataset that it was made of"
    )


def _with_bad_ids(dataset: Dataset) -> Dataset:
    """Return the dataset with a problem per video whose id is not valid text."""
    what, remedy = "its id is not valid text (UTF-8)", "rename the video"
    bad = (video.id for video in dataset.videos if not _is_text(video.id))
    problems = [Problem(name, str(dataset.path), what, remedy) for name in bad]
    return replace(dataset, problems=(*dataset.problems, *problems))


def _is_text(name: str) -> bool:
    return name == name.encode(errors="ignore").decode()


def _copy_annotations(source: Path, folder: Path) -> None:
    """Copy annotations unchanged, so that evaluation gives the same results."""
    annotations = find_annotations(source)
    if annotations is None:
        return
    for file in (annotations, annotations.with_name(AUTHORS_TABLE)):
        if file.is_file():
            with atomic_file(folder / file.name) as stream:
                stream.write(file.read_bytes())


def _read_rows(
    dataset: Dataset, manifest: Manifest, edge: Edge, rescaled: list[str], progress: Progress
) -> Iterator[Row]:
    """Yield the rows to write; ids of videos that are rescaled are added to `rescaled`."""

    def read(video: Video) -> Row:
        features, length = dataset.read(video.id), manifest.length
        if length is not None and length != len(features):
            rescaled.append(video.id)
            # The cells that the pipeline would compute, with the same seconds at position 1.0.
            cells, stride = fit_to_cells(features, length, edge), features.span / length
            features = Features(cells, stride, stride, features.seconds)
        values = features.values.astype(manifest.dtype, copy=False)
        grid = SnippetGrid(features.stride, features.length, features.output_span)
        return Row(video.id, values, grid)

    # Videos of a subset are stored together, so that reading one subset is sequential.
    videos, workers = sorted(dataset.videos, key=attrgetter("subset")), os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for done, row in enumerate(map_ordered(pool, read, videos, ahead=2 * workers), start=1):
            yield row
            progress("pack", done, len(videos))


class Row(NamedTuple):
    """One video: its features, (n, C) of the store's type, and its snippet grid."""

    video: str
    values: NDArray[Any]
    grid: SnippetGrid


def write_shards(
    folder: Path, manifest: Manifest, rows: Iterable[Row], *, shard_size: int
) -> tuple[ShardRecord, ...]:
    """Write as many shards as the videos need, in constant memory.

    Parameters
    ----------
    manifest : Manifest
        Required properties of the shards; its own records are ignored.
    shard_size : int
        Bytes of features per shard; a larger video gets a separate shard.
    """
    schema = schema_of(manifest)
    shards = groupby(rows, _Cut(shard_size))
    return tuple(_write(shard_path(folder, number), schema, shard) for number, shard in shards)


class _Cut:
    """Return the group number of a row; groups have at most `limit` bytes, or one row."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = self._number = 0

    def __call__(self, row: Row) -> int:
        if self._size and self._size + row.values.nbytes > self._limit:
            self._size, self._number = 0, self._number + 1
        self._size += row.values.nbytes
        return self._number


def _write(path: Path, schema: Any, rows: Iterable[Row]) -> ShardRecord:
    import pyarrow as pa

    videos = 0
    with atomic_file(path) as stream, pa.ipc.new_file(stream, schema) as writer:
        for _, group in groupby(rows, _Cut(_BATCH)):
            batch = list(group)
            writer.write_batch(_record_batch(batch, schema))
            videos += len(batch)
    return ShardRecord(videos=videos, size=path.stat().st_size, sha256=sha256(path))


def _record_batch(rows: Sequence[Row], schema: Any) -> Any:
    import pyarrow as pa

    videos, values, grids = zip(*rows, strict=True)
    columns = list(zip(*grids, strict=True))[:3]  # `covered` follows from the annotations
    seconds = [pa.array(np.array(column, np.float64)) for column in columns]  # None becomes NaN
    features = _features(values, schema.field("features").type)
    return pa.record_batch([pa.array(videos, pa.string()), *seconds, features], schema=schema)


def _features(values: Sequence[NDArray[Any]], kind: Any) -> Any:
    import pyarrow as pa

    flat = pa.array(np.concatenate(values, axis=None))
    if isinstance(kind, pa.FixedShapeTensorType):
        storage = pa.FixedSizeListArray.from_arrays(flat, kind.storage_type.list_size)
        return pa.ExtensionArray.from_storage(kind, storage)
    bounds = np.cumsum([0, *map(len, values)]).astype(np.int32)
    rows = pa.FixedSizeListArray.from_arrays(flat, values[0].shape[1])
    return pa.ListArray.from_arrays(pa.array(bounds), rows)
