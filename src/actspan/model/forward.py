"""Outputs of any network in plain NumPy: what every graph and every backend is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actspan.config.bmn import BmnConfig
from actspan.config.stages import PemConfig, TemConfig
from actspan.core.types import Float64
from actspan.model.bmn.forward import bmn_logits
from actspan.model.bsn.forward import classifier_logits, pem_logits, sigmoid, softmax, tem_logits
from actspan.model.weights import NetConfig


class Output(NamedTuple):
    """One output of a network, in [0, 1], and the logit of each of its values."""

    probabilities: NDArray[Any]
    logits: NDArray[Any]


def network_outputs(
    config: NetConfig, weights: Mapping[str, NDArray[Any]], x: ArrayLike
) -> Sequence[Output]:
    """Compute the outputs of a network, in the order of its graph, in the type of its weights.

    Raises ShapeError if the input does not fit.
    """
    if isinstance(config, TemConfig):
        logits: Sequence[NDArray[Any]] = [tem_logits(weights, x)]
    elif isinstance(config, PemConfig):
        logits = [pem_logits(weights, x)]
    elif isinstance(config, BmnConfig):
        logits = bmn_logits(weights, x, config)
    else:
        scores = classifier_logits(weights, x)
        return [Output(softmax(scores), _softmax_logits(scores))]
    return [Output(sigmoid(values), values) for values in logits]


def _softmax_logits(logits: NDArray[Any]) -> Float64:
    """Return the logit of every probability of a softmax, against all other labels together."""
    z = logits.astype(np.float64)
    others = [np.logaddexp.reduce(np.delete(z, i, axis=1), axis=1) for i in range(z.shape[1])]
    result: Float64 = z - np.stack(others, axis=1)
    return result
