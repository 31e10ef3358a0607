"""The published forward pass of BMN in torch, in its order: sample by a dense mask, then combine.

It is written from the description (bmn.md section 1). `tests/test_benchmarks.py` compares it with
recorded outputs of the published code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actspan.config.bmn import BmnConfig
from actspan.core.types import Float32
from actspan.model.bmn.sampling import map_shape, sample_mask


class PublishedBmn(nn.Module):
    """BMN with the sampled features of every cell of the map, (B, S, N, rows, columns)."""

    mask: Tensor

    def __init__(self, config: BmnConfig) -> None:
        super().__init__()
        C, H, hidden = config.channels, config.base, config.hidden
        self.sampled_shape = (config.sampled, config.samples, *map_shape(config))
        self.register_buffer("mask", torch.from_numpy(sample_mask(config)), persistent=False)
        self.base = nn.ModuleDict({"conv1": _temporal(C, H), "conv2": _temporal(H, H)})
        for side in ("start", "end"):
            layers = {"conv1": _temporal(H, H), "conv2": nn.Conv1d(H, 1, 1)}
            self.add_module(side, nn.ModuleDict(layers))
        self.sampled = nn.ModuleDict({"conv": nn.Conv1d(H, config.sampled, 3, padding=1)})
        combined, samples = (config.sampled, config.matched), (config.samples, 1, 1)
        self.matched = nn.ModuleDict({"conv": nn.Conv3d(*combined, samples, stride=samples)})
        self.map = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(config.matched, hidden, 1),
                "conv2": nn.Conv2d(hidden, hidden, 3, padding=1),
                "conv3": nn.Conv2d(hidden, hidden, 3, padding=1),
                "conv4": nn.Conv2d(hidden, 2, 1),
            }
        )

    def load(self, weights: dict[str, Float32]) -> None:
        """Load the weights of a bundle."""
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        tensors["matched.conv.weight"] = tensors["matched.conv.weight"][..., None, None]
        self.load_state_dict(tensors)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute map, start and end of features (B, C, T)."""
        base = x
        for layer in self.base.values():
            base = torch.relu(layer(base))
        start, end = (self._boundary(side, base) for side in ("start", "end"))
        x = torch.relu(self.sampled["conv"](base)) @ self.mask  # (B, S, N * rows * columns)
        x = self.matched["conv"](x.reshape(len(x), *self.sampled_shape)).squeeze(2)
        for name in ("conv1", "conv2", "conv3", "conv4"):
            x = self.map[name](torch.relu(x))
        return torch.sigmoid(x), start, end

    def _boundary(self, side: str, base: Tensor) -> Tensor:
        layers = self.get_submodule(side)
        hidden = torch.relu(layers.get_submodule("conv1")(base))
        scores: Tensor = torch.sigmoid(layers.get_submodule("conv2")(hidden))
        return scores[:, 0]


def _temporal(inputs: int, outputs: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, 3, padding=1, groups=4)
