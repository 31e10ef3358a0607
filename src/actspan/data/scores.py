"""Boundary scores on disk: `scores.npz`, or a folder of TEM result CSVs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ResultError, ShapeError
from actspan.core.files import atomic_file, folder_kind, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.core.types import BoundaryScores, Float32
from actspan.core.wording import rounded
from actspan.data.array_files import Archive, ContentError
from actspan.data.csv_numbers import read_columns
from actspan.data.names import Ignored
from actspan.data.videos import canonical_id

_COLUMNS = ("action", "start", "end")
_ROUNDING = 1e-3  # rounding error of numbers written by other tools


class ScoreFiles:
    """Boundary scores of many videos, read one at a time; a context manager that closes the file.

    `path` is an `.npz` with an array (3, T) per video, a run folder, or a folder with one TEM
    result CSV per video (columns action, start, end; others are ignored). Raises ResultError if it
    is none of these, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        archive = path / "scores.npz" if (path / "scores.npz").is_file() else path
        self._archive: Archive | None = None
        if archive.is_dir():
            self._names = {canonical_id(f.stem): f.name for f in sorted(archive.glob("*.csv"))}
        else:
            try:
                self._archive = Archive(archive)
            except (OSError, ValueError) as error:
                what = "not an npz archive of boundary scores"
                raise ResultError(f"{archive}: {what}: {error}") from error
            self._names = {canonical_id(name): name for name in self._archive.names(Ignored())}
        if not self._names:
            raise ResultError(
                f"{path}{folder_kind(path)}: contains no boundary scores: no CSV, or an empty npz"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive, if it is one."""
        if self._archive is not None:
            self._archive.close()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the videos, without a leading `v_`."""
        return tuple(self._names)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._names

    def read(self, video_id: str) -> BoundaryScores:
        """Read the scores of one video.

        Raises ResultError if they are missing, damaged, not (3, T), not finite, or not in [0, 1].
        """
        if video_id not in self._names:
            raise ResultError(f"{self.path}: no boundary scores for video {video_id!r}")
        try:
            name = self._names[video_id]
            if self._archive is None:
                scores = read_scores_csv(self.path / name)
            else:
                scores = BoundaryScores.from_array(self._archive.read(name))
            values = np.asarray(scores)
            low, high = float(values.min()), float(values.max())
            if low < -_ROUNDING or high > 1 + _ROUNDING:
                raise ValueError(f"values from {rounded(low)} to {rounded(high)}, not in [0, 1]")
        except (ShapeError, OSError, ValueError) as error:
            raise ResultError(f"{self.path}: scores of {video_id!r}: {error}") from error
        return scores


def read_scores_csv(path: Path) -> BoundaryScores:
    """Read a TEM result: a CSV with the columns action, start and end.

    Raises ValueError if it is damaged, lacks a column, or its values are not boundary scores.
    """
    return BoundaryScores.from_array(read_cells_csv(path))


def read_cells_csv(path: Path, learnt: Sequence[str] = ()) -> Float32:
    """Read action, start and end of a TEM result, and more of its columns: (3 + columns, T).

    Raises ValueError if it is damaged, or lacks a column.
    """
    names = (*_COLUMNS, *learnt)
    try:
        columns = read_columns(read_bytes(path, DOCUMENT), names)
        return np.stack([column.astype(np.float32) for column in columns])
    except (ContentError, KeyError) as error:
        raise ValueError(f"{path.name}: columns {', '.join(names)} are needed: {error}") from error


@contextmanager
def open_score_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open `scores.npz` for `add_scores`; it appears only if the block succeeds."""
    with (
        atomic_file(path) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive,
    ):
        yield archive


def add_scores(archive: zipfile.ZipFile, video_id: str, scores: NDArray[np.float32]) -> None:
    """Append one video's scores, (3, T), to an archive."""
    info = zipfile.ZipInfo(f"{video_id}.npy")  # fixed date: equal input, equal bytes
    with archive.open(info, "w") as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(scores), allow_pickle=False)
