"""Proposal Evaluation Module (paper section 3.3): the quality of a candidate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actspan.config.stages import PemConfig
from actspan.model.bsn.base import Net

LAYER_SCALE = 0.1  # the published code scales both layers


class Pem(Net):
    """A perceptron with one hidden layer over the BSP features of a proposal.

    Layers have PyTorch's default initialisation, as in the published code.

    Parameters
    ----------
    config : PemConfig
    dropout : float
        Share of hidden units dropped while training.

    Examples
    --------
    >>> Pem()(torch.zeros(5, 32)).shape
    torch.Size([5, 1])
    """

    config: PemConfig

    def __init__(self, config: PemConfig | None = None, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config = PemConfig() if config is None else config
        self.fc1 = nn.Linear(config.inputs, config.hidden)
        self.fc2 = nn.Linear(config.hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logit of the predicted IoU: (..., 32) to (..., 1)."""
        x = torch.relu(LAYER_SCALE * self.fc1(x))  # (..., H)
        out: Tensor = LAYER_SCALE * self.fc2(self.dropout(x))  # (..., 1)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Compute the predicted IoU: (..., 32) to (..., 1)."""
        return torch.sigmoid(self.logits(x))
