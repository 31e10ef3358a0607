"""Published functions and ActSpan's on the same inputs in turn: equality, and the ratio of times.

Nothing of the others is part of this project: a person who has them gives their folder.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import click
import numpy as np
import pandas as pd

from actspan import BoundaryScores, Proposals, bsp_features, generate_proposals, soft_nms
from actspan.bench import synthetic
from actspan.bench.machine import FIXED
from actspan.config.stages import BATCH, BspConfig, PgmConfig, SoftNmsConfig
from actspan.core.ragged import RaggedProposals
from actspan.core.types import Float32, Float64
from actspan.proposals.bsp import bsp_features_batch
from actspan.proposals.candidates import generate_proposals_batch, match_instances
from actspan.proposals.suppression import soft_nms_batch
from benchmarks.harness import (
    benchmark,
    duration,
    open_roof,
    path_option,
    print_table,
    ratio,
    times_in_turn,
)
from benchmarks.published_steps import KEEP, open_network, score_boundaries

LOCALIZERS = Path("mmaction", "models", "localizers", "utils")
COLUMNS = ["xmin", "xmax", "xmin_score", "xmax_score", "score", "match_iou", "match_ioa"]
STAGES = ("candidates", "BSP features", "Soft-NMS")
FILES = STAGES[:2]  # those that work on files, each in a folder of its own
TOLERANCE = 2e-5  # of scores and features; OpenMMLab reads positions in single precision


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


def ours(stage: str, video: Input) -> Answer:
    """Run ActSpan's function of a stage on a video."""
    if stage == "candidates":
        found = generate_proposals(video.scores)
        matches = match_instances(found, video.instances)
        return Answer(segments_of(found), np.stack([found.score, *matches], axis=1))
    if stage == "BSP features":
        values = bsp_features(video.scores, video.candidates)
        return Answer(segments_of(video.candidates), values.astype(np.float64))
    kept = soft_nms(video.ranked, SoftNmsConfig(picks=101, keep=101))
    return Answer(segments_of(kept), kept.score)


def ours_in_batches(stage: str, videos: Sequence[Input]) -> None:
    """Run ActSpan's functions on many videos at once, as the pipeline does; nothing is matched."""
    edges = [(False, False)] * BATCH
    for first in range(0, len(videos), BATCH):
        batch = videos[first : first + BATCH]
        scores = [video.scores for video in batch]
        if stage == "candidates":
            generate_proposals_batch(scores, PgmConfig(), edges[: len(batch)], KEEP)
            continue
        together = RaggedProposals.of([video.candidates for video in batch])
        if stage == "BSP features":
            config = BspConfig()
            out: Float32 = np.empty((len(together.together), config.size), np.float32)
            bsp_features_batch(out, scores, together, config)
        else:
            final = np.concatenate([video.ranked.score for video in batch])
            soft_nms_batch(together, final, SoftNmsConfig())


def difference(mine: Answer, theirs: Answer) -> float:
    """Return the largest difference of values; infinity if the segments are not the same.

    Both are ordered by segment, since the order of equal scores is undefined in pandas and NumPy.
    """
    if len(mine.segments) != len(theirs.segments):
        return float("inf")
    orders = [np.lexsort(np.round(a.segments, 6).T) for a in (mine, theirs)]
    segments = [a.segments[order] for a, order in zip((mine, theirs), orders, strict=True)]
    if np.abs(segments[0] - segments[1]).max(initial=0.0) > 1e-6:
        return float("inf")
    values = [a.values[order] for a, order in zip((mine, theirs), orders, strict=True)]
    return float(np.abs(values[0] - values[1]).max(initial=0.0))


def make_inputs(folder: Path, videos: int, seed: int) -> list[Input]:
    """Compute boundary scores of synthetic features, and candidates with a random confidence."""
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    tem, rng = open_network(bundle.file("tem.onnx")), np.random.default_rng(seed)
    made = []
    for number in range(videos):
        array = score_boundaries(tem, synthetic.make_features(number, seed).T[None])
        scores = BoundaryScores.from_array(array)
        candidates = generate_proposals(scores)[:KEEP]
        instances = np.array(synthetic.make_instances(number, seed))
        confidence = rng.uniform(0.1, 1.0, len(candidates))
        name = synthetic.name_of(number)
        made.append(Input(name, scores, instances, candidates, confidence))
    return made


