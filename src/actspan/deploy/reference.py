"""The reference of a verification: videos, the checkpoint as a session, and differences from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import Edge, PipelineConfig, TemConfig
from actspan.core.errors import ShapeError
from actspan.core.problems import Problem, dataset_notes
from actspan.core.segments import Proposals
from actspan.core.types import Features, Float32, Float64, Video
from actspan.data.dataset import Dataset
from actspan.model.bundle import Bundle
from actspan.model.forward import network_outputs
from actspan.model.nets import FORMS, Net, input_shape, video_net
from actspan.pipeline.inputs import check_features
from actspan.pipeline.outcomes import Outcome, ScoredVideo, VideoInput
from actspan.pipeline.steps import feature_inputs
from actspan.runtime.session import FileSession, Session, Shape

# Beyond this, a probability in float32 has too few digits for its logit: at 7, the last digit of
# the probability (6e-8) is already 7e-5 of the logit, and the checkpoint's own outputs scatter.
LOGIT_LIMIT = 7.0
# Scores are products of three float32: within this relative distance, their order is undefined.
TIE = 1e-6
# Cells by which the ends of the same segment may differ: positions within a cell are outputs of the
# network, like scores. It is 1e-4 of a video of 100 cells.
POSITION_SLACK = 1e-2


class Call(NamedTuple):
    """One call of a network: its input and its outputs."""

    input: NDArray[Any]
    outputs: Sequence[Float32]


class CheckpointSession(FileSession):
    """A network computed from its weights: the reference for every other variant.

    It computes in double precision and rounds at the end. In single precision it would have
    rounding errors of its own: two scores that differ only in the last bit would swap, and every
    later proposal would have another rank.

    Parameters
    ----------
    remember : int
        Calls are recorded in `calls` until they contain this number of rows.
    """

    def __init__(self, bundle: Bundle, net: Net, *, remember: int = 0) -> None:
        weights = bundle.weights(net)
        self._weights = {name: array.astype(np.float64) for name, array in weights.items()}
        self._settings = bundle.settings(net)
        self._lock, self._rows = Lock(), remember
        self.calls: list[Call] = []
        shape: Shape = (None, *input_shape(bundle.config, net))
        if net == "tem":
            shape = (*shape[:2], None)  # any number of cells
        super().__init__(
            backend="checkpoint",
            vendor="NumPy",
            path=Path(bundle.path, f"{net}.safetensors"),
            input_shapes={FORMS[net].input: shape},
            output_names=FORMS[net].outputs,
        )

    def _compute(self, inputs: Mapping[str, NDArray[Any]]) -> list[Float32]:
        (x,) = inputs.values()
        outputs = network_outputs(self._settings, self._weights, x)
        rounded = [output.probabilities.astype(np.float32) for output in outputs]
        with self._lock:
            if self._rows > 0:
                self._rows -= len(x)
                self.calls.append(Call(x.copy(), rounded))  # The caller may reuse its memory.
        return rounded

    def _release(self) -> None:
        self._weights = {}


@dataclass(frozen=True, slots=True)
class Difference:
    """Absolute differences of a network's outputs from the checkpoint's.

    Logits are computed from the probabilities, and compared where the checkpoint's logit is within
    -7 ... 7; NaN if none is.
    """

    max: float  # of probabilities
    mean: float
    logit_max: float
    logit_mean: float
    values: int  # number of compared values


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares of the checkpoint's proposals that a variant finds, in [0, 1]."""

    same: float  # same segment at the same rank
    kept: float  # same segment at any rank
    proposals: int  # number of proposals of the checkpoint
    # Videos in which two candidates of equal score (within `TIE`) are swapped: the pick of Soft-
    # NMS, and so all later ranks, depends on the last bit.
    ties: frozenset[str] = frozenset()
    settled: float = 1.0  # like `same`, without the ranks after such a tie


def compare_outputs(calls: Iterable[Call], session: Session) -> Difference:
    """Run a session on the checkpoint's inputs, and compare its outputs.

    Raise ShapeError if one has another shape than the checkpoint's.
    """
    expected, outputs = [], []
    (name,) = session.input_shapes
    for call in calls:
        found = session.run({name: call.input}).values()
        for output, wanted in zip(found, call.outputs, strict=True):
            if output.shape != wanted.shape:
                raise ShapeError(f"output is {output.shape}, the checkpoint's is {wanted.shape}")
            expected.append(output.ravel())
            outputs.append(wanted.ravel())
    a = np.concatenate(expected).astype(np.float64)
    b = np.concatenate(outputs).astype(np.float64)
    gap = np.abs(a - b)
    logits = np.abs(_logit(a) - _logit(b))[np.abs(_logit(b)) <= LOGIT_LIMIT]
    largest, mean = (logits.max(), logits.mean()) if logits.size else (np.nan, np.nan)
    return Difference(float(gap.max()), float(gap.mean()), float(largest), float(mean), gap.size)


def _logit(probability: Float64) -> Float64:
    tiny = np.finfo(np.float32).tiny
    clipped = np.clip(probability, tiny, 1.0 - 2.0**-25)
    logit: Float64 = np.log(clipped) - np.log1p(-clipped)
    return logit


