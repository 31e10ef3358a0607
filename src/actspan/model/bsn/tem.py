"""Temporal Evaluation Module (paper section 3.3): three probabilities for every cell."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from actspan.config.stages import TemConfig
from actspan.model.bsn.base import Net
from actspan.model.weights import check_weights

LOGIT_SCALE = 0.01  # the published code scales the last layer before the sigmoid


class Standardize(nn.Module):
    """Standardisation (x - mean) * scale per channel; an optional part of a trained TEM."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise the input, (B, C, T), same shape."""
        return (x - self.mean[:, None]) * self.scale[:, None]


class Tem(Net):
    """Two wide temporal convolutions and a pointwise one.

    Layers have PyTorch's default initialisation, as in the published code.

    Parameters
    ----------
    config : TemConfig
    dropout : float
        Share of input channels dropped as a whole while training.
    hidden_dropout : float, optional
        Share of hidden channels dropped after each ReLU; the value of `dropout` by default.

    Examples
    --------
    >>> Tem(TemConfig(channels=8, hidden=16))(torch.zeros(2, 8, 100)).shape
    torch.Size([2, 3, 100])
    """

    config: TemConfig

    def __init__(
        self,
        config: TemConfig | None = None,
        *,
        dropout: float = 0.0,
        hidden_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.config = config = TemConfig() if config is None else config
        C, H = config.channels, config.hidden
        self.input: nn.Module = nn.Identity()
        self.conv1 = nn.Conv1d(C, H, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(H, H, kernel_size=3, padding=1, groups=config.members)
        self.conv3 = nn.Conv1d(H, 3, kernel_size=1)
        self.dropout = nn.Dropout1d(dropout)
        self.hidden_dropout = nn.Dropout1d(dropout if hidden_dropout is None else hidden_dropout)

    def standardize(self, mean: Tensor, scale: Tensor) -> None:
        """Set the input standardisation to (x - mean) * scale; both (C,), part of the weights."""
        device = self.conv1.weight.device
        self.input = Standardize(
            mean.detach().to(device).float(), scale.detach().to(device).float()
        )

    def load_weights(self, weights: Mapping[str, ArrayLike]) -> None:
        """Load weights, with or without a standardisation of the input.

        Raises
        ------
        ShapeError
            A weight is missing, unknown, of another shape or not finite; nothing was changed.
        """
        checked = check_weights(weights, self.config)
        if "input.mean" in checked:
            self.standardize(
                torch.from_numpy(checked["input.mean"].copy()),
                torch.from_numpy(checked["input.scale"].copy()),
            )
        else:
            self.input = nn.Identity()
        super().load_weights(checked)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits (B, 3, T) of action, start and end from (B, C, T)."""
        x = self.dropout(self.input(x))  # (B, C, T)
        x = self.hidden_dropout(torch.relu(self.conv1(x)))  # (B, H, T)
        x = self.hidden_dropout(torch.relu(self.conv2(x)))  # (B, H, T)
        out: Tensor = LOGIT_SCALE * self.conv3(x)  # (B, 3, T)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Compute the probabilities (B, 3, T) of action, start and end from (B, C, T)."""
        return torch.sigmoid(self.logits(x))
