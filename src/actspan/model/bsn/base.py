"""Base of both networks: weights in and out as NumPy arrays under the bundle's names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from actspan.core.types import Float32
from actspan.model.weights import NetConfig, check_weights


class Net(nn.Module):
    """A network whose parameters and buffers are exactly the weights of a bundle."""

    config: NetConfig

    def weights(self) -> dict[str, Float32]:
        """Return a copy of the weights on the CPU."""
        return {
            name: np.array(tensor.detach().cpu().numpy(), dtype=np.float32)
            for name, tensor in self.state_dict().items()
        }

    def load_weights(self, weights: Mapping[str, ArrayLike]) -> None:
        """Load weights, on whatever device the parameters are.

        Raises
        ------
        ShapeError
            A weight is missing, unknown, of another shape or not finite; nothing was changed.
        """
        checked = check_weights(weights, self.config)
        self.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in checked.items()})
