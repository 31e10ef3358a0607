"""Everything after BMN's network, maps in memory -> proposals, against the published steps.

The published steps are those of two codes, written plainly from their description: JJBOY's of 2020
(every pair of cells, a table per video on disk) and mmaction2's (peaks, in memory). Both compare
the overlaps with each pick in a Python loop. `tests/test_benchmarks.py` checks them against outputs
of the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pandas as pd

from actspan import Proposals
from actspan.bench import synthetic
from actspan.bench.machine import FIXED
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.config.stages import BATCH
from actspan.pipeline.steps import final_proposals
from actspan.proposals.confidence_map import boundary_scores
from actspan.proposals.matching import match_boundaries_batch
from benchmarks.harness import Row, benchmark, open_roof, print_comparison, times_in_turn
from benchmarks.published_evaluation import compare
from benchmarks.published_steps import shared_length

_COLUMNS = ["xmin", "xmax", "xmin_score", "xmax_score", "clr_score", "reg_score", "score"]
_CODES = {"jjboy2020": "JJBOY 2020: every pair", "mmaction2": "mmaction2: peaks"}


class Output(NamedTuple):
    """Output of BMN for one video."""

    confidence_map: np.ndarray  # (2, T, T) float32
    start: np.ndarray  # (T,) float32
    end: np.ndarray  # (T,) float32


def make_output(number: int, seed: int, length: int = synthetic.LENGTH) -> Output:
    """Make smooth scores with noise, in (0, 1)."""
    rng = np.random.default_rng((seed, number))
    curves = rng.standard_normal((2, length + 4))
    grid = rng.standard_normal((2, length + 8, length + 8))
    curves = np.lib.stride_tricks.sliding_window_view(curves, 5, 1).sum(axis=2)
    grid = np.lib.stride_tricks.sliding_window_view(grid, (9, 9), (1, 2)).sum(axis=(3, 4))
    start, end = 1 / (1 + np.exp(1.5 - 0.9 * curves))
    confidence_map = 1 / (1 + np.exp(1.5 - 0.25 * grid))
    return Output(*(x.astype(np.float32) for x in (confidence_map, start, end)))


def list_all(video: Output) -> np.ndarray:
    """Return every pair of a start and a later end, as JJBOY's code does, (N, 7) float64."""
    length, rows = len(video.start), []
    for first in range(length):
        for last in range(first, length - 1):
            start, end = video.start[first], video.end[last + 1]
            regression, classification = video.confidence_map[:, first, last]
            score = start * end * classification * regression
            segment = [first / length, (last + 1) / length]
            rows.append([*segment, start, end, classification, regression, score])
    return np.array(rows, dtype=np.float64)


def list_peaks(video: Output) -> np.ndarray:
    """Return the pairs of a start peak and a later end peak, as mmaction2's, (N, 7) float64."""
    length, rows = len(video.start), []
    starts, ends = mark_peaks(video.start, 0), mark_peaks(video.end, -1)
    for duration in range(length):
        for first in range(length):
            after = first + duration + 1
            if after < length and starts[first] and ends[after]:
                start, end = video.start[first], video.end[after]
                regression, classification = video.confidence_map[:, duration, first]
                score = start * end * classification * regression
                segment = [first / length, after / length]
                rows.append([*segment, start, end, classification, regression, score])
    return np.array(rows, dtype=np.float64)


def mark_peaks(scores: np.ndarray, edge: int) -> np.ndarray:
    """Mark inner cells that are peaks or above half the maximum, and one of the outer cells."""
    marked, highest = np.zeros(len(scores)), scores.max()
    for cell in range(1, len(scores) - 1):
        peak = scores[cell] > scores[cell - 1] and scores[cell] > scores[cell + 1]
        if peak or scores[cell] > 0.5 * highest:
            marked[cell] = 1
    marked[edge] = 1
    return marked


