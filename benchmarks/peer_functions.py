"""Functions of the BSN authors and of OpenMMLab, called where a person has them."""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from actspan import BoundaryScores, Proposals
from actspan.bench import synthetic
from actspan.core.types import Float64
from benchmarks.published_steps import KEEP

LOCALIZERS = Path("mmaction", "models", "localizers", "utils")
COLUMNS = ["xmin", "xmax", "xmin_score", "xmax_score", "score", "match_iou", "match_ioa"]


@dataclass(frozen=True)
class Input:
    """A video: boundary scores, ground truth, and candidates with a confidence."""

    name: str
    scores: BoundaryScores
    instances: Float64  # (M, 2), fractions
    candidates: Proposals  # at most 1,000
    confidence: Float64  # (N,)

    @property
    def ranked(self) -> Proposals:
        """Return the candidates with their final score."""
        c = self.candidates
        return Proposals(c.start, c.end, c.score * self.confidence, unit=c.unit)


class Answer(NamedTuple):
    """Answer of a stage for one video: segments (N, 2) and values (N, ...)."""

    segments: Float64
    values: Float64


class Peer(Protocol):
    """Published functions: one method per stage, named as in `STAGES`."""

    name: str

    def run(self, stage: str, video: Input) -> object:
        """Run a stage on a video that `write_inputs` has written."""

    def answer(self, stage: str, made: object, video: Input) -> Answer:
        """Return what `run` made in a common form."""


class Authors:
    """The functions of the BSN authors, from a clone of their repository.

    They were written for Python 2, where `/` of integers rounds down; so it does here.
    """

    name = "authors (wzmsltw)"
    _OPTIONS: Mapping[str, object] = {
        "temporal_scale": synthetic.LENGTH,
        "pgm_threshold": 0.5,
        "num_sample_start": 8,
        "num_sample_end": 8,
        "num_sample_action": 16,
        "num_sample_interpld": 3,
        "bsp_boundary_ratio": 0.2,
        "pem_top_K": KEEP,
        "pem_top_K_inference": KEEP,
        "post_process_top_K": 100,
        "soft_nms_alpha": 0.75,
        "soft_nms_low_thres": 0.65,
        "soft_nms_high_thres": 0.9,
    }

    def __init__(self, clone: Path, work: Path, infos: Sequence[Mapping[str, object]]) -> None:
        self._pgm = load_python_2(clone / "pgm.py")
        self._post = load_python_2(clone / "post_processing.py")
        self._work = work
        self._infos = {str(info["video_name"]): {**info, "subset": "validation"} for info in infos}

    def run(self, stage: str, video: Input) -> object:
        """Run a stage; those before Soft-NMS read and write files below ./output."""
        if stage == "Soft-NMS":
            p = video.ranked
            columns = {"xmin": p.start, "xmax": p.end, "score": p.score}
            return self._post.Soft_NMS(pd.DataFrame(columns), self._OPTIONS)
        function = self._pgm.generateProposals
        if stage == "BSP features":
            function = self._pgm.generateFeature
        with contextlib.chdir(self._work / stage):
            return function(self._OPTIONS, [video.name], self._infos)

    def answer(self, stage: str, made: Any, video: Input) -> Answer:
        """Return what `run` made."""
        output = self._work / stage / "output"
        if stage == "candidates":
            table = pd.read_csv(output / "PGM_proposals" / f"{video.name}.csv")
            return Answer(table[COLUMNS[:2]].to_numpy(), table[COLUMNS[4:]].to_numpy())
        if stage == "BSP features":
            values = np.load(output / "PGM_feature" / f"{video.name}.npy")
            return Answer(segments_of(video.candidates), values)
        return Answer(made[["xmin", "xmax"]].to_numpy(), made["score"].to_numpy())


class OpenMMLab:
    """The functions of OpenMMLab's mmaction2, installed or in a clone."""

    name = "OpenMMLab (mmaction2)"

    def __init__(self, folder: Path, work: Path, infos: Sequence[Mapping[str, object]]) -> None:
        package = ModuleType("mmaction2_localizers")  # without the imports of mmaction itself
        package.__path__ = [str(folder)]
        sys.modules[package.__name__] = package
        self._bsn = importlib.import_module(f"{package.__name__}.bsn_utils")
        self._nms = importlib.import_module(f"{package.__name__}.proposal_utils")
        self._work, self._infos = work, infos
        self._numbers = {str(info["video_name"]): i for i, info in enumerate(infos)}

    def run(self, stage: str, video: Input) -> object:
        """Run a stage; those before Soft-NMS read files."""
        if stage == "Soft-NMS":
            p = video.ranked
            return self._nms.soft_nms(np.stack([p.start, p.end, p.score], 1), 0.75, 0.65, 0.9, 100)
        output, numbers = self._work / stage / "output", [self._numbers[video.name]]
        scores = str(output / "TEM_results")
        if stage == "candidates":
            return self._bsn.generate_candidate_proposals(
                numbers, self._infos, scores, synthetic.LENGTH, 0.5
            )
        candidates = str(output / "PGM_proposals")
        return self._bsn.generate_bsp_feature(numbers, self._infos, scores, candidates, KEEP)

    def answer(self, stage: str, made: Any, video: Input) -> Answer:
        """Return what `run` made."""
        if stage == "candidates":
            rows = made[video.name]
            return Answer(rows[:, :2], rows[:, 4:])
        if stage == "BSP features":
            return Answer(segments_of(video.candidates), made[video.name])
        return Answer(made[:, :2], made[:, 2])


def load_python_2(file: Path) -> ModuleType:
    """Load a module in which `/` of two integers rounds down."""
    tree = _Divisions().visit(ast.parse(file.read_text(encoding="utf-8"), str(file)))
    module = ModuleType(file.stem)
    module.__dict__["_divide"] = lambda a, b: a // b if type(a) is type(b) is int else a / b
    exec(compile(ast.fix_missing_locations(tree), str(file), "exec"), module.__dict__)
    return module


class _Divisions(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        return ast.Call(ast.Name("_divide", ast.Load()), [node.left, node.right], [])


def segments_of(proposals: Proposals) -> Float64:
    """Return start and end, (N, 2)."""
    return np.stack([proposals.start, proposals.end], axis=1)


def find_openmmlab(clone: Path | None) -> Path | None:
    """Return the folder of OpenMMLab's functions, in a clone or where mmaction2 is installed."""
    if clone is not None:
        return clone / LOCALIZERS
    found = importlib.util.find_spec("mmaction")  # the package itself is not imported
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))).parent / LOCALIZERS if places else None
