"""BMN's weights to ONNX graphs, without 5-D tensors and without the mask (bmn.md section 12).

The layer that combines the samples of a proposal comes before the sampling (section 13). Sampling
is then a sparse product, which standard operators do not have: one graph has small dense products
of gathered rows, the other one dense product for compilers of NPUs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from actspan.config.bmn import BmnConfig
from actspan.core.types import Float32
from actspan.model.bmn.blocks import REACH, Rectangle, SampleBlock, map_strips, sample_blocks
from actspan.model.bmn.forward import map_layers, proposal_layers
from actspan.model.bmn.sampling import Integers, map_cells, map_shape, sample_weights
from actspan.model.graph_builder import GraphBuilder, Sizes

if TYPE_CHECKING:
    import onnx


def build_bmn(
    weights: Mapping[str, Float32], config: BmnConfig, *, batch: int | None = None
) -> onnx.ModelProto:
    """Build BMN: `video` (batch, C, T) to `confidence_map`, `start` and `end`.

    They are (batch, 2, rows, columns), (batch, T) and (batch, T). With `input.mean` and
    `input.scale` among its weights, the graph standardises its input. Batch is free unless given.
    Cells of the map that are no proposal have what the published network gives there.
    """
    graph = _Bmn(weights, config)
    graph.add_strips(*graph.blocks_of_proposals(graph.temporal_layers()))
    return graph.finished(batch or "batch")


def build_bmn_for_npu(
    weights: Mapping[str, Float32], config: BmnConfig, *, batch: int
) -> onnx.ModelProto:
    """Build BMN as `build_bmn` for a fixed batch, with one dense product and the map as a whole.

    The constant of the product has T N x proposals entries: 65 MB at T = 100.
    """
    graph = _Bmn(weights, config)
    graph.add_whole_map(*graph.dense_proposals(graph.temporal_layers()))
    return graph.finished(batch)


class _Bmn(GraphBuilder):
    """Parts of BMN's graph; B is its batch, M are the channels of `matched.conv`.

    Proposals are rows (B, n + 1, channels) in some order. The last row is a cell of the map that is
    no proposal, whose samples are zero.
    """

    def __init__(self, weights: Mapping[str, Float32], config: BmnConfig) -> None:
        super().__init__(weights)
        self._bmn, self._config, self._shape = weights, config, map_shape(config)

    def finished(self, batch: int | str) -> onnx.ModelProto:
        config = self._config
        video: Sizes = (batch, config.channels, config.length)
        outputs: dict[str, Sizes] = {"confidence_map": (batch, 2, *self._shape)}
        outputs |= {"start": (batch, config.length), "end": (batch, config.length)}
        return self.model("bmn", {"video": video}, outputs)

    def temporal_layers(self) -> str:
        """Add `start` and `end`; return the features to sample, (B, T, S)."""
        x = "video"
        if "input.mean" in self._bmn:
            x = self.add("Sub", x, self.constant("mean", self._bmn["input.mean"][None, :, None]))
            x = self.add("Mul", x, self.constant("scale", self._bmn["input.scale"][None, :, None]))
        base = self._conv1d(self._conv1d(x, "base.conv1"), "base.conv2")
        axis = self.constant("channel_axis", np.array([1]))
        for side in ("start", "end"):
            x = self._conv1d(base, f"{side}.conv1")
            x = self.add("Conv", x, f"{side}.conv2.weight", f"{side}.conv2.bias", kernel_shape=[1])
            self.add("Squeeze", self.add("Sigmoid", x), axis, output=side)
        return self.add("Transpose", self._conv1d(base, "sampled.conv"), perm=[0, 2, 1])

    def blocks_of_proposals(self, sampled: str) -> tuple[str, Integers]:
        """Return proposals, (B, n + 1, hidden), and their order, by products of blocks."""
        x, bands = self._rows_before_sampling(sampled), sample_blocks(self._config)
        parts = []
        for band in bands:
            products = [self._block_product(x, block, end=block is bands[-1][-1]) for block in band]
            parts.append(self._proposal_layers(self._concat(products, axis=1)))
        order = np.concatenate([block.proposals for band in bands for block in band])
        return self._concat(parts, axis=1), order

    def dense_proposals(self, sampled: str) -> tuple[str, Integers]:
        """Return proposals, (B, n + 1, hidden), and their order, by one dense product."""
        sparse = sample_weights(self._config)
        weights = np.pad(sparse.dense(0, sparse.shape[0]), ((0, 1), (0, 0)))
        x = self._rows_before_sampling(sampled)
        x = self.add("MatMul", self.constant("sample_weights", weights), x)
        return self._proposal_layers(x), np.arange(sparse.shape[0])

    def add_whole_map(self, proposals: str, order: Integers) -> None:
        """Add the layers over the map, and `confidence_map`."""
        whole = Rectangle(0, self._shape[0], 0, self._shape[1])
        logits = self._map_layers(self._placed(proposals, order, whole), whole)
        self.add("Sigmoid", logits, output="confidence_map")

    def add_strips(self, proposals: str, order: Integers) -> None:
        """Add the layers over strips of the map, and `confidence_map`.

        Outputs that depend on no proposal are constants.
        """
        places, count, parts = np.full(self._shape, -1), 0, []
        for strip in map_strips(self._config):
            x = self._placed(proposals, order, strip.grown(REACH, self._shape))
            parts.append(self._reshape(self._map_layers(x, strip), 0, 2, -1))
            size = int(np.prod(strip.shape))
            places[strip.cells] = count + np.arange(size).reshape(strip.shape)
            count += size
        taken = self.constant("cells", np.maximum(places, 0).ravel())
        x = self.add("Gather", self._concat(parts, axis=2), taken, axis=2)  # (B, 2, cells)
        computed = self.constant("is_computed", places.ravel() >= 0)
        x = self.add("Where", computed, x, self.constant("empty_map", self._empty_map()))
        self.add("Sigmoid", self._reshape(x, 0, 2, *self._shape), output="confidence_map")

    def _map_layers(self, x: str, inner: Rectangle) -> str:
        """Compute the logits of the cells of `inner`; `x` also has those that they depend on."""
        outer = inner.grown(REACH, self._shape)
        for margin, layer in ((1, "map.conv2"), (0, "map.conv3")):
            result = inner.grown(margin, self._shape)
            starts = [1 - (result.top - outer.top), 1 - (result.left - outer.left)]
            ends = [1 - (outer.bottom - result.bottom), 1 - (outer.right - result.right)]
            options: dict[str, Any] = {"kernel_shape": [3, 3], "pads": starts + ends}
            x = self.add("Conv", x, f"{layer}.weight", f"{layer}.bias", **options)
            x, outer = self.add("Relu", x), result
        return self.add("Conv", x, "map.conv4.weight", "map.conv4.bias", kernel_shape=[1, 1])

    def _empty_map(self) -> Float32:
        """Return the logits of a map without proposals, (2, cells): they differ at its edges."""
        sizes = [min(size, 2 * REACH + 1) for size in self._shape]
        empty = proposal_layers(self._bmn, np.zeros_like(self._bmn["matched.conv.bias"])[None])
        small = map_layers(self._bmn, np.tile(empty.T[..., None], (1, *sizes)))
        rows, columns = (
            np.maximum(np.minimum(np.arange(size), REACH), np.arange(size) - (size - few))
            for size, few in zip(self._shape, sizes, strict=True)
        )
        return small[:, rows[:, None], columns].reshape(2, -1)

    def _block_product(self, x: str, block: SampleBlock, *, end: bool) -> str:
        """Combine the samples of a block; at the end add a row for cells that are no proposal."""
        number = block.proposals[0]
        weights = np.pad(block.weights, ((0, int(end)), (0, 0)))
        x = self.add("Gather", x, self.constant(f"columns_{number}", block.columns), axis=1)
        return self.add("MatMul", self.constant(f"sample_weights_{number}", weights), x)

    def _rows_before_sampling(self, sampled: str) -> str:
        """Apply `matched.conv` to every time position and sample: (B, T, S) to (B, T N, M)."""
        weight = self._bmn["matched.conv.weight"]  # (M, S, N)
        M, S, N = weight.shape
        turned = weight.transpose(1, 2, 0).reshape(S, N * M)
        x = self.add("MatMul", sampled, self.constant("matched.conv.weight_t", turned))
        return self._reshape(x, 0, self._config.length * N, M)

    def _proposal_layers(self, x: str) -> str:
        """Apply to the combined samples of proposals, (B, n, M), what precedes the map."""
        x = self.add("Relu", self.add("Add", x, "matched.conv.bias"))
        weight = self._bmn["map.conv1.weight"][:, :, 0, 0]
        x = self.add("MatMul", x, self.constant("map.conv1.weight_t", weight.T))
        return self.add("Relu", self.add("Add", x, "map.conv1.bias"))

    def _placed(self, proposals: str, order: Integers, where: Rectangle) -> str:
        """Place proposals in a part of the map, (B, hidden, rows, columns)."""
        cells, places = map_cells(self._config), np.full(self._shape, len(order))
        places[cells.rows[order], cells.columns[order]] = np.arange(len(order))
        taken = self.constant(f"places_{where.top}", places[where.cells].ravel())
        x = self.add("Gather", proposals, taken, axis=1)
        x = self.add("Transpose", x, perm=[0, 2, 1])
        return self._reshape(x, 0, self._config.hidden, *where.shape)

    def _conv1d(self, x: str, layer: str) -> str:
        inputs = {"base.conv1": self._config.channels}.get(layer, self._config.base)
        group = inputs // self._bmn[f"{layer}.weight"].shape[1]
        options: dict[str, Any] = {"kernel_shape": [3], "pads": [1, 1], "group": group}
        x = self.add("Conv", x, f"{layer}.weight", f"{layer}.bias", **options)
        return self.add("Relu", x)

    def _reshape(self, x: str, *sizes: int) -> str:
        return self.add("Reshape", x, self.constant(f"shape_of_{x}", np.array(sizes)))

    def _concat(self, parts: Sequence[str], *, axis: int) -> str:
        return self.add("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]
