"""Training of TEM on principal components of wide features.

TEM's first layer is linear, so a projection of its input can be merged into it. Training sees few
channels, which is faster and learns more from few videos; the trained network sees all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch

from actspan.config.stages import TemConfig
from actspan.core.types import Float32, Float64
from actspan.model.bsn.networks import Tem
from actspan.training.samples import RescaledVideos, Samples, Windows
from actspan.training.tasks import input_statistics

_ROWS = 20_000  # snippets, spread evenly, that give the components
_SEED = 0  # of the randomised decomposition


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """Linear map of C channels to K components, without an offset, so that padding stays 0.

    Attributes
    ----------
    mean, scale : (C,) float64
        Standardisation of the channels: (x - mean) * scale.
    basis : (C, K) float64
        Orthonormal directions of the standardised channels.
    """

    mean: Float64
    scale: Float64
    basis: Float64

    @classmethod
    def of(cls, samples: Samples, components: int) -> Reduction | None:
        """Compute the leading components of standardised samples; None if C is not above K.

        K is `components`, or the number of samples if that is larger; less if there are fewer
        snippets.
        """
        mean, scale = input_statistics(samples)
        count = max(components, len(samples))
        if components == 0 or count >= len(mean):
            return None
        rows = np.concatenate(list(_rows(samples)))
        standardized = torch.from_numpy(((rows - mean) * scale).astype(np.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            wanted = min(count, *standardized.shape)
            _, _, basis = torch.pca_lowrank(standardized, q=wanted, center=False, niter=4)
        return cls(mean, scale, basis.double().numpy())

    def project(self, samples: Samples) -> Samples:
        """Return samples of the components, K channels."""
        matrix = (self.scale[:, None] * self.basis).astype(np.float32).T  # (K, C)
        if isinstance(samples, Windows):
            recordings = tuple(np.ascontiguousarray(matrix @ r) for r in samples.recordings)
            return replace(samples, recordings=recordings)
        return replace(samples, features=np.matmul(matrix, samples.features))

    def build(self, config: TemConfig | None, **dropouts: float) -> Tem:
        """Return an untrained TEM of K channels that subtracts the projected mean."""
        mean = (self.mean * self.scale) @ self.basis
        tem = Tem(msgspec.structs.replace(config or TemConfig(), channels=len(mean)), **dropouts)
        tem.standardize(torch.from_numpy(mean), torch.ones(len(mean)))
        return tem

    def merge_into(self, tem: Tem) -> Tem:
        """Return the TEM of C channels that equals a trained `tem` after the projection."""
        merged = Tem(msgspec.structs.replace(tem.config, channels=len(self.mean)))
        weights = tem.weights()
        first = np.einsum("hpk,cp->hck", weights["conv1.weight"], self.basis, optimize=True)
        changes = {"conv1.weight": first, "input.mean": self.mean, "input.scale": self.scale}
        merged.load_weights(weights | {n: w.astype(np.float32) for n, w in changes.items()})
        return merged.eval()


def _rows(samples: Samples) -> Iterator[Float32]:
    """Yield (n, C) snippets of every recording or video, at most `_ROWS` in all."""
    if isinstance(samples, RescaledVideos):
        parts, count = list(samples.features), samples.features[:, 0].size
    else:
        parts = list(samples.recordings)
        count = sum(part.shape[1] for part in parts)
    step = -(-count // _ROWS)
    for part in parts:
        yield part[:, ::step].T
