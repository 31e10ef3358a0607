"""The pipeline as a stage of a user's own Ray Data job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from actspan.config.stages import Edge
from actspan.core.errors import ShapeError
from actspan.core.types import Features, Proposals
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import VideoInput


class ProposeStage:
    """Stage from features to proposals: a class for `map_batches`, with one model per worker.

    An input row has the columns of a packed store:

    - `video`: str
    - `features`: (n, C) of any number type; n may differ between rows
    - `stride`: float, seconds from snippet to snippet
    - `length`: float, optional, seconds of a snippet; the stride unless given
    - `span`: float, optional, seconds at position 1.0; n * stride if it is NaN or absent

    An output row is a proposal: `video` (str), `start`, `end` (seconds) and `score` (all float64),
    best first within each video. A video without proposals has no rows.

    Leave CPUs free for the reader: an actor pool that takes all CPUs waits for input forever.

    Parameters
    ----------
    bundle : str or Path
        A bundle that every worker can read.
    backend, edge
        As for `Pipeline.load`.
    threads : int
        Threads per worker; reserve as many CPUs (`num_cpus`).

    Raises
    ------
    ShapeError
        A column is missing, or features do not fit the model, when a batch is processed.

    Examples
    --------
    >>> proposals = dataset.map_batches(  # doctest: +SKIP
    ...     ProposeStage,
    ...     fn_constructor_args=("bsn/",),
    ...     batch_size=64,
    ...     compute=ray.data.ActorPoolStrategy(size=4),
    ...     num_cpus=1,
    ... )
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        backend: str = "auto",
        threads: int = 1,
        edge: Edge = "clamp",
    ) -> None:
        self._pipeline = Pipeline.load(bundle, backend=backend, threads=threads, edge=edge)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the proposals of a batch of videos, as columns."""
        outcomes = self._pipeline.run(_jobs(batch))
        found = [(o.id, o.proposals) for o in outcomes if o.proposals is not None]
        everything = Proposals.concat([proposals for _, proposals in found])
        videos = np.array([video for video, _ in found], dtype=np.str_)
        counts = np.array([len(proposals) for _, proposals in found], dtype=np.int64)
        return {
            "video": videos.repeat(counts),
            "start": everything.start,
            "end": everything.end,
            "score": everything.score,
        }


def _jobs(batch: Mapping[str, Any]) -> Iterator[VideoInput]:
    missing = {"video", "features", "stride"} - set(batch)
    if missing:
        raise ShapeError(
            f"rows have no column {', '.join(sorted(missing))}: every row needs video, features "
            "(n, C) and stride (seconds)"
        )
    strides = batch["stride"]
    columns = (
        batch["video"],
        batch["features"],
        strides,
        batch.get("length", strides),
        batch.get("span", np.full(len(strides), np.nan)),
    )
    for video, values, stride, length, span in zip(*columns, strict=True):
        features = Features(
            np.asarray(values, np.float32),
            float(stride),
            float(length),
            None if isnan(span) else float(span),
        )
        yield VideoInput(str(video), lambda features=features: features)  # type: ignore[misc]
