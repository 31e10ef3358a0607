"""Packing: features of all videos of a dataset in a few Arrow files, read without copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import get_args

import msgspec

from actspan.config.base import dump_toml, to_dict
from actspan.config.stages import Edge
from actspan.core.errors import ConfigError, StoreError
from actspan.core.files import atomic_file, atomic_folder, folder_name_error
from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem, Skipped
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Features, Video
from actspan.data.annotations.activitynet import AUTHORS_TABLE
from actspan.data.annotations.formats import find_annotations
from actspan.data.check import check_dataset
from actspan.data.data_requests import PackRequest
from actspan.data.dataset import Dataset
from actspan.data.rescale import fit_to_cells
from actspan.data.store.arrow_files import Row, write_shards
from actspan.data.store.store_manifest import MANIFEST, DType, Manifest
from actspan.data.timebase import SPEC_FILE, SnippetGrid


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
        The request is invalid, the target exists, or a part cannot be read.
    """
    _check_request(request)
    found = _with_bad_ids(Dataset.load(request.dataset).subset(request.subset))
    before = found.packing
    length, edge = _cells(request, found)
    dataset = check_dataset(
        found, dtype=request.dtype, on_error=request.on_error, progress=progress
    )
    assert dataset.spec.channels is not None  # determined by the check
    manifest = Manifest(
        dtype=request.dtype,
        channels=dataset.spec.channels,
        length=length,
        # Without the notes that reading annotations gives again.
        notes=(*(before.notes if before else ()), *dataset.notes[len(found.notes) :]),
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
            stream.write(dump_toml({"features": to_dict(spec)}).encode())
        rows = _Rows(dataset, manifest, edge, progress)
        shards = write_shards(folder, manifest, rows, shard_size=request.shard_size)
        is_rescaled = rows.rescaled or (before is not None and before.edge is not None)
        manifest = msgspec.structs.replace(
            manifest, edge=edge if is_rescaled else None, shards=shards
        )
        manifest.save(folder)
    return PackSummary(request.out, manifest, rows.rescaled, dataset.problems, dataset.notes)


def _check_request(request: PackRequest) -> None:
    if request.dtype not in get_args(DType):
        raise ConfigError(f"dtype {request.dtype!r} is not known: {' or '.join(get_args(DType))}")
    if request.edge is not None and request.length is None:
        raise ConfigError("edge says how videos are rescaled: give the length in cells with it")
    out = request.out
    if fault := folder_name_error(out, "a store"):
        raise StoreError(fault)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise StoreError(f"{out}: exists and is not a store, so it is left alone: choose another")
    if not request.overwrite:
        raise StoreError(f"{out}: there is a store already: choose another folder, or use --force")


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
    what, remedy = "its id is no valid text (UTF-8)", "rename the video"
    bad = (video.id for video in dataset.videos if not _is_text(video.id))
    problems = [Problem(name, str(dataset.path), what, remedy) for name in bad]
    return replace(dataset, problems=(*dataset.problems, *problems))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _copy_annotations(source: Path, folder: Path) -> None:
    """Copy annotations unchanged, so that evaluation gives the same results."""
    annotations = find_annotations(source)
    if annotations is None:
        return
    for file in (annotations, annotations.with_name(AUTHORS_TABLE)):
        if file.is_file():
            with atomic_file(folder / file.name) as stream:
                stream.write(file.read_bytes())


class _Rows:
    """Rows to write, iterated once: videos are read, and rescaled if requested."""

    def __init__(
        self, dataset: Dataset, manifest: Manifest, edge: Edge, progress: Progress
    ) -> None:
        self._dataset, self._manifest, self._edge = dataset, manifest, edge
        self._progress = progress
        self.rescaled = 0  # number of videos

    def __iter__(self) -> Iterator[Row]:
        # Videos of a subset are stored together, so that reading one subset is sequential.
        videos = sorted(self._dataset.videos, key=attrgetter("subset"))
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as pool:
            rows = map_ordered(pool, self._row, videos, ahead=2 * workers)
            for done, (row, is_rescaled) in enumerate(rows, start=1):
                yield row
                self.rescaled += is_rescaled
                self._progress("pack", done, len(videos))

    def _row(self, video: Video) -> tuple[Row, bool]:
        features, length = self._dataset.read(video.id), self._manifest.length
        is_rescaled = length is not None and length != len(features)
        if length is not None and is_rescaled:
            # The cells that the pipeline would compute, with the same seconds at position 1.0.
            cells, stride = fit_to_cells(features, length, self._edge), features.span / length
            features = Features(cells, stride, stride, features.seconds)
        values = features.values.astype(self._manifest.dtype, copy=False)
        grid = SnippetGrid(features.stride, features.length, features.output_span)
        return Row(video.id, values, grid), is_rescaled
