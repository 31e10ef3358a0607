"""AUC of a general model: label-free candidates ranked by weights that other sets taught; percent.

    python -m benchmarks.general SET [SET ...] [--judge SET ...]

Features of different sets have different channels, so the model is a correction of the label-free
score: a weighted sum of descriptors that need no channels (contrast, heights of boundaries,
activity, ...), each relative to candidates of similar length in the recording, so that no length is
preferred. An evolution strategy finds the weights with the largest AUC, after Soft-NMS, on the
training parts. Printed are AUC on the validation parts: label-free, with weights from all other
SETs (sets that share recordings are left out together), and with weights from all SETs. Sets of
`--judge` are only evaluated. A set of videos is extracted first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from actspan import Bundle, Video, evaluate_recall, soft_nms
from actspan.config.stages import LabelFreeConfig, SoftNmsConfig
from actspan.core.segments import Proposals
from actspan.core.types import Float32, Float64
from actspan.model import LABEL_FREE
from actspan.proposals.components import principal_components
from actspan.proposals.label_free import boundary_heights, propose_label_free
from actspan.training.parts import TRAINING
from benchmarks.accuracy import SUBSET
from benchmarks.few_labels import load
from benchmarks.harness import benchmark, path_option, print_table

Int64 = NDArray[np.int64]

GENERATIONS = 30
PAIRS = 6  # of opposite trial weights per generation
LARGEST = 50  # training recordings per set that count
FIRST_STEP, SHRINK = 0.2, 0.93  # standard deviation of trial weights, and its factor


class Recording(NamedTuple):
    """Label-free candidates of a recording, as fractions, and their descriptors, (N, D)."""

    video: Video
    seconds: float
    candidates: Proposals
    descriptors: Float64


def describe(values: Float32, activity: Float64, start: Float64, end: Float64) -> Float64:
    """Return the descriptors of candidates: (N, 13), without those of similar length's mean.

    `activity` (n,) is that of snippets; `start` and `end` (N,) are fractions of them.
    """
    points = principal_components(values, LabelFreeConfig().components)
    first, last = (np.rint(at * len(points)).astype(np.int64) for at in (start, end))
    rows = [*contrasts(points, activity, first, last), *persistences(points, first, last)]
    return without_length(np.column_stack(rows), last - first)


def contrasts(points: Float64, activity: Float64, first: Int64, last: Int64) -> list[Float64]:
    """Return how candidates differ from their surroundings, half as long on either side."""
    count, half = len(points), np.maximum((last - first) // 2, 1)
    motion = np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=1)
    motion = motion.argsort(kind="stable").argsort(kind="stable") / count
    columns = np.column_stack([points, np.square(points).sum(axis=1), activity, motion])
    sums = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    begin, finish = np.maximum(first - half, 0), np.minimum(last + half, count)
    inside, before, after = (
        (sums[high] - sums[low]) / np.maximum(high - low, 1)[:, None]
        for low, high in ((first, last), (begin, first), (last, finish))
    )
    # At an end of the recording, the other side stands for both.
    left = np.where((first > 0)[:, None], before, after)
    right = np.where((last < count)[:, None], after, before)
    differences = (inside - left, inside - right, left - right, inside)
    low, high, across, centre = (np.linalg.norm(d[:, :-3], axis=1) for d in differences)
    within = np.sqrt(np.maximum(inside[:, -3] - centre**2, 0))
    least = np.minimum(low, high)
    return [
        *(np.log(v + 0.05) for v in (least, np.maximum(low, high), across, centre, within)),
        np.log((least + 0.05) / (within + 0.05)),
        *inside[:, -2:].T,
        *(inside - (left + right) / 2)[:, -2:].T,
    ]


def persistences(points: Float64, first: Int64, last: Int64) -> list[Float64]:
    """Return the heights of candidates' boundaries relative to others, and to each other."""
    heights = boundary_heights(points)
    heights += 0.5 * np.median(heights) + 1e-12
    between = np.maximum.reduceat(heights, np.column_stack([first + 1, last]).ravel())[::2]
    lower = np.minimum(heights[first], heights[last])
    unlike = np.abs(np.log(heights[first] / heights[last]))
    return [np.log(lower / between), np.log(lower / heights.max()), unlike]


def without_length(rows: Float64, length: Int64) -> Float64:
    """Subtract from each column its mean over candidates of similar length."""
    bins = np.unique(np.round(np.log(length) / 0.15), return_inverse=True)[1]
    count = np.bincount(bins)
    means = np.stack([np.bincount(bins, row) / count for row in rows.T], axis=1)
    return rows - means[bins]


