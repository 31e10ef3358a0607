"""Runs on disk: inputs, results, and skipped videos with their reasons.

    run/
    ├── run.toml           bundle, dataset, versions, settings, timing, skipped videos
    ├── scores.npz         <video> -> (3, T) float32: action, start, end
    ├── candidates.npy     candidates of PEM, before suppression; candidates.csv is their index
    ├── inputs.json        checksums of the inputs, and size and time of each video's file
    └── result.json        the proposals, seconds

A run appears when it is complete; until then it has a hidden name in the same folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from actspan.core.errors import ResultError
from actspan.core.files import folder_kind, sha256
from actspan.core.segments import Proposals
from actspan.core.types import Float64
from actspan.data import result_files, run_info
from actspan.data.annotations.formats import find_annotations
from actspan.data.scores import ScoreFiles
from actspan.jobs.candidate_files import (
    CANDIDATES,
    INDEX,
    Candidates,
    Part,
    read_candidates,
    read_index,
)
from actspan.model import LABEL_FREE

_NAMED = 5  # files of a run that are named in a command
PLAN_FILE = "plan.json"  # of an unfinished run
RUN_FILE, RESULT = run_info.RUN_FILE, result_files.RESULT_FILE
SCORES, INPUTS = "scores.npz", "inputs.json"


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
        return cls(path, run_info.read_run_info(path))

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of the files that the run was written with, by name."""
        files: dict[str, str] = self.info.get("files", {})
        return files

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

    def propose_options(self) -> list[str]:
        """Return the arguments of `actspan propose` that name the model and source of the run.

        Files that no longer exist, or are many, are named VIDEOS.
        """
        bundle, source = (self.info.get(name, {}) for name in ("bundle", "dataset"))
        words = [] if Path(bundle.get("path", "")) == LABEL_FREE else ["--model", bundle["path"]]
        files = list(source.get("files", {}).values())
        if "path" in source:
            words += [source["path"]] if files else ["--dataset", source["path"]]
        else:
            named = len(files) <= _NAMED and all(Path(file).exists() for file in files)
            words += files if files and named else ["VIDEOS"]
        for option in ("subset", "scores"):
            words += [f"--{option}", source[option]] if source.get(option) else []
        return words

    def proposals(self) -> dict[str, Proposals]:
        """Read the proposals of every video, seconds, best first.

        Raises ResultError if the file is damaged, or differs from its checksum in `run.toml`.
        """
        return result_files.read_result(self.path)

    def scores(self) -> ScoreFiles:
        """Open the boundary scores of every video."""
        return ScoreFiles(self.path / SCORES)

    def candidates(self, parts: Iterable[Part] | None = None) -> Iterator[Candidates]:
        """Yield the candidates of PEM, before suppression, one video or window at a time.

        `parts` are those to read, from `candidate_places`; all by default. Raises ResultError if a
        file is missing or damaged.
        """
        chosen = read_index(self.path / INDEX) if parts is None else parts
        yield from read_candidates(self.path / CANDIDATES, chosen)

    def candidate_places(self) -> dict[str, CandidatePlace]:
        """Return the places of the candidates of each video; raises like `candidates`."""
        parts: dict[str, list[Part]] = {}
        for part in read_index(self.path / INDEX):
            parts.setdefault(part.video, []).append(part)
        return {
            name: CandidatePlace(listed, max(part.offset + part.seconds for part in listed))
            for name, listed in parts.items()
        }

    def measured_spans(self, videos: Sequence[str]) -> Float64:
        """Return the seconds of each video, (V,), that candidates cover; NaN for others.

        Raises like `candidates`.
        """
        places = self.candidate_places()
        return np.array([places[v].span if v in places else np.nan for v in videos], np.float64)

    def recorded_annotations(self) -> Path | None:
        """Return the annotations that the run was made from, if they still exist unchanged."""
        recorded = self.info.get("dataset", {})
        folder = Path(recorded.get("path", "."))
        file = find_annotations(folder) if "path" in recorded and folder.is_dir() else None
        intact = file is not None and sha256(file) == recorded.get("annotations_sha256")
        return file if intact else None


class CandidatePlace(NamedTuple):
    """Place of a video's candidates in the file."""

    parts: list[Part]  # in order: one, or one per window
    span: float  # seconds from the video's start to the end of what candidates may cover
