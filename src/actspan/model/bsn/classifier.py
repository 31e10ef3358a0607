"""Proposal classifier: labels from features pooled over a proposal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actspan.config.stages import ClassifierConfig
from actspan.model.bsn.base import Net


class _Standardize(nn.Module):
    """(x - mean) * scale, fixed."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


class Classifier(Net):
    """A perceptron with one hidden layer over the pooled features of a proposal.

    Parameters
    ----------
    config : ClassifierConfig
    dropout : float
        Share of inputs and of hidden units dropped while training.
    context_dropout : float
        Share of proposals that are trained without their context, so that their inside counts
        most.

    Examples
    --------
    >>> config = ClassifierConfig(labels=("jump", "run"), channels=20)
    >>> Classifier(config)(torch.zeros(5, 60)).shape
    torch.Size([5, 3])
    """

    config: ClassifierConfig

    def __init__(
        self, config: ClassifierConfig, *, dropout: float = 0.0, context_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.config = config
        self.input = _Standardize(config.inputs)
        self.fc1 = nn.Linear(config.inputs, config.hidden)
        self.fc2 = nn.Linear(config.hidden, len(config.labels) + 1)
        self.dropout = nn.Dropout(dropout)
        self.context_dropout = context_dropout

    def standardize(self, mean: Tensor, scale: Tensor) -> None:
        """Set the standardisation of the input to (x - mean) * scale; both (inputs,)."""
        self.input.mean.copy_(mean)
        self.input.scale.copy_(scale)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of every label and of background: (N, inputs) to (N, L + 1)."""
        x = self.dropout(self._without_context(self.input(x)))
        x = torch.relu(self.fc1(x))  # (N, H)
        out: Tensor = self.fc2(self.dropout(x))  # (N, L + 1)
        return out

    def _without_context(self, x: Tensor) -> Tensor:
        """Replace the context of some proposals by the average context."""
        if not (self.training and self.context_dropout):
            return x
        seen = torch.rand(len(x), 1, device=x.device) >= self.context_dropout
        inside, context = x.tensor_split([self.config.channels], dim=1)
        return torch.cat([inside, context * seen], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the probabilities of every label and of background: (N, inputs) to (N, L + 1)."""
        return torch.softmax(self.logits(x), dim=1)
