"""What an export reports, and how far a graph may be from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.bundle import Net
from actspan.errors import ParityError
from actspan.export.reference import sigmoid
from actspan.types import Float64

# largest difference of a logit, as a share of the largest logit where that exceeds 1, and of a
# probability where logits are no larger
TOLERANCE = 1e-5


def check_probabilities(
    found: NDArray[Any],
    expected: NDArray[Any],
    logits: NDArray[Any],
    *,
    where: str,
    remedy: str,
    slack: float = 0.0,
) -> float:
    """Return the largest difference between probabilities, if rounding explains all of them.

    Rounding errors grow with the weights, and logits with them, so a logit may be off by
    `TOLERANCE` of the largest, and its probability by what follows from that.

    Parameters
    ----------
    found, expected : (...) array
    logits : (...) array
        The logits of `expected`.
    where, remedy : str
        Begin and end of the error message: what differs from what, and what to do.
    slack : float
        Allowed on top.

    Raises
    ------
    ParityError
        A probability differs by more, or is not a number.
    """
    difference = np.abs(found.astype(np.float64) - expected)
    allowed = slack + _allowed(logits.astype(np.float64))
    excess = difference - allowed
    if not (excess <= 0).all():  # NaN is no agreement
        worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN counts as the largest
        raise ParityError(
            f"{where} by {difference[worst]:.3g} where {allowed[worst]:.3g} is allowed; {remedy}"
        )
    return float(difference.max(initial=0.0))


def _allowed(logits: Float64) -> Float64:
    """Return how far the probability of each logit may be off."""
    apart = TOLERANCE * np.abs(logits[np.isfinite(logits)]).max(initial=1.0)
    sides = [np.abs(sigmoid(logits + shift) - sigmoid(logits)) for shift in (-apart, apart)]
    return np.maximum(TOLERANCE, np.maximum(*sides))


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """Report of a written file: what it is, and how far it is from its weights.

    Attributes
    ----------
    net : "tem" or "pem"
    file : str
        Name in the bundle.
    opset : int
    size : int
        Bytes.
    numpy_difference : float
        Largest absolute difference between ONNX Runtime and the NumPy forward pass.
    torch_difference : float, optional
        The same with the torch network, where that was compared.
    passes : tuple of str
        Graph passes that it went through.
    """

    net: Net
    file: str
    opset: int
    size: int
    numpy_difference: float
    torch_difference: float | None = None
    passes: tuple[str, ...] = ()