def load_recordings(path: Path, folder: Path) -> list[Recording]:
    """Find and describe the label-free candidates of all recordings with instances."""
    dataset, found = load(path, folder), []
    for video in dataset.videos:
        if len(video.segments):
            features = dataset.read(video.id)
            scores, candidates = propose_label_free(features.values)
            described = describe(
                features.values, scores.action.astype(float), candidates.start, candidates.end
            )
            found.append(Recording(video, features.seconds, candidates, described))
    return found


def part(recordings: Sequence[Recording], subset: str) -> list[Recording]:
    """Return the recordings of a subset."""
    return [recording for recording in recordings if recording.video.subset == subset]


def auc(recordings: Sequence[Recording], weights: Float64, config: SoftNmsConfig) -> float:
    """Return the AUC of AR@AN with corrected scores."""
    found = {}
    for video, seconds, candidates, descriptors in recordings:
        score = np.log(np.maximum(candidates.score, 1e-300)) + descriptors @ weights
        kept = soft_nms(candidates.with_score(np.exp(score - score.max())), config)
        found[video.id] = kept.to_seconds(seconds)
    return evaluate_recall([r.video for r in recordings], found, subset=None).summary()["AUC"]


def fit(sets: Sequence[Sequence[Recording]], config: SoftNmsConfig) -> Float64:
    """Return the weights that raise the AUC of the sets most, and that of the worst set as well."""
    spread = [np.concatenate([r.descriptors for r in own]).std(axis=0) for own in sets]
    scale = 1 / np.maximum(np.mean(spread, axis=0), 1e-9)
    weights = np.zeros(len(scale))
    without = np.array([auc(own, weights, config) for own in sets])
    draw, step = np.random.default_rng(0), FIRST_STEP
    share = np.log(PAIRS + 0.5) - np.log(np.arange(1, PAIRS + 1))  # of the better half
    share /= share.sum()
    for _ in range(GENERATIONS):
        half = draw.normal(size=(PAIRS, len(weights)))
        moves = step * np.concatenate([half, -half])
        gains = [
            np.array([auc(own, scale * (weights + move), config) for own in sets]) / without
            for move in moves
        ]
        value = [float(gain.mean() + gain.min()) for gain in gains]
        weights = weights + share @ moves[np.argsort(np.negative(value), kind="stable")[:PAIRS]]
        step *= SHRINK
    return scale * weights


def apart(name: str, sets: dict[str, list[Recording]]) -> list[str]:
    """Return the sets that share no recording with one of them; raise UsageError for none."""
    own = {recording.video.id for recording in sets[name]}
    found = [n for n, rows in sets.items() if own.isdisjoint(r.video.id for r in rows)]
    if not found:
        raise click.UsageError(f"{name}: no other SET has other recordings; add one")
    return found


@benchmark()
@click.argument("sets", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@path_option("--judge", "judged", multiple=True, exists=True, help="A set that is only evaluated.")
@path_option("--keep", help="Folder for features that are extracted, and reused.")
def main(sets: tuple[Path, ...], judged: tuple[Path, ...], keep: Path | None, folder: Path) -> None:
    """Print the AUC of three rankings of the label-free candidates for every set.

    \b
    Example:
      python -m benchmarks.general jhmdb-spliced/ hapt/ finch-song/ --judge gesture-phase/
    """
    names = [path.name for path in (*sets, *judged)]
    if len(set(names)) < len(names):
        raise click.UsageError("two sets have the same name; rename one")
    config = Bundle.load(LABEL_FREE).config.soft_nms
    recordings = {path.name: load_recordings(path, keep or folder) for path in (*sets, *judged)}
    training = {p.name: part(recordings[p.name], TRAINING)[:LARGEST] for p in sets}
    of_all = fit(list(training.values()), config)
    lines = []
    for name, rows in recordings.items():
        validation = part(rows, SUBSET)
        before = auc(validation, np.zeros_like(of_all), config)
        others = [training[n] for n in apart(name, training)] if name in training else []
        unseen = fit(others, config) if others else of_all
        figures = [auc(validation, weights, config) for weights in (unseen, of_all)]
        cells = [f"{value:.1f} ({value - before:+.1f})" for value in figures]
        lines.append((name, f"{before:.1f}", *cells))
    print_table(("set", "label-free", "without the set", "trained on all"), lines)


if __name__ == "__main__":
    main()