def compare_proposals(
    checkpoint: Mapping[str, Proposals],
    variant: Mapping[str, Proposals],
    slack: Mapping[str, float] | None = None,
) -> Agreement:
    """Count the checkpoint's proposals that a variant finds too.

    Segments lie on cell centres on both sides, so the same ones are equal to the last bit. If the
    network gives positions within cells, `slack` has the seconds by which the ends of the same
    segment may differ in each video; see `position_slack`.
    """
    total = judged = same = settled = kept = 0
    ties = set()
    for video, ours in checkpoint.items():
        other = variant.get(video, Proposals.empty("seconds"))
        near = _are_same(ours, other, (slack or {}).get(video, 0.0))  # (N, M)
        equal = near.diagonal().tolist()
        ranks = _ranks_before_tie(equal, ours, other)
        total, judged = total + len(ours), judged + ranks
        if ranks < len(ours):
            ties.add(video)
        same, settled = same + sum(equal), settled + sum(equal[:ranks])
        kept += _count_pairs(near)
    return Agreement(
        same=same / total if total else 1.0,
        kept=kept / total if total else 1.0,
        proposals=total,
        ties=frozenset(ties),
        settled=settled / judged if judged else 1.0,
    )


def position_slack(outcome: Outcome, config: PipelineConfig) -> float:
    """Return the seconds by which the ends of the same segment of a video may differ.

    They are `POSITION_SLACK` cells if the network gives positions within cells, otherwise 0.
    """
    return POSITION_SLACK * outcome.seconds / len(outcome.scores) if config.curves else 0.0


def _ranks_before_tie(equal: Sequence[bool], ours: Proposals, theirs: Proposals) -> int:
    """Return the number of comparable ranks: all, or those before two swapped equal scores.

    Up to the first difference both sides picked the same segments, so both saw the same scores.
    If their different picks have equal scores, it was a tie.
    """
    if False not in equal:
        return len(ours)
    first = equal.index(False)
    a, b = float(ours.score[first]), float(theirs.score[first])
    return first if abs(a - b) <= TIE * abs(a) else len(ours)


def _are_same(ours: Proposals, theirs: Proposals, slack: float) -> NDArray[np.bool_]:
    """Return which pairs of proposals are the same segment, (N, M)."""
    starts = np.abs(ours.start[:, None] - theirs.start) <= slack
    same: NDArray[np.bool_] = starts & (np.abs(ours.end[:, None] - theirs.end) <= slack)
    return same


def _count_pairs(near: NDArray[np.bool_]) -> int:
    """Count the rows that have a column of their own; windows may find a segment twice."""
    free = np.ones(near.shape[1], dtype=bool)
    for row in near:
        own = np.flatnonzero(row & free)[:1]
        free[own] = False
    return int((~free).sum())


@dataclass(frozen=True, slots=True)
class SampleVideos:
    """Videos to run variants on."""

    name: str  # for reports
    jobs: Callable[[], Iterator[VideoInput]]  # returns new jobs, the same ones each time
    count: int
    truth: tuple[Video, ...] = ()  # videos with instances, if recall can be measured
    edge: Edge = "clamp"  # how rescaling fills cells beyond the outer snippets
    notes: tuple[str, ...] = ()  # assumptions that were made
    problems: tuple[Problem, ...] = ()  # skipped videos, with reasons


def dataset_videos(path: Path, subset: str | None, bundle: Bundle) -> SampleVideos:
    """Return the videos of a subset that have features, and the skipped ones.

    Raise DataError if the dataset cannot be read, or none of its videos has usable features.
    """
    dataset = Dataset.load(path).subset(subset, bundle.set_apart)
    dataset = check_features(dataset, bundle, on_error="skip")

    def inputs() -> Iterator[VideoInput]:
        return feature_inputs(dataset, dataset.videos.ids, bundle.config)

    name = f"{path.resolve().name}, {subset or 'all'}"
    truth = tuple(v for v in dataset.videos if len(v.segments))
    notes = (*dataset.notes, *dataset_notes(dataset.problems))
    return SampleVideos(name, inputs, len(dataset), truth, dataset.edge, notes, dataset.problems)


def synthetic_videos(bundle: Bundle, *, videos: int = 32, seed: int = 0) -> SampleVideos:
    """Create smooth random features; random boundary scores if the bundle takes no features.

    Their scale is that of the network's standardisation if it has one, otherwise the deviation
    is 2.
    """
    make = _features(bundle) if bundle.takes_features else partial(_scores, bundle.config)

    def inputs() -> Iterator[VideoInput]:
        return (VideoInput(f"synthetic-{i}", partial(make, seed, i)) for i in range(videos))

    return SampleVideos(f"synthetic, seed {seed}", inputs, videos)


def _features(bundle: Bundle) -> Callable[[int, int], Features]:
    net = video_net(bundle.config)
    weights, (channels, length) = bundle.weights(net), input_shape(bundle.config, net)
    scale = weights.get("input.scale", np.float32(0.5))
    deviation = 1.0 / np.where(scale == 0, 1, scale)
    mean = weights.get("input.mean", np.float32(0))

    def make(seed: int, number: int) -> Features:
        rng = np.random.default_rng((seed, number))
        curves = _smooth(rng.standard_normal((length, channels), np.float32))
        return Features((mean + deviation * curves).astype(np.float32), stride=1.0, length=1.0)

    return make


def _scores(config: PipelineConfig, seed: int, number: int) -> ScoredVideo:
    rng, outputs = np.random.default_rng((seed, number)), (config.tem or TemConfig()).outputs
    curves = _smooth(rng.standard_normal((100, outputs), np.float32))
    scores = 1.0 / (1.0 + np.exp(1.5 - 2.0 * curves))
    return ScoredVideo.of_output(scores.T, 100.0)


def _smooth(noise: Float32) -> Float32:
    """Draw random rows that resemble their neighbours, deviation 1: (T, C)."""
    kernel = np.array([1, 2, 3, 2, 1], dtype=np.float32)
    kernel /= np.sqrt((kernel**2).sum())
    columns = [np.convolve(column, kernel, mode="same") for column in noise.T]
    return np.stack(columns, axis=1).astype(np.float32)
