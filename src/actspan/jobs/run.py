"""Runs on disk: inputs, results, and skipped videos with their reasons.

    run/
    ├── run.toml           bundle, dataset, versions, settings, timing, skipped videos
    ├── scores.npz         <video> -> (3, T) float32: action, start, end
    ├── candidates.arrow   one row per video or window: candidates of PEM, before suppression
    └── result.json        the proposals, seconds

A run appears when it is complete; until then it has a hidden name in the same folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from actspan.config.base import read_toml
from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import check_size, folder_kind, sha256
from actspan.core.segments import Proposals
from actspan.core.types import Float32
from actspan.data.annotations.formats import find_annotations
from actspan.data.result_files import read_result
from actspan.data.scores import ScoreFiles
from actspan.data.shards import Batches

PLAN_FILE = "plan.json"  # of an unfinished run
RUN_FILE, SCORES, CANDIDATES, RESULT = "run.toml", "scores.npz", "candidates.arrow", "result.json"
CANDIDATE_COLUMNS = {
    "start": "float64",
    "end": "float64",
    "start_score": "float32",
    "end_score": "float32",
    "confidence": "float32",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run, read from its folder; arrays are read on demand.

    Examples
    --------
    >>> run = Run.load("run/")  # doctest: +SKIP
    >>> run.info["videos"], len(run.proposals())  # doctest: +SKIP
    (120, 120)
    """

    path: Path
    info: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Open a run folder; raise ResultError if it is not a run, or is damaged."""
        path = Path(path)
        if not (path / RUN_FILE).is_file():
            raise ResultError(
                f"{path}{folder_kind(path)}: not a run (no {RUN_FILE}); make one: actspan propose"
            )
        try:
            return cls(path, read_toml(path / RUN_FILE))
        except ConfigError as error:
            raise ResultError(str(error)) from error

    @property
    def set_apart(self) -> tuple[str, ...]:
        """Ids of the videos that training held out itself, because the dataset had no subsets."""
        ids = self.info.get("bundle", {}).get("set_apart", ())
        return tuple(map(str, ids)) if isinstance(ids, list) else ()

    @property
    def changes(self) -> tuple[str, ...]:
        """Settings that the run was made with instead of the bundle's, KEY=VALUE."""
        listed = self.info.get("changes", ())
        return tuple(map(str, listed)) if isinstance(listed, list) else ()

    def proposals(self) -> dict[str, Proposals]:
        """Read the proposals of every video, seconds, best first."""
        return read_result(self.path / RESULT)

    def scores(self) -> ScoreFiles:
        """Open the boundary scores of every video."""
        return ScoreFiles(self.path / SCORES)

    def candidates(self, batches: Iterable[int] | None = None) -> Iterator[Candidates]:
        """Yield the candidates of PEM, before suppression, one video or window at a time.

        `batches` are record batches to read, from `candidate_places`; all by default. Raises
        ResultError if the file is missing or damaged.
        """
        with self._candidate_file() as file:
            for index in range(len(file)) if batches is None else batches:
                yield from _rows(file[index])

    def candidate_places(self) -> dict[str, CandidatePlace]:
        """Return the places of the candidates of each video; raises like `candidates`."""
        batches: dict[str, list[int]] = {}
        spans: dict[str, float] = {}
        with self._candidate_file() as file:
            for index, batch in enumerate(file):
                columns = [
                    batch.column(name).to_pylist() for name in ("video", "offset", "seconds")
                ]
                for name, offset, seconds in zip(*columns, strict=True):
                    batches.setdefault(name, []).append(index)
                    spans[name] = max(spans.get(name, 0.0), offset + seconds)
        return {name: CandidatePlace(batches[name], spans[name]) for name in batches}

    def recorded_annotations(self) -> Path | None:
        """Return the annotations that the run was made from, if they still exist unchanged."""
        recorded = self.info.get("dataset", {})
        folder = Path(recorded.get("path", "."))
        file = find_annotations(folder) if "path" in recorded and folder.is_dir() else None
        intact = file is not None and sha256(file) == recorded.get("annotations_sha256")
        return file if intact else None

    @contextmanager
    def _candidate_file(self) -> Iterator[Batches]:
        import pyarrow as pa

        path = self.path / CANDIDATES
        try:
            check_size(path)
            with pa.memory_map(str(path)) as source:
                yield Batches(source.read_buffer(), candidate_schema())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ResultError(f"{path}: cannot be read: {error}") from error


class CandidatePlace(NamedTuple):
    """Place of a video's candidates in the file."""

    batches: list[int]  # record batches, in order: one, or one per window
    span: float  # seconds from the video's start to the end of what candidates may cover


class Candidates(NamedTuple):
    """Candidates that PEM scored, of one video or of one window of it."""

    video: str
    offset: float
    seconds: float  # position p corresponds to offset + p * seconds
    proposals: Proposals  # N candidates, positions, ranked by start score x end score
    confidence: Float32  # PEM's scores, (N,)


def candidate_schema() -> Any:
    """Return the columns of `candidates.arrow` as a `pyarrow.Schema`."""
    import pyarrow as pa

    lists = [(name, pa.list_(getattr(pa, kind)())) for name, kind in CANDIDATE_COLUMNS.items()]
    location = [("video", pa.string()), ("offset", pa.float64()), ("seconds", pa.float64())]
    return pa.schema([*location, *lists])


def _rows(batch: Any) -> Iterator[Candidates]:
    for row in range(batch.num_rows):
        columns: dict[str, Any] = {
            # A copy, since the file will be closed; to_numpy() would import pandas.
            name: np.from_dlpack(batch.column(name)[row].values).copy()
            for name in CANDIDATE_COLUMNS
        }
        name, offset, seconds = (
            batch.column(key)[row].as_py() for key in ("video", "offset", "seconds")
        )
        score = columns["start_score"].astype(np.float64) * columns["end_score"]
        proposals = Proposals(
            columns["start"],
            columns["end"],
            score,
            columns["start_score"],
            columns["end_score"],
            unit="fraction",
            video=name,
        )
        yield Candidates(name, offset, seconds, proposals, columns["confidence"])
