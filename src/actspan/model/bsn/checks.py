"""Report of an export, and limits of a graph's difference from its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.core.errors import ParityError
from actspan.core.types import Float64
from actspan.model.bsn.reference import sigmoid
from actspan.model.weights import Net

# Largest difference of a logit, as a share of the largest logit above 1, and of a probability
# if logits are at most 1.
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
    """Return the largest difference of probabilities; raise if rounding cannot explain it.

    Rounding errors grow with the weights and the logits, so a logit may differ by `TOLERANCE` times
    the largest logit, and its probability accordingly.

    Parameters
    ----------
    found, expected : (...) array
    logits : (...) array
        The logits of `expected`.
    where, remedy : str
        Start and end of the error message: what differs, and what to do.
    slack : float
        Additional tolerance.

    Raises
    ------
    ParityError
        A probability differs by more, or is not a number.
    """
    difference = np.abs(found.astype(np.float64) - expected)
    allowed = slack + _allowed(logits.astype(np.float64))
    excess = difference - allowed
    if not (excess <= 0).all():  # NaN counts as a failure
        worst = np.unravel_index(np.argmax(excess), excess.shape)  # NaN counts as the largest
        raise ParityError(
            f"{where} by {difference[worst]:.3g} where {allowed[worst]:.3g} is allowed; {remedy}"
        )
    return float(difference.max(initial=0.0))


def _allowed(logits: Float64) -> Float64:
    """Return the allowed difference of the probability of each logit."""
    apart = TOLERANCE * np.abs(logits[np.isfinite(logits)]).max(initial=1.0)
    sides = [np.abs(sigmoid(logits + shift) - sigmoid(logits)) for shift in (-apart, apart)]
    return np.maximum(TOLERANCE, np.maximum(*sides))


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """Report of a written file: its properties, and its difference from its weights.

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
        The same for the torch network, if it was compared.
    passes : tuple of str
        Graph passes that were applied to the file.
    """

    net: Net
    file: str
    opset: int
    size: int
    numpy_difference: float
    torch_difference: float | None = None
    passes: tuple[str, ...] = ()
