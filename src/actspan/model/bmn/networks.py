"""BMN in torch (bmn.md section 1), multiplied before sampling (section 13).

Layers have PyTorch's default initialisation, as in the published codes.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import linear, relu
from torch.utils.checkpoint import checkpoint

from actspan.config.bmn import BmnConfig
from actspan.model.bmn.sampling import map_shape, sample_weights
from actspan.model.bsn.networks import Network, Standardize, probabilities
from actspan.model.weights import BMN_GROUPS, check_weights


class BmnOutputs(NamedTuple):
    """Outputs of BMN, in the order of its graph.

    Attributes
    ----------
    confidence_map : (B, 2, rows, columns) tensor
        Channel 0 predicts the IoU, channel 1 whether it is above 0.9. Its axes are those of
        `BmnConfig.axes`.
    start, end : (B, T) tensors
        A start, or an end, in each cell of the video.
    """

    confidence_map: Tensor
    start: Tensor
    end: Tensor


class Bmn(Network):
    """Boundary-Matching Network: starts, ends, and the confidence of every proposal in one pass.

    Samples of a proposal are linear in the features, and so is the layer that combines them. That
    layer is applied first, to the T time positions, and its output is sampled: the same result with
    a twelfth of the arithmetic. While training, the combined samples of one video at a time are in
    memory, and are computed a second time for the gradient; `dropout` is the share of input
    channels dropped as a whole.

    Examples
    --------
    >>> config = BmnConfig(channels=8, length=10, samples=4, base=8, sampled=8, matched=8, hidden=4)
    >>> [tuple(x.shape) for x in Bmn(config)(torch.zeros(2, 8, 10))]
    [(2, 2, 10, 10), (2, 10), (2, 10)]
    """

    config: BmnConfig

    def __init__(self, config: BmnConfig | None = None, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config = BmnConfig() if config is None else config
        H, hidden = config.base, config.hidden
        outer, inner = gcd(BMN_GROUPS, config.channels, H), gcd(BMN_GROUPS, H)
        self.input: nn.Module = nn.Identity()
        self.base = _layers(
            conv1=nn.Conv1d(config.channels, H, 3, padding=1, groups=outer),
            conv2=nn.Conv1d(H, H, 3, padding=1, groups=inner),
        )
        self.start = _layers(
            conv1=nn.Conv1d(H, H, 3, padding=1, groups=inner), conv2=nn.Conv1d(H, 1, 1)
        )
        self.end = _layers(
            conv1=nn.Conv1d(H, H, 3, padding=1, groups=inner), conv2=nn.Conv1d(H, 1, 1)
        )
        self.sampled = _layers(conv=nn.Conv1d(H, config.sampled, 3, padding=1))
        # Holds the weight and bias of the layer over channels and samples, and is never called.
        self.matched = _layers(conv=nn.Conv1d(config.sampled, config.matched, config.samples))
        self.map = _layers(
            conv1=nn.Conv2d(config.matched, hidden, 1),
            conv2=nn.Conv2d(hidden, hidden, 3, padding=1),
            conv3=nn.Conv2d(hidden, hidden, 3, padding=1),
            conv4=nn.Conv2d(hidden, 2, 1),
        )
        self.dropout = nn.Dropout1d(dropout)

    def standardize(self, mean: Tensor, scale: Tensor) -> None:
        """Set the input standardisation to (x - mean) * scale; both (C,), part of the weights."""
        device = self.base.conv1.weight.device
        self.input = Standardize(*(x.detach().to(device).float() for x in (mean, scale)))

    def load_weights(self, weights: Mapping[str, ArrayLike]) -> None:
        """Load weights, with or without a standardisation of the input; raise as `Network`."""
        checked = check_weights(weights, self.config)
        self.input = nn.Identity()
        if "input.mean" in checked:
            mean, scale = (
                torch.from_numpy(checked[f"input.{n}"].copy()) for n in ("mean", "scale")
            )
            self.standardize(mean, scale)
        super().load_weights(checked)

    def forward(self, x: Tensor) -> BmnOutputs:
        """Compute the outputs, probabilities, of features (B, C, T)."""
        x = self.dropout(self.input(x))
        base = relu(self.base.conv2(relu(self.base.conv1(x))))  # (B, H, T)
        start, end = (
            probabilities(side.conv2(relu(side.conv1(base))))[:, 0]
            for side in (self.start, self.end)
        )
        sampled = relu(self.sampled.conv(base))  # (B, S, T)
        if torch.is_grad_enabled():
            maps = [checkpoint(self._proposals, video, use_reentrant=False) for video in sampled]
        else:
            maps = [self._proposals(video) for video in sampled]
        grid = torch.stack(maps)  # (B, hidden, rows, columns)
        grid = relu(self.map.conv3(relu(self.map.conv2(grid))))
        return BmnOutputs(probabilities(self.map.conv4(grid)), start, end)

    def _proposals(self, sampled: Tensor) -> Tensor:
        """Compute the input of the wide layers over the map of one video from (S, T) features."""
        config, layer = self.config, self.matched.conv
        sampling = _sampling(config, str(sampled.device))
        weight = layer.weight.permute(2, 0, 1).flatten(0, 1)  # (N M, S)
        positions = linear(sampled.T, weight).reshape(-1, config.matched)  # (T N, M)
        product: Any = _SparseProduct.apply
        combined: Tensor = product(positions, sampling)  # (proposals, M)
        outside = combined.new_zeros(1, config.matched)  # sampled where there is no proposal
        rows = relu(torch.cat([combined, outside]) + layer.bias)
        rows = relu(linear(rows, self.map.conv1.weight[:, :, 0, 0], self.map.conv1.bias))
        grid = rows[-1].expand(sampling.places, -1).index_copy(0, sampling.cells, rows[:-1])
        return grid.T.reshape(config.hidden, *map_shape(config))


class _Sampling(NamedTuple):
    """Sample weights on a device, and their transpose."""

    weights: Tensor  # (proposals, T N), compressed sparse rows
    transposed: Tensor  # (T N, proposals)
    cells: Tensor  # (proposals,) places in the flattened map
    places: int  # cells of the map


@lru_cache(maxsize=4)
def _sampling(config: BmnConfig, device: str) -> _Sampling:
    sparse, (rows, columns) = sample_weights(config), map_shape(config)
    # They serve trainings, too, even if an inference is first.
    with torch.inference_mode(mode=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls this layout a beta
        weights: Any = torch.sparse_csr_tensor(
            torch.tensor(sparse.offsets),
            torch.tensor(sparse.indices),
            torch.tensor(sparse.values),
            sparse.shape,
            device=device,
        )
        transposed = weights.to_sparse_coo().t().to_sparse_csr()
        cells = torch.tensor(sparse.cells.rows * columns + sparse.cells.columns, device=device)
    return _Sampling(weights, transposed, cells, rows * columns)


class _SparseProduct(torch.autograd.Function):
    """Product of the sample weights with rows, in float32; its gradient is the transposed product.

    Products of sparse tensors have no lower precision.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sampling: _Sampling) -> Tensor:
        ctx.transposed, ctx.dtype = sampling.transposed, rows.dtype
        with torch.autocast(rows.device.type, enabled=False):
            return sampling.weights @ rows.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return (ctx.transposed @ gradients[0]).to(ctx.dtype), None


def _layers(**layers: nn.Module) -> Any:
    return nn.Sequential(OrderedDict(layers))