def soft_nms(candidates: np.ndarray, code: str, picks: int = 101) -> np.ndarray:
    """Return xmin, xmax and lowered score of the picks among (N, 7) candidates, (K, 3).

    JJBOY's code leaves the last candidate, and starts the union with the other segment.
    """
    starts, ends, scores = (candidates[:, k].tolist() for k in (0, 1, 6))
    chosen: list[list[float]] = []
    while len(scores) > int(code == "jjboy2020") and len(chosen) < picks:
        best = scores.index(max(scores))
        start, end = starts[best], ends[best]
        xmin, xmax = np.array(starts), np.array(ends)
        inter = shared_length(start, end, xmin, xmax)
        if code == "jjboy2020":
            overlaps = inter / ((xmax - xmin) - inter + end - start)
        else:
            overlaps = inter / ((end - start) - inter + xmax - xmin)
        for other in range(len(scores)):
            iou = overlaps[other]
            if other != best and iou > 0.5 + (0.9 - 0.5) * (end - start):
                scores[other] = scores[other] * np.exp(-np.square(iou) / 0.4)
        chosen.append([start, end, scores[best]])
        for column in (starts, ends, scores):
            column.pop(best)
    return np.array(chosen)


def run_published(
    folder: Path, videos: Sequence[Output], seconds: Sequence[float], code: str
) -> dict[str, Proposals]:
    """Compute the proposals of each video in the way of a published code."""
    found = {}
    for number, (video, unit) in enumerate(zip(videos, seconds, strict=True)):
        if code == "jjboy2020":
            file = folder / f"{number}.csv"
            pd.DataFrame(list_all(video), columns=_COLUMNS).to_csv(file, index=False)
            candidates = pd.read_csv(file).to_numpy()
        else:
            candidates = list_peaks(video)
        xmin, xmax, score = soft_nms(candidates, code)[:100].T
        entries = [max(0.0, start) * unit for start in xmin], [min(1.0, end) * unit for end in xmax]
        found[str(number)] = Proposals(*entries, score, unit="seconds")
    return found


def run_ours(videos: Sequence[Output], seconds: Sequence[float], code: str) -> dict[str, Proposals]:
    """Compute the proposals of each video, and its scores for displays, in batches."""
    config, found = BMN_PIPELINES[code], []
    assert config.bmn is not None
    for first in range(0, len(videos), BATCH):
        batch = videos[first : first + BATCH]
        outputs = [np.stack(arrays) for arrays in zip(*batch, strict=True)]
        for video in batch:
            boundary_scores(*video, config.bmn.axes)
        whole, edges = [len(v.start) for v in batch], [(False, False)] * len(batch)
        candidates, confidence = match_boundaries_batch(
            *outputs, config.bmn.axes, config.matching, whole, edges
        )
        units = seconds[first : first + BATCH]
        found += list(final_proposals(candidates, confidence, units, config))
    return {str(number): proposals for number, proposals in enumerate(found)}


@benchmark(rounds=4, seed=True)
@click.option("--videos", default=320, help="Videos for ActSpan.")
@click.option("--sample", default=8, help="Videos on which the published steps are timed.")
def main(folder: Path, videos: int, sample: int, rounds: int, seed: int) -> None:
    """Compare candidates, scores and Soft-NMS of BMN with the published steps, on one core.

    \b
    Example:
      python -m benchmarks.after_bmn
    """
    sample = min(sample, videos)
    outputs = [make_output(number, seed) for number in range(videos)]
    seconds = [synthetic.seconds_of(number) for number in range(videos)]
    rows = []
    for code, name in _CODES.items():
        published = run_published(folder, outputs[:sample], seconds[:sample], code)
        found = compare(run_ours(outputs[:sample], seconds[:sample], code), published)
        click.echo(f"{name}; {found}")
        if found.same < found.videos:
            raise click.ClickException("different answers: their speed cannot be compared")
        contenders = {
            "ours": partial(run_ours, outputs, seconds, code),
            "published": partial(run_published, folder, outputs[:sample], seconds[:sample], code),
        }
        with open_roof(FIXED) as roof:
            times = times_in_turn(contenders, rounds, roof)
        theirs, ours = times["published"].times(1 / sample), times["ours"].times(1 / videos)
        rows.append(Row(name, theirs, ours, "<= 2 ms"))
    click.echo("\nseconds per video, everything after the network, one core")
    print_comparison(rows)


if __name__ == "__main__":
    main()
