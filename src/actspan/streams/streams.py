"""Snippet features from the vectors of frames: appearance and motion."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from actspan.config.stages import Streams
from actspan.core.types import Float32


def feature_channels(streams: Streams, channels: int) -> int:
    """Return the number of channels of a snippet, from that of a vector."""
    return 2 * channels if streams == "both" else channels


def snippet_features(vectors: Float32, streams: Streams) -> Float32:
    """Compute one snippet's features, (F, C) to (C,), or to (2 C,) for both streams.

    Appearance is the mean over the snippet's frames, motion the standard deviation.
    """
    parts = []
    if streams != "motion":
        parts.append(vectors.mean(axis=0))
    if streams != "appearance":
        parts.append(vectors.std(axis=0))
    return np.concatenate(parts)


class SnippetMaker:
    """Builder of the snippets of one video from vectors that arrive in order.

    Parameters
    ----------
    streams : Streams
    channels : int
        Length of a vector.
    """

    def __init__(self, streams: Streams, channels: int) -> None:
        self._streams: Streams = streams
        self._first = 0  # number of the first vector still needed
        self._vectors = np.empty((0, channels), dtype=np.float32)
        self._width = feature_channels(streams, channels)

    def make(self, vectors: Float32, snippets: Iterable[tuple[int, ...]]) -> Float32:
        """Add the next vectors; return the features of the next snippets, (k, channels).

        Parameters
        ----------
        vectors : (n, C) float32
            The video's next vectors.
        snippets : iterable of tuple of int
            The next snippets, as numbers of vectors that have arrived, in order of time.
        """
        held = np.concatenate([self._vectors, vectors])
        rows, oldest = [], self._first
        for numbers in snippets:
            oldest = numbers[0]
            rows.append(snippet_features(held[np.subtract(numbers, self._first)], self._streams))
        self._vectors, self._first = held[oldest - self._first :], oldest
        return np.stack(rows) if rows else np.empty((0, self._width), dtype=np.float32)
