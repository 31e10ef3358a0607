"""TEM, PEM and the proposal classifier in torch (paper section 3.3).

Layers have PyTorch's default initialisation, as in the published code, which also scales the last
layers before the sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from actspan.config.stages import ClassifierConfig, PemConfig, TemConfig
from actspan.core.types import Float32
from actspan.model.weights import (
    NetConfig,
    check_weights,
    dilated_layers,
    hidden_layers,
    last_layer,
)


def probabilities(logits: Tensor) -> Tensor:
    """Compute the sigmoid in float32 at least: the last bfloat16 below 1 is 0.996."""
    return torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))


class Network(nn.Module):
    """A network whose parameters and buffers are exactly the weights of a bundle."""

    config: NetConfig

    def weights(self) -> dict[str, Float32]:
        """Return a copy of the weights on the CPU."""
        return {
            name: np.array(tensor.detach().cpu().numpy(), dtype=np.float32)
            for name, tensor in self.state_dict().items()
        }

    def load_weights(self, weights: Mapping[str, ArrayLike]) -> None:
        """Load weights, on the device of the parameters; raise as `check_weights`."""
        checked = check_weights(weights, self.config)
        self.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in checked.items()})


class Standardize(nn.Module):
    """The fixed standardisation (x - mean) * scale over the channels, axis 1."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise (B, C) or (B, C, T)."""
        if x.ndim == 2:
            return (x - self.mean) * self.scale
        return (x - self.mean[:, None]) * self.scale[:, None]


class VideoNetwork(Network):
    """A network whose input, features of videos (B, C, T), may be standardised first."""

    def __init__(self) -> None:
        super().__init__()
        self.input: nn.Module = nn.Identity()

    def standardize(self, mean: Tensor, scale: Tensor) -> None:
        """Set the input standardisation to (x - mean) * scale; both (C,), part of the weights."""
        device = next(self.parameters()).device
        self.input = Standardize(*(x.detach().to(device).float() for x in (mean, scale)))

    def load_weights(self, weights: Mapping[str, ArrayLike]) -> None:
        """Load weights, with or without a standardisation of the input; raise as `Network`."""
        checked = check_weights(weights, self.config)
        self.input = nn.Identity()
        if "input.mean" in checked:
            mean, scale = (
                torch.from_numpy(checked[f"input.{n}"].copy()) for n in ("mean", "scale")
            )
            self.standardize(mean, scale)
        super().load_weights(checked)


class Tem(VideoNetwork):
    """Temporal Evaluation Module: two wide temporal convolutions and a pointwise one.

    Before the pointwise one, `config.dilated` residual layers may add the surroundings of each
    cell. Their dilations are 2, 4, 8, ...: with three of them a cell sees 16 on either side.
    With learnt curves there are `config.outputs` values per cell: action, start, end; position of
    a start and of an end within the cell; the curves.

    While training, `dropout` is the share of input channels dropped as a whole, `hidden_dropout`
    (the same by default) that of hidden channels dropped after each ReLU.

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
        self.conv1 = nn.Conv1d(C, H, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(H, H, kernel_size=3, padding=1, groups=config.members)
        self.dilated = nn.ModuleList(
            nn.Conv1d(H, H, 3, padding=d, dilation=d, groups=config.members)
            for d in dilated_layers(config.dilated).values()
        )
        self.conv3 = nn.Conv1d(H, config.outputs, kernel_size=1)
        self.dropout = nn.Dropout1d(dropout)
        self.hidden_dropout = nn.Dropout1d(dropout if hidden_dropout is None else hidden_dropout)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits (B, outputs, T) of all values per cell from (B, C, T)."""
        x = self.dropout(self.input(x))  # (B, C, T)
        x = self.hidden_dropout(torch.relu(self.conv1(x)))  # (B, H, T)
        x = self.hidden_dropout(torch.relu(self.conv2(x)))  # (B, H, T)
        for layer in self.dilated:
            x = x + self.hidden_dropout(torch.relu(layer(x)))  # (B, H, T)
        out: Tensor = 0.01 * self.conv3(x)  # (B, outputs, T)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Compute all values per cell, (B, outputs, T) in [0, 1], from (B, C, T)."""
        return probabilities(self.logits(x))


class Pem(Network):
    """Proposal Evaluation Module: a perceptron over the features of a proposal.

    The published one has one hidden layer, over BSP features.

    Examples
    --------
    >>> Pem()(torch.zeros(5, 32)).shape
    torch.Size([5, 1])
    """

    config: PemConfig

    def __init__(self, config: PemConfig | None = None, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config = PemConfig() if config is None else config
        inputs = config.inputs
        for name in hidden_layers(config.layers):
            self.add_module(name, nn.Linear(inputs, config.hidden))
            inputs = config.hidden
        self.add_module(last_layer(config.layers), nn.Linear(inputs, 1))
        self.dropout = nn.Dropout(dropout)

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logit of the predicted IoU: (..., inputs) to (..., 1)."""
        for name in hidden_layers(self.config.layers):
            x = self.dropout(torch.relu(0.1 * self.get_submodule(name)(x)))  # (..., H)
        out: Tensor = 0.1 * self.get_submodule(last_layer(self.config.layers))(x)  # (..., 1)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Compute the predicted IoU: (..., inputs) to (..., 1)."""
        return probabilities(self.logits(x))


class Classifier(Network):
    """Labels of a proposal: a perceptron with one hidden layer over its pooled features.

    While training, `dropout` is the share of inputs and of hidden units dropped, `context_dropout`
    that of proposals without their context, so that their inside counts most.

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
        self.input = Standardize(torch.zeros(config.inputs), torch.ones(config.inputs))
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
        x = self.input(x)
        if self.training and self.context_dropout:  # some get the average context, 0
            keep = torch.rand(len(x), 1, device=x.device) >= self.context_dropout
            inside, context = x.tensor_split([self.config.channels], dim=1)
            x = torch.cat([inside, context * keep], dim=1)
        x = torch.relu(self.fc1(self.dropout(x)))  # (N, H)
        out: Tensor = self.fc2(self.dropout(x))  # (N, L + 1)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Compute the probabilities of every label and of background: (N, inputs) to (N, L + 1)."""
        return torch.softmax(self.logits(x), dim=1)
