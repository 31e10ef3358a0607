"""Rewrites of ONNX graphs, each with a contract that is checked.

A pass finds nodes by structure, never by name, so it works on any exporter's files.
`actspan.deploy.optimize` runs passes and compares the whole model before and after.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from actspan.core.errors import ExportError, require
from actspan.core.wording import suggestion

if TYPE_CHECKING:
    from actspan.deploy.passes.contract import Contract, GraphPass, PassSettings

# Name: module and class, in a useful order.
PASSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "opset": ("opset", "ConvertOpset"),
        "fix-dims": ("fix_dims", "FixDims"),
        "constant-fold": ("constant_fold", "ConstantFold"),
        "fold-scale": ("fold_layers", "FoldScale"),
        "fold-batchnorm": ("fold_layers", "FoldBatchNorm"),
        "conv1d-to-conv2d": ("conv2d", "Conv1dToConv2d"),
        "fp16": ("fp16", "Float16"),
        "int8": ("int8", "Int8"),
    }
)

# A scale goes into the batch normalisation before it, and with that into the layer.
DEFAULT = ("constant-fold", "fold-scale", "fold-batchnorm", "conv1d-to-conv2d")


def contracts() -> list[Contract]:
    """Return the contracts of all passes, in a useful order."""
    return [_class_of(name).contract for name in PASSES]


def make_passes(names: Iterable[str], settings: PassSettings) -> list[GraphPass]:
    """Return the passes of these names; raise ExportError if one is not known."""
    names = list(names)
    for name in names:
        if name not in PASSES:
            near = suggestion(name, PASSES)
            raise ExportError(f"no pass {name!r}{near}; available: {', '.join(PASSES)}")
    return [_class_of(name)(settings) for name in names]


def _class_of(name: str) -> type[GraphPass]:
    require("onnx_ir", extra="export", purpose="rewriting ONNX graphs")
    module, kind = PASSES[name]
    graph_pass: type[GraphPass] = getattr(importlib.import_module(f"{__name__}.{module}"), kind)
    return graph_pass
