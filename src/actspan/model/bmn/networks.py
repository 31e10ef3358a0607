"""BMN in torch (bmn.md section 1), multiplied before sampling (section 13).

Layers have PyTorch's default initialisation, as in the published codes.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu
from torch.utils.checkpoint import checkpoint

from actspan.config.bmn import BmnConfig
from actspan.model.bmn.sampling import map_shape, sample_weights
from actspan.model.bsn.networks import VideoNetwork, probabilities
from actspan.model.weights import BMN_GROUPS

_CHUNK = 4  # videos whose samples are in memory at a time


class BmnOutputs(NamedTuple):
    """Outputs of BMN, in the order of its graph: logits, or probabilities.

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


class Bmn(VideoNetwork):
    """Boundary-Matching Network: starts, ends, and the confidence of every proposal in one pass.

    Samples of a proposal are linear in the features, and so is the layer that combines them. That
    layer is applied first, to the T time positions, and its output is sampled: the same result with
    a twelfth of the arithmetic. While training, the samples of a few videos at a time are in
    memory, and are computed again for the gradient. `dropout` is the share of input channels
    dropped as a whole.

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
        C, H, hidden = config.channels, config.base, config.hidden
        self.base = _layers(
            conv1=_grouped(C, H), relu1=nn.ReLU(), conv2=_grouped(H, H), relu2=nn.ReLU()
        )
        self.start = _layers(conv1=_grouped(H, H), relu=nn.ReLU(), conv2=nn.Conv1d(H, 1, 1))
        self.end = _layers(conv1=_grouped(H, H), relu=nn.ReLU(), conv2=nn.Conv1d(H, 1, 1))
        self.sampled = _layers(conv=nn.Conv1d(H, config.sampled, 3, padding=1), relu=nn.ReLU())
        # Holds the weights of the layer over channels and samples; `_matched` applies them.
        self.matched = _layers(conv=nn.Conv1d(config.sampled, config.matched, config.samples))
        self.map = _layers(
            conv1=nn.Conv2d(config.matched, hidden, 1),  # applied by `_matched`
            conv2=nn.Conv2d(hidden, hidden, 3, padding=1),
            relu2=nn.ReLU(inplace=True),
            conv3=nn.Conv2d(hidden, hidden, 3, padding=1),
            relu3=nn.ReLU(inplace=True),
            conv4=nn.Conv2d(hidden, 2, 1),
        )
        self.dropout = nn.Dropout1d(dropout)

    def logits(self, x: Tensor) -> BmnOutputs:
        """Compute the logits of all outputs from features (B, C, T)."""
        base = self.base(self.dropout(self.input(x)))  # (B, H, T)
        start, end = self.start(base)[:, 0], self.end(base)[:, 0]  # (B, T)
        parts = self.sampled(base).split(_CHUNK)  # (_CHUNK, S, T) each
        if torch.is_grad_enabled():
            maps = [checkpoint(self._matched, part, use_reentrant=False) for part in parts]
        else:
            maps = [self._matched(part) for part in parts]
        return BmnOutputs(self.map[1:](torch.cat(maps)), start, end)

    def forward(self, x: Tensor) -> BmnOutputs:
        """Compute the probabilities of all outputs from features (B, C, T)."""
        return BmnOutputs(*(probabilities(logits) for logits in self.logits(x)))

    def _matched(self, x: Tensor) -> Tensor:
        """Compute the layers matched.conv and map.conv1: (B, S, T) to (B, hidden, rows, columns).

        The result has the memory format of channels last. Cells that are no proposals have the
        value of features that are zero.
        """
        layer, pointwise = self.matched.conv, self.map.conv1
        sampling = _sampling(self.config, layer.weight)
        weight = layer.weight.permute(2, 0, 1).flatten(0, 1)  # (N M, S)
        positions = linear(x.transpose(1, 2), weight)  # (B, T, N M)
        samples = positions.reshape(len(x), -1, len(layer.weight))  # (B, T N, M)
        matched = torch.stack([_sparse_product(rows, sampling) for rows in samples])
        matched = relu(matched + layer.bias)  # (B, proposals, M)
        hidden = relu(linear(matched, pointwise.weight[:, :, 0, 0], pointwise.bias))
        empty = relu(linear(relu(layer.bias), pointwise.weight[:, :, 0, 0], pointwise.bias))
        rows, columns = map_shape(self.config)
        grid = empty.expand(len(x), rows * columns, -1).index_copy(1, sampling.cells, hidden)
        return grid.reshape(len(x), rows, columns, -1).permute(0, 3, 1, 2)


class _Sampling(NamedTuple):
    """Sample weights as tensors, and their transpose."""

    weights: Tensor  # (proposals, T N), compressed sparse rows
    transposed: Tensor  # (T N, proposals), likewise
    cells: Tensor  # (proposals,) positions in the flat map


def _sampling(config: BmnConfig, x: Tensor) -> _Sampling:
    """Return the sample weights on the device and of the type of `x`."""
    return _cached_sampling(config, x.device, x.dtype)


@lru_cache(maxsize=4)
def _cached_sampling(config: BmnConfig, device: torch.device, dtype: torch.dtype) -> _Sampling:
    sparse, columns = sample_weights(config), map_shape(config)[1]
    # The tensors are shared with trainings, even if an inference is the first to need them.
    with torch.inference_mode(mode=False), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        entries = (
            torch.tensor(sparse.offsets, dtype=torch.int32, device=device),
            torch.tensor(sparse.indices, dtype=torch.int32, device=device),
            torch.tensor(sparse.values, dtype=dtype, device=device),
        )
        weights = torch.sparse_csr_tensor(*entries, size=sparse.shape, check_invariants=False)
        transposed = weights.to_sparse(layout=torch.sparse_coo).t().to_sparse_csr()
        cells = torch.tensor(sparse.cells.rows * columns + sparse.cells.columns, device=device)
    return _Sampling(weights, transposed, cells)


def _sparse_product(matrix: Tensor, sampling: _Sampling) -> Tensor:
    """Multiply the sample weights with a matrix: (T N, M) to (proposals, M)."""
    product: Tensor = _SparseProduct.apply(matrix, sampling)  # type: ignore[no-untyped-call]
    return product


class _SparseProduct(torch.autograd.Function):
    """Product of the sample weights and a matrix; its gradient is the transposed product.

    It has the precision of the weights, as sparse products have no lower one.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, sampling: _Sampling) -> Tensor:
        """Multiply (T N, M) to (proposals, M)."""
        ctx.transposed, ctx.dtype = sampling.transposed, matrix.dtype
        with torch.autocast(matrix.device.type, enabled=False):
            return sampling.weights @ matrix.to(sampling.weights.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply the gradient (proposals, M) to (T N, M)."""
        return (ctx.transposed @ gradients[0]).to(ctx.dtype), None


def _grouped(inputs: int, outputs: int) -> nn.Conv1d:
    """Return a convolution over time of 4 groups, or of as many as the sizes allow."""
    return nn.Conv1d(inputs, outputs, 3, padding=1, groups=gcd(BMN_GROUPS, inputs, outputs))


def _layers(**layers: nn.Module) -> Any:
    """Return layers in sequence, under these names."""
    return nn.Sequential(OrderedDict(layers))
