"""The way from a source of labels to detections of many videos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from actspan.data.detections import Detections
from actspan.parallel import map_ordered
from actspan.types import Proposals


class Labeller(Protocol):
    """Where labels come from: a score file, or a classifier."""

    def fuse(self, video: str, proposals: Proposals) -> Detections:
        """Give a video's proposals (seconds) their labels, best first."""
        ...


def label_all(
    labeller: Labeller, results: Iterable[tuple[str, Proposals]], *, threads: int | None = None
) -> Iterator[tuple[str, Detections]]:
    """Label the proposals of many videos, on all cores, in order.

    Parameters
    ----------
    results : iterable of (video id, Proposals)
        Seconds; drawn as detections are taken, so that memory stays flat.
    threads : int, optional
        All cores unless given.
    """
    workers = threads or os.cpu_count() or 1

    def label(result: tuple[str, Proposals]) -> tuple[str, Detections]:
        video, proposals = result
        return video, labeller.fuse(video, proposals)

    with ThreadPoolExecutor(workers, thread_name_prefix="label") as pool:
        yield from map_ordered(pool, label, results, ahead=2 * workers)
