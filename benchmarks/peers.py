"""Published functions and ActSpan's on the same inputs in turn: equality, and the ratio of times.

Nothing of the others is part of this project: a person who has them gives their folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd

from actspan import BoundaryScores, bsp_features, generate_proposals, soft_nms
from actspan.bench import synthetic
from actspan.bench.machine import FIXED
from actspan.config.stages import BATCH, BspConfig, PgmConfig, SoftNmsConfig
from actspan.core.ragged import RaggedProposals
from actspan.core.types import Float32
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
from benchmarks.peer_functions import (
    COLUMNS,
    Answer,
    Authors,
    Input,
    OpenMMLab,
    Peer,
    find_openmmlab,
    segments_of,
)
from benchmarks.published_steps import KEEP, open_network, score_boundaries

STAGES = ("candidates", "BSP features", "Soft-NMS")
FILES = STAGES[:2]  # those that work on files, each in a folder of its own
TOLERANCE = 2e-5  # of scores and features; OpenMMLab reads positions in single precision


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
