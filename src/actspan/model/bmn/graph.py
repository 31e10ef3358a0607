"""BMN's weights to ONNX graphs, without 5-D tensors and without the mask (bmn.md section 12).

The layer that combines the samples of a proposal comes before the sampling (section 13). Sampling
is then a sparse product, which standard operators do not have: one graph has small dense products
of gathered rows, the other one dense product for compilers of NPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actspan.config.bmn import BmnConfig
from actspan.core.types import Float32
from actspan.model.bmn.blocks import sample_blocks
from actspan.model.bmn.sampling import map_shape, sample_weights
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
    sampled = graph.temporal_layers()
    graph.map_layers(graph.gathered_proposals(sampled), "confidence_map")
    return graph.finished(batch or "batch")


def build_bmn_for_npu(
    weights: Mapping[str, Float32], config: BmnConfig, *, batch: int
) -> onnx.ModelProto:
    """Build BMN as `build_bmn` for a fixed batch, with one dense product in place of gathering.

    Its constant has T N x proposals entries: 65 MB at T = 100.
    """
    graph = _Bmn(weights, config)
    sampled = graph.temporal_layers()
    graph.map_layers(graph.dense_proposals(sampled, batch), "confidence_map")
    return graph.finished(batch)


class _Bmn(GraphBuilder):
    """Parts of BMN's graph; B is its batch, M are the channels of `matched.conv`."""

    def __init__(self, weights: Mapping[str, Float32], config: BmnConfig) -> None:
        super().__init__(weights)
        self._bmn, self._config = weights, config

    def finished(self, batch: int | str) -> onnx.ModelProto:
        config = self._config
        T, shape = config.length, map_shape(config)
        video: Sizes = (batch, config.channels, T)
        outputs: dict[str, Sizes] = {"confidence_map": (batch, 2, *shape)}
        outputs |= {"start": (batch, T), "end": (batch, T)}
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

    def gathered_proposals(self, sampled: str) -> str:
        """Return the input of the layers over the map, (B, hidden, rows, columns)."""
        blocks, (M, _, _) = sample_blocks(self._config), self._bmn["matched.conv.weight"].shape
        count, size, K = blocks.weights.shape
        x = self._rows_before_sampling(sampled)  # (B, T N, M)
        x = self.add("Gather", x, self.constant("gathered", blocks.columns.ravel()), axis=1)
        x = self._reshape(x, 0, count, K, M)
        x = self.add("MatMul", self.constant("sample_weights", blocks.weights), x)
        x = self._reshape(self._proposal_layers(x), 0, count * size, self._config.hidden)
        return self._placed(x, blocks.positions)

    def dense_proposals(self, sampled: str, batch: int) -> str:
        """Return the input of the layers over the map, (B, hidden, rows, columns)."""
        sparse = sample_weights(self._config)
        count, (rows, columns) = len(sparse.cells.rows), map_shape(self._config)
        weights = self.constant("sample_weights", sparse.dense(0, count))
        x = self.add("MatMul", weights, self._rows_before_sampling(sampled))  # (B, proposals, M)
        positions = np.full((rows, columns), count, np.int32)
        positions[sparse.cells.rows, sparse.cells.columns] = np.arange(count)
        return self._placed(self._proposal_layers(x), positions.ravel())

    def map_layers(self, x: str, output: str) -> None:
        """Add the layers over the whole map."""
        for layer in ("map.conv2", "map.conv3"):
            options: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
            x = self.add("Conv", x, f"{layer}.weight", f"{layer}.bias", **options)
            x = self.add("Relu", x)
        x = self.add("Conv", x, "map.conv4.weight", "map.conv4.bias", kernel_shape=[1, 1])
        self.add("Sigmoid", x, output=output)

    def _conv1d(self, x: str, layer: str) -> str:
        inputs = {"base.conv1": self._config.channels}.get(layer, self._config.base)
        group = inputs // self._bmn[f"{layer}.weight"].shape[1]
        options: dict[str, Any] = {"kernel_shape": [3], "pads": [1, 1], "group": group}
        x = self.add("Conv", x, f"{layer}.weight", f"{layer}.bias", **options)
        return self.add("Relu", x)

    def _reshape(self, x: str, *sizes: int) -> str:
        return self.add("Reshape", x, self.constant(f"shape_of_{x}", np.array(sizes)))

    def _rows_before_sampling(self, sampled: str) -> str:
        """Apply `matched.conv` to every time position and sample: (B, T, S) to (B, T N, M)."""
        weight = self._bmn["matched.conv.weight"]  # (M, S, N)
        M, S, N = weight.shape
        turned = weight.transpose(1, 2, 0).reshape(S, N * M)
        x = self.add("MatMul", sampled, self.constant("matched.conv.weight_t", turned))
        return self._reshape(x, 0, self._config.length * N, M)

    def _proposal_layers(self, x: str) -> str:
        """Apply to the samples' sums of every proposal, (..., M), what precedes the map."""
        x = self.add("Relu", self.add("Add", x, "matched.conv.bias"))
        weight = self._bmn["map.conv1.weight"][:, :, 0, 0]
        x = self.add("MatMul", x, self.constant("map.conv1.weight_t", weight.T))
        return self.add("Relu", self.add("Add", x, "map.conv1.bias"))

    def _placed(self, proposals: str, positions: NDArray[np.int32]) -> str:
        """Place rows (B, n, hidden) in the map; position n stands for cells without a proposal."""
        bias = np.maximum(self._bmn["matched.conv.bias"], 0)
        outside = self._bmn["map.conv1.weight"][:, :, 0, 0] @ bias + self._bmn["map.conv1.bias"]
        outside = np.maximum(outside, 0)[None, None]  # (1, 1, hidden)
        first = self.add("Slice", proposals, *map(self._index, (0, 1, 1)))  # (B, 1, hidden)
        zero = self.add("Mul", first, self.constant("zero", np.float32(0)))
        row = self.add("Add", zero, self.constant("outside", outside))
        x = self.add("Concat", proposals, row, axis=1)
        x = self.add("Gather", x, self.constant("positions", positions), axis=1)
        x = self.add("Transpose", x, perm=[0, 2, 1])
        return self._reshape(x, 0, self._config.hidden, *map_shape(self._config))

    def _index(self, value: int) -> str:
        return self.constant(f"index_{value}", np.array([value]))
