"""Joint task of BSN with learnt curves: TEM and PEM are trained as one network.

PEM is trained on candidates that are drawn in every step: near instances, anywhere, and where TEM's
scores of that step are high. Its loss reaches TEM through the curves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from actspan.config.stages import BspConfig, PipelineConfig
from actspan.config.training import PemTrainConfig, TemTrainConfig, TrainingName
from actspan.core.tiou import tiou_matrix
from actspan.core.types import Float32, Float64
from actspan.model.bsn.losses import tem_loss
from actspan.proposals.curves import log_duration, sampled_cells
from actspan.training.samples import Int64, SampleBatch, SampleLabels, Samples, chunks
from actspan.training.tasks import Task, cell_targets, mix_backgrounds

# Factors by which the networks multiply the outputs of layers, by the start of the layers' names.
# At the rate of the other layers the curves would hardly learn with them.
_SCALES = {"tem.conv3": 0.01, "pem.": 0.1}

_CURVES = 5  # number of TEM's outputs before the curves

_NEAR, _ANYWHERE = 0.5, 0.25  # shares of the drawn candidates; the others follow the scores
_LEAST_NOISE, _MOST_NOISE = 0.02, 0.4  # deviation of both ends near an instance, in its lengths
_CUT = 0.02  # part of the video's length by which an instance may reach beyond it
_SHARPNESS, _FLOOR = 0.7, 1e-4  # a cell is drawn with probability ~ score ** 0.7 + 1e-4
_SHORTEST = 0.5  # minimum length of a candidate, in cells
_SEED = 0  # of the candidates that are drawn for validation


class TemAndPem(nn.Module):
    """TEM and PEM of one model, or replicas of both."""

    tem: Any
    pem: Any

    def __init__(self, tem: nn.Module, pem: nn.Module) -> None:
        super().__init__()
        self.tem, self.pem = tem, pem


class DrawnCandidates(NamedTuple):
    """N candidates of the videos of a batch; positions are shares of the T cells."""

    video: Int64  # (N,), position in the batch
    start: Float64  # (N,)
    end: Float64  # (N,)
    tiou: Float32  # (N,), largest with an instance


class JointTask(Task):
    """Cells of the training videos and drawn candidates; validated on the validation videos."""

    name: TrainingName = "bsn"

    def __init__(
        self,
        training: Samples,
        validation: Samples | None,
        pipeline: PipelineConfig,
        tem: TemTrainConfig,
        pem: PemTrainConfig,
    ) -> None:
        self.videos = len(training)
        self._training, self._validation = training, validation
        self._bsp, self._tem, self._pem = pipeline.bsp, tem, pem

    def losses(
        self, net: nn.Module, videos: Int64, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the losses of an augmented batch: `loss`, and its parts."""
        samples, config = self._training, self._tem
        batch = samples.crop(videos, config, generator) if config.crop else samples.take(videos)
        if config.mix:
            mixed = mix_backgrounds(batch.features, cell_targets(batch), config.mix, generator)
            batch = batch._replace(features=mixed)
        return self._losses(net, batch, generator)

    def validate(self, net: nn.Module) -> float | None:
        """Compute the mean loss of the validation videos; the same candidates are drawn for all."""
        if self._validation is None:
            return None
        total, generator = 0.0, torch.Generator().manual_seed(_SEED)
        for batch in chunks(self._validation, self._tem.optim.batch):
            total += self._losses(net, batch, generator)["loss"].item() * len(batch.features)
        return total / len(self._validation)

    def replicate(self, net: Any, replica: Callable[..., nn.Module]) -> TemAndPem:
        """Return replicas of both networks; see `Task.replicate`.

        Every process runs PEM on all candidates, because their loss reaches the curves of TEM only
        in the process that has them.
        """
        return TemAndPem(replica(net.tem), replica(net.pem, shared=False))

    def scale(self, parameter: str) -> float:
        """Return the factor by which a network multiplies the output of a layer."""
        return next((s for start, s in _SCALES.items() if parameter.startswith(start)), 1.0)

    def _losses(
        self, net: Any, batch: SampleBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        targets, config = cell_targets(batch), self._tem
        output = net.tem(torch.from_numpy(batch.features))  # (B, 5 + S, T)
        counted = None if targets.counted is None else torch.from_numpy(targets.counted)
        cells = tem_loss(
            output[:, :3],
            torch.from_numpy(targets.targets),
            action_weight=config.action_weight,
            real=counted,
        )
        position = position_loss(output[:, 3:_CURVES], batch)
        drawn = draw_candidates(batch, output[:, 1:3].detach().numpy(), self._pem.drawn, generator)
        curves = output[:, _CURVES:]
        if batch.real is not None:
            curves = curves * torch.from_numpy(batch.real)[:, None]
        rows = sample_curves(curves, drawn, self._bsp)
        confidence = functional.binary_cross_entropy(
            net.pem(rows)[:, 0], torch.from_numpy(drawn.tiou), reduction="sum"
        ) / max(len(rows), 1)
        loss = cells.total + config.position_weight * position + self._pem.weight * confidence
        return {
            "loss": loss,
            "action": cells.action,
            "start": cells.start,
            "end": cells.end,
            "position": position,
            "confidence": confidence,
        }


def position_loss(positions: Tensor, batch: SampleBatch) -> Tensor:
    """Compute the mean distance of positions, (B, 2, T), from the targets in cells that have one.

    It is 0 for a batch without a boundary.
    """
    length = positions.shape[2]
    targets = np.stack([position_targets(labels, length) for labels in batch.labels])
    has_one = ~np.isnan(targets)
    if batch.real is not None:
        has_one &= batch.real[:, None]
    chosen = torch.from_numpy(has_one)
    distances = (positions[chosen] - torch.from_numpy(targets)[chosen]).abs()
    return distances.sum() / max(len(distances), 1)


def position_targets(labels: SampleLabels, length: int) -> Float32:
    """Return where in its cell the start and the end of an instance lie, (2, T) float32.

    0 is the left edge of the cell and 1 the right one. Cells without a boundary are NaN; of
    several boundaries in a cell, the one nearest to its centre counts.
    """
    targets = np.full((2, length), np.nan, dtype=np.float32)
    for row, boundary in zip(targets, labels.instances.T, strict=True):
        inside = boundary[(boundary >= 0) & (boundary <= 1)] * length
        cell = np.minimum(inside.astype(np.int64), length - 1)
        position = inside - cell
        order = np.argsort(-np.abs(position - 0.5), kind="stable")  # the nearest is written last
        row[cell[order]] = position[order]
    return targets


def draw_candidates(
    batch: SampleBatch, scores: Float32, count: int, generator: torch.Generator
) -> DrawnCandidates:
    """Draw at most `count` candidates per video; those that do not count are left out.

    `scores`, (B, 2, T), are those of starts and ends. Candidates do not count in padded cells, in
    ambiguous stretches, or if they are shorter than half a cell.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    length = scores.shape[2]
    video, start, end, tiou = [], [], [], []
    for index, (labels, row) in enumerate(zip(batch.labels, scores, strict=True)):
        first, last = _draw(labels.instances, row, count, rng)
        keep = last - first >= _SHORTEST / length
        keep &= ~labels.ignores(first, last)
        if batch.real is not None:
            keep &= last <= batch.real[index].sum() / length
        first, last = first[keep], last[keep]
        overlap = tiou_matrix(first, last, *labels.instances.T)  # (n, M)
        tiou.append(overlap.max(axis=1, initial=0.0).astype(np.float32))
        video.append(np.full(len(first), index))
        start.append(first)
        end.append(last)
    return DrawnCandidates(*map(np.concatenate, (video, start, end, tiou)))


def _draw(
    instances: Float64, scores: Float32, count: int, rng: np.random.Generator
) -> tuple[Float64, Float64]:
    """Draw `count` candidates of a video or fewer; return starts and ends in [0, 1]."""
    whole = instances[(instances[:, 0] > -_CUT) & (instances[:, 1] < 1 + _CUT)]
    near = _draw_near(whole, round(count * _NEAR) if len(whole) else 0, rng)
    anywhere = np.sort(rng.random((round(count * _ANYWHERE), 2)), axis=1)
    scored = _draw_scored(scores, count - len(near) - len(anywhere), rng)
    start, end = np.concatenate([near, anywhere, scored]).clip(0, 1).T
    return start, end


def _draw_near(instances: Float64, count: int, rng: np.random.Generator) -> Float64:
    """Draw instances with both ends moved by noise of various deviations, (count, 2)."""
    if count == 0:
        return np.empty((0, 2))
    chosen = instances[rng.integers(len(instances), size=count)]
    noise = np.exp(rng.uniform(np.log(_LEAST_NOISE), np.log(_MOST_NOISE), count))
    moved = noise * (chosen[:, 1] - chosen[:, 0])
    drawn: Float64 = chosen + moved[:, None] * rng.standard_normal((count, 2))
    return drawn


def _draw_scored(scores: Float32, count: int, rng: np.random.Generator) -> Float64:
    """Draw start and end cells by their scores, (2, T), and positions in them; half are short.

    Returns (n, 2) with n <= `count`, because an end must lie behind its start.
    """
    length = scores.shape[1]
    chance = scores.astype(np.float64) ** _SHARPNESS + _FLOOR
    first, last = (rng.choice(length, 4 * count, p=row / row.sum()) for row in chance)
    pairs = np.stack([first, last], axis=1)[first < last]
    pairs = pairs[np.argsort(pairs[:, 1] - pairs[:, 0], kind="stable")]
    short = count // 2
    if len(pairs) > count:
        shorter = rng.permutation(pairs[: 2 * short])[:short]
        longer = rng.permutation(pairs[2 * short :])[: count - short]
        pairs = np.concatenate([shorter, longer])
    drawn: Float64 = (pairs + rng.random(pairs.shape)) / length
    return drawn


def sample_curves(curves: Tensor, drawn: DrawnCandidates, config: BspConfig) -> Tensor:
    """Compute the features of candidates as `curve_features` does, with gradients of the curves.

    Parameters
    ----------
    curves : (B, S, T) tensor
    drawn : DrawnCandidates
        N candidates.
    config : BspConfig

    Returns
    -------
    (N, inputs) tensor
        S curves at each of P positions, position by position, and log(length in cells).
    """
    _, S, T = curves.shape
    lower, share = sampled_cells(drawn.start, drawn.end, T, config)  # (N, P)
    values = curves.transpose(1, 2).reshape(-1, S)  # (B * T, S)
    total = values.new_zeros(lower.size, S)
    for cell, weight in ((lower, 1 - share), (lower + 1, share)):
        inside = (cell >= 0) & (cell < T)
        row = drawn.video[:, None] * T + cell.clip(0, T - 1)
        picked = values.index_select(0, torch.from_numpy(row.ravel()))  # (N * P, S)
        total = total + picked * torch.from_numpy(np.float32(weight * inside)).view(-1, 1)
    duration = torch.from_numpy(log_duration(drawn.start, drawn.end, T).astype(np.float32))
    return torch.cat([total.view(len(lower), S * lower.shape[1]), duration[:, None]], dim=1)
