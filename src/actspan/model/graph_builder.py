"""Graphs for ONNX, node by node, without torch; needs the package `onnx`.

Opset 17 and IR version 8: every operator used here is unchanged since opset 14, and these versions
are read by ONNX Runtime since 1.12, OpenVINO since 2023, TensorRT since 8.6 and the CANN compilers
of recent years. A newer opset has no advantage and excludes older runtimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actspan import __version__
from actspan.core.errors import require
from actspan.core.types import Float32

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8
Sizes = tuple[int | str, ...]  # a name stands for any size


class GraphBuilder:
    """Nodes and constants of a graph; a weight becomes a constant when a node first uses it."""

    def __init__(self, weights: Mapping[str, Float32]) -> None:
        self._onnx = require("onnx", extra="export", purpose="exporting to ONNX")
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[Any] | np.float32) -> str:
        """Store `value` under `name`."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def add(
        self, operator: str, *inputs: str, output: str = "", **attributes: list[int] | int | str
    ) -> str:
        """Append a node; return the name of its output."""
        for name in inputs:
            if name in self._weights and name not in self._constants:
                self.constant(name, self._weights[name])
        name = f"{operator.lower()}_{len(self._nodes)}"
        output = output or name
        self._nodes.append(
            self._onnx.helper.make_node(operator, list(inputs), [output], name=name, **attributes)
        )
        return output

    def linear(self, x: str, layer: str, rank: int) -> str:
        """Append a fully connected layer: Gemm if the input is a matrix, else MatMul and Add."""
        weight = self.constant(f"{layer}.weight_t", self._weights[f"{layer}.weight"].T)
        if rank == 2:
            return self.add("Gemm", x, weight, f"{layer}.bias")
        return self.add("Add", self.add("MatMul", x, weight), f"{layer}.bias")

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sizes],
        outputs: Mapping[str, Sizes],
    ) -> onnx.ModelProto:
        """Return the finished model, after the full check."""
        helper, float32 = self._onnx.helper, self._onnx.TensorProto.FLOAT
        described = (
            [helper.make_tensor_value_info(name, float32, sizes) for name, sizes in side.items()]
            for side in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, name, *described, list(self._constants.values()))
        model: onnx.ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="actspan",
            producer_version=__version__,
        )
        self._onnx.checker.check_model(model, full_check=True)
        return model
