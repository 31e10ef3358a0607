"""Lowest costs of the stages per sample: operations, and bytes moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actspan.bench.records import Cost
from actspan.bench.roof import Shape, flops_of
from actspan.config.bmn import BmnConfig
from actspan.config.stages import PemConfig, PipelineConfig, TemConfig
from actspan.model.weights import weight_shapes

_FLOAT, _DOUBLE = 4, 8  # bytes


@dataclass(frozen=True, slots=True)
class Workload:
    """Average sizes of samples."""

    snippets: float
    read_bytes: float  # on disk
    candidates: float  # that PEM scores
    proposals: float  # in the result
    result_bytes: float  # in the result file


def products_of(config: TemConfig | BmnConfig, videos: int) -> tuple[Shape, ...]:
    """Return the layers of the network that sees features as matrix products."""
    if isinstance(config, BmnConfig):
        return bmn_products(config, videos)
    return tem_products(config, videos)


def tem_products(config: TemConfig, videos: int) -> tuple[Shape, ...]:
    """Return TEM's layers as matrix products over columns that are already unrolled."""
    shapes = []
    for name, shape in weight_shapes(config).items():
        if not name.endswith(".weight"):
            continue
        out, taken, taps = shape
        channels = config.channels if name == "conv1.weight" else config.hidden
        groups = channels // taken
        shapes.append((groups, out // groups, taken * taps, videos * config.length))
    return tuple(shapes)


def bmn_products(config: BmnConfig, videos: int) -> tuple[Shape, ...]:
    """Return BMN's layers as matrix products, without the sparse product of the sampling."""
    H, S, M, h, T = config.base, config.sampled, config.matched, config.hidden, config.length
    cells = (config.durations or T) * T
    inputs = {"base.conv1": config.channels, "base.conv2": H, "start.conv1": H, "end.conv1": H}
    grouped = []
    for name, channels in inputs.items():
        out, taken, taps = weight_shapes(config)[f"{name}.weight"]
        grouped.append((channels // taken, out * taken // channels, taken * taps, T))
    full = [(1, S, 3 * H, T), (1, M * config.samples, S, T), (1, h, M, cells)]
    full += [(1, h, 9 * h, cells)] * 2
    return tuple((g, m, k, videos * n) for g, m, k, n in grouped + full)


def sample_costs(config: PipelineConfig, work: Workload, batch: int) -> dict[str, Cost]:
    """Return the lowest cost of a sample per stage, counted as in docs/project/performance.md."""
    network = config.video_network or TemConfig()
    n, N = work.snippets, work.candidates
    T, C = network.length, network.channels
    interpolated = 12 * T * C if config.mode == "rescale" and n != T else 0
    proposals = 3 * _DOUBLE * work.proposals
    costs = {
        "read": Cost(flops=0, bytes=work.read_bytes + _FLOAT * n * C),
        "rescale": Cost(flops=interpolated, bytes=_FLOAT * (n * C + T * C)),
        **(
            _bsn_costs(network, config, N, batch)
            if isinstance(network, TemConfig)
            else _bmn_costs(network, N, batch)
        ),
        "soft-nms": Cost(
            flops=2 * N + 8 * N * min(config.soft_nms.picks, N),
            bytes=N * (5 * _DOUBLE + _FLOAT) + proposals,
        ),
        "write": Cost(flops=0, bytes=proposals + work.result_bytes),
    }
    whole = Cost(
        flops=sum(cost.flops for cost in costs.values()),
        bytes=sum(cost.bytes for cost in costs.values()),
    )
    return costs | {
        "bsn" if config.bmn is None else "pipeline": whole,
        "evaluate": Cost(flops=0, bytes=work.result_bytes + proposals),
    }


def _bsn_costs(tem: TemConfig, config: PipelineConfig, N: float, batch: int) -> dict[str, Cost]:
    """Return the costs of TEM, of candidates with BSP features, and of PEM on N candidates."""
    pem, T = config.pem or PemConfig(), tem.length
    return {
        "tem": Cost(
            flops=flops_of(tem_products(tem, 1)),
            bytes=_FLOAT * (T * tem.channels + tem.outputs * T + _weights_of(tem) / batch),
        ),
        "candidates": Cost(
            flops=N + (3 if config.curves else 16) * N * config.pem_inputs,
            bytes=_FLOAT * tem.outputs * T + N * (5 * _DOUBLE + _FLOAT * config.pem_inputs),
        ),
        "pem": Cost(
            flops=2 * N * pem.hidden * (pem.inputs + 1 + pem.hidden * (pem.layers - 1)),
            bytes=_FLOAT * (N * (pem.inputs + 1) + _weights_of(pem) / batch),
        ),
    }


def _bmn_costs(bmn: BmnConfig, N: float, batch: int) -> dict[str, Cost]:
    """Return the costs of BMN, and of N candidates of its map."""
    T = bmn.length
    outputs = 2 * (bmn.durations or T) * T + 2 * T
    return {
        "bmn": Cost(
            flops=flops_of(bmn_products(bmn, 1)),
            bytes=_FLOAT * (T * bmn.channels + outputs + _weights_of(bmn) / batch),
        ),
        "candidates": Cost(flops=4 * N, bytes=_FLOAT * outputs + N * (5 * _DOUBLE + _FLOAT)),
    }


def _weights_of(network: TemConfig | PemConfig | BmnConfig) -> float:
    """Return the number of weights of a network."""
    return float(sum(np.prod(shape) for shape in weight_shapes(network).values()))