def write_inputs(folder: Path, videos: Sequence[Input]) -> list[dict[str, object]]:
    """Write the files that the published functions read; return their description of videos."""
    for stage in FILES:
        for name in ("TEM_results", "PGM_proposals", "PGM_feature"):
            (folder / stage / "output" / name).mkdir(parents=True)
    cells = np.arange(synthetic.LENGTH + 1) / synthetic.LENGTH
    infos = []
    for number, video in enumerate(videos):
        scores, c = video.scores, video.candidates
        columns = {"action": scores.action, "start": scores.start, "end": scores.end}
        table = pd.DataFrame({k: v.astype(np.float64) for k, v in columns.items()})
        table["xmin"], table["xmax"] = cells[:-1], cells[1:]
        values = [c.start, c.end, c.start_score, c.end_score, c.score]
        found = pd.DataFrame(dict(zip(COLUMNS, values, strict=False)))
        for stage in FILES:
            output = folder / stage / "output"
            table.to_csv(output / "TEM_results" / f"{video.name}.csv", index=False)
            found.to_csv(output / "PGM_proposals" / f"{video.name}.csv", index=False)
        seconds = synthetic.seconds_of(number)
        entries = [{"segment": list(pair)} for pair in (video.instances * seconds).tolist()]
        infos.append(
            {
                "video_name": video.name,
                "duration_frame": 1000,
                "duration_second": seconds,
                "feature_frame": 1000,
                "annotations": entries,
            }
        )
    return infos


def find_openmmlab(clone: Path | None) -> Path | None:
    """Return the folder of OpenMMLab's functions, in a clone or where mmaction2 is installed."""
    if clone is not None:
        return clone / LOCALIZERS
    found = importlib.util.find_spec("mmaction")  # the package itself is not imported
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))).parent / LOCALIZERS if places else None


def compare_with(peer: Peer, videos: Sequence[Input], rounds: int) -> list[tuple[str, ...]]:
    """Check that a peer's answers are ActSpan's, then time both; return a line per stage."""
    lines = []
    for stage in STAGES:
        apart = [
            difference(ours(stage, video), peer.answer(stage, peer.run(stage, video), video))
            for video in videos
        ]
        same = sum(value <= TOLERANCE for value in apart)
        largest = max((value for value in apart if np.isfinite(value)), default=float("inf"))
        contenders: dict[str, Callable[[], object]] = {
            "theirs": lambda stage=stage: [peer.run(stage, v) for v in videos],  # type: ignore[misc]
            "ours": lambda stage=stage: [ours(stage, v) for v in videos],  # type: ignore[misc]
            "batch": partial(ours_in_batches, stage, videos),
        }
        with open_roof(FIXED) as roof:
            times = times_in_turn(contenders, rounds, roof)
        each = {name: time.times(1 / len(videos)) for name, time in times.items()}
        theirs, mine, batch = (each[name] for name in contenders)
        lines.append(
            (
                f"{peer.name}: {stage}",
                *(duration(time.minimum) for time in (theirs, mine, batch)),
                ratio(theirs, mine),
                ratio(theirs, batch),
                f"{same} of {len(videos)}, within {largest:.0e}",
            )
        )
    return lines


@benchmark(rounds=5, seed=True)
@path_option("--authors", exists=True, help="A clone of BSN-boundary-sensitive-network.pytorch.")
@path_option("--mmaction2", exists=True, help="A clone of mmaction2. [default: the installed one]")
@click.option("--videos", default=16, help="Videos of each function.")
def main(
    folder: Path,
    authors: Path | None,
    mmaction2: Path | None,
    videos: int,
    rounds: int,
    seed: int,
) -> None:
    """Run the functions of the BSN authors and of OpenMMLab, and ActSpan's, on the same inputs.

    Each stage gets the same boundary scores and candidates. Theirs read CSV files and write them,
    or return arrays, as published; ours are in memory, on one core. "in batches" are the forms that
    the pipeline calls, for 16 videos at once, which do not match candidates with ground truth.
    Whoever has neither gets an error that says so; what is absent is named.

    \b
    Example:
      python -m benchmarks.peers --authors BSN-boundary-sensitive-network.pytorch/
    """
    localizers = find_openmmlab(mmaction2)
    if authors is None and localizers is None:
        raise click.UsageError(
            "nothing to compare with: give --authors, a clone of the authors' repository, or "
            "install mmaction2 or give --mmaction2, a clone of it"
        )
    inputs = make_inputs(folder, videos, seed)
    infos = write_inputs(folder, inputs)
    peers: list[Peer] = []
    if authors is not None:
        peers.append(Authors(authors, folder, infos))
    if localizers is not None:
        peers.append(OpenMMLab(localizers, folder, infos))
    lines = [line for peer in peers for line in compare_with(peer, inputs, rounds)]
    header = ("per video", "theirs", "ours", "ours in batches", "ratio", "in batches", "equal")
    print_table(header, lines)
    if len(peers) < 2:
        absent = "the authors' (--authors)" if authors is None else "OpenMMLab's (--mmaction2)"
        click.echo(f"\nskipped: {absent}")
    if not all(line[-1].startswith(f"{videos} of {videos}") for line in lines):
        raise click.ClickException("different answers: their speed cannot be compared")


if __name__ == "__main__":
    main()
