"""Thresholds and budgets: what is agreed where, and how one writes others."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from actspan.errors import ConfigError
from actspan.types import Float64

Task = Literal["proposal", "detection"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a benchmark agreed on.

    Attributes
    ----------
    proposal_tiou, detection_tiou : str
        Thresholds, as `parse_thresholds` reads them.
    max_proposals : int
        Largest average number of proposals a video.
    """

    proposal_tiou: str
    detection_tiou: str
    max_proposals: int

    def tiou(self, task: Task) -> str:
        """The thresholds of a task."""
        return self.proposal_tiou if task == "proposal" else self.detection_tiou


PROTOCOLS = MappingProxyType(
    {
        "activitynet": Protocol("0.5:0.05:0.95", "0.5:0.05:0.95", 100),
        "thumos14": Protocol("0.5:0.05:0.95", "0.3:0.1:0.7", 1000),
    }
)


def parse_thresholds(text: str) -> Float64:
    """TIoU thresholds: `0.5:0.05:0.95` (first, step, last) or `0.5,0.75`.

    Raises
    ------
    ConfigError
        It is neither, or a threshold is not in (0, 1].

    Examples
    --------
    >>> parse_thresholds("0.3:0.1:0.7")
    array([0.3, 0.4, 0.5, 0.6, 0.7])
    """
    try:
        if ":" not in text:
            return check_thresholds([float(part) for part in text.split(",")])
        first, step, last = map(float, text.split(":"))
        steps = round((last - first) / step)
        if steps < 0 or abs(first + steps * step - last) > 1e-9:
            raise ValueError
        return check_thresholds(np.linspace(first, last, steps + 1))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(
            f"tiou {text!r}: write first:step:last, as in 0.5:0.05:0.95, or numbers with commas "
            "between them"
        ) from error


def check_thresholds(tiou: ArrayLike | None) -> Float64:
    """Thresholds as (K,) float64; 0.5, 0.55, ... 0.95 for None.

    Raises
    ------
    ConfigError
        They are not in (0, 1], ascending.
    """
    values = np.linspace(0.5, 0.95, 10) if tiou is None else np.array(tiou, np.float64, ndmin=1)
    fits = values.ndim == 1 and len(values) > 0 and (values > 0).all() and (values <= 1).all()
    if not (fits and (np.diff(values) > 0).all()):
        raise ConfigError(f"tiou is {tiou!r}; thresholds in (0, 1], ascending, are needed")
    return values
