"""Fusion of labels with the proposals of many videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from actspan.core.parallel import map_ordered
from actspan.core.types import Proposals
from actspan.data.detections import Detections


class Labeller(Protocol):
    """Source of labels: a score file, or a classifier."""

    def fuse(self, video: str, proposals: Proposals) -> Detections:
        """Return one video's proposals (seconds) with labels, best first."""
        ...


def label_all(
    labeller: Labeller, results: Iterable[tuple[str, Proposals]], *, threads: int | None = None
) -> Iterator[tuple[str, Detections]]:
    """Label the proposals of many videos, on all cores, in order.

    Parameters
    ----------
    results : iterable of (video id, Proposals)
        Proposals in seconds. They are read as detections are consumed, so memory stays constant.
    threads : int, optional
        All cores by default.
    """
    workers = threads or os.cpu_count() or 1

    def label(result: tuple[str, Proposals]) -> tuple[str, Detections]:
        video, proposals = result
        return video, labeller.fuse(video, proposals)

    with ThreadPoolExecutor(workers, thread_name_prefix="label") as pool:
        yield from map_ordered(pool, label, results, ahead=2 * workers)
