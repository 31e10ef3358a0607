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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np

from actspan.config.base import dump_toml, read_toml
from actspan.core.errors import ConfigError, ResultError
from actspan.core.files import atomic_file, check_size, folder_kind, sha256
from actspan.core.types import Float32, Proposals
from actspan.data.annotations.formats import find_annotations
from actspan.data.recording import Window, stitch
from actspan.data.result_files import read_result
from actspan.data.result_writers import result_writer
from actspan.data.scores import ScoreFiles, score_writer
from actspan.data.store.arrow_files import Batches
from actspan.pipeline.outcomes import Outcome

RUN_FILE, SCORES, CANDIDATES, RESULT = "run.toml", "scores.npz", "candidates.arrow", "result.json"
_COLUMNS = {
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
        found = self.info.get("bundle", {}).get("set_apart", ())
        return tuple(map(str, found)) if isinstance(found, list) else ()

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
        with self._candidate_file() as found:
            for index in range(len(found)) if batches is None else batches:
                yield from _rows(found[index])

    def candidate_places(self) -> dict[str, CandidatePlace]:
        """Return the places of the candidates of each video; raises like `candidates`."""
        batches: dict[str, list[int]] = {}
        spans: dict[str, float] = {}
        with self._candidate_file() as found:
            for index, batch in enumerate(found):
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
                yield Batches(source.read_buffer(), _schema())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ResultError(f"{path}: cannot be read: {error}") from error


class CandidatePlace(NamedTuple):
    """Where the candidates of a video are in the file."""

    batches: list[int]  # record batches, in order: one, or one per window
    span: float  # seconds from the video's start to the end of what candidates may cover


class Candidates(NamedTuple):
    """Candidates that PEM scored, of one video or of one window of it."""

    video: str
    offset: float
    seconds: float  # position p stands for offset + p * seconds
    proposals: Proposals  # N candidates, positions, ranked by start score x end score
    confidence: Float32  # PEM's scores, (N,)


def _schema() -> Any:
    """Return the columns of `candidates.arrow` as a `pyarrow.Schema`."""
    import pyarrow as pa

    lists = [(name, pa.list_(getattr(pa, kind)())) for name, kind in _COLUMNS.items()]
    place = [("video", pa.string()), ("offset", pa.float64()), ("seconds", pa.float64())]
    return pa.schema([*place, *lists])


def _rows(batch: Any) -> Iterator[Candidates]:
    for row in range(batch.num_rows):
        columns = {
            name: batch.column(name)[row].values.to_numpy().copy()  # the file will be closed
            for name in _COLUMNS
        }
        score = columns["start_score"].astype(np.float64) * columns["end_score"]
        found = Proposals(
            columns["start"], columns["end"], score, columns["start_score"], columns["end_score"]
        )
        name, offset, seconds = (
            batch.column(key)[row].as_py() for key in ("video", "offset", "seconds")
        )
        yield Candidates(name, offset, seconds, found, columns["confidence"])


class CandidateWriter:
    """Writer of `candidates.arrow`, with one record batch per video or window."""

    def __init__(self, stream: IO[bytes]) -> None:
        import pyarrow as pa

        self._pa = pa
        self._schema = _schema()
        self._writer = pa.ipc.new_file(stream, self._schema)

    def add(self, outcome: Outcome) -> None:
        """Append the candidates of a video or window."""
        pa, found = self._pa, outcome.candidates
        offsets = pa.array([0, len(found)], pa.int32())
        values = (
            *(found.start, found.end, found.start_score, found.end_score),
            outcome.confidence,
        )
        lists = [
            pa.ListArray.from_arrays(offsets, pa.array(column, getattr(pa, kind)()))
            for column, kind in zip(values, _COLUMNS.values(), strict=True)
        ]
        place = [pa.array([x]) for x in (outcome.id, outcome.offset, outcome.seconds)]
        self._writer.write_batch(pa.record_batch([*place, *lists], schema=self._schema))

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


def write_result_file(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write the result alone, as outcomes come: JSON, or a table, depending on the suffix."""
    with result_writer(path) as writer:
        for outcome in outcomes:
            if outcome.proposals is not None:  # None for a window that is not the last
                writer.add(outcome.id, outcome.proposals)


class RunWriter:
    """Writer of a run as outcomes come; `write_info` adds `run.toml`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._windows: list[tuple[Window, Float32]] = []  # of the current recording

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # If one cannot be opened, those before it are closed.
            self._scores = stack.enter_context(score_writer(self._folder / SCORES))
            stream = stack.enter_context(atomic_file(self._folder / CANDIDATES))
            self._candidates = CandidateWriter(stream)
            stack.callback(self._candidates.close)
            self._result = stack.enter_context(result_writer(self._folder / RESULT))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def add(self, outcome: Outcome) -> None:
        """Append one video, or the next window of a recording."""
        self._candidates.add(outcome)
        if outcome.proposals is not None:  # None for a window that is not the last
            self._result.add(outcome.id, outcome.proposals)
        if outcome.window is None:
            self._scores.add(outcome.id, np.asarray(outcome.scores))
            return
        self._windows.append((outcome.window, np.asarray(outcome.scores)))
        if outcome.window.is_final:
            self._scores.add(outcome.id, stitch(self._windows))
            self._windows.clear()


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write `run.toml`."""
    with atomic_file(folder / RUN_FILE) as stream:
        stream.write(dump_toml({"format": 1, **info}).encode())


def check_run_target(path: Path, *, replace: bool = False) -> None:
    """Raise ResultError, before work starts, if a run cannot be written to `path`.

    It must not exist, or be an empty folder, or a run that may be replaced.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / RUN_FILE).is_file():
        raise ResultError(f"{path}: exists and is not a run, so it is left alone: choose another")
    if not replace:
        raise ResultError(f"{path}: there is a run already: choose another folder, or use --force")
