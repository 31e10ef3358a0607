"""Durations and times of a ground truth, held against the features in its folder."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np

from actspan.data.annotations import find_annotations
from actspan.data.instances import ends_of, slack
from actspan.data.times import require_seconds
from actspan.data.videos import Videos
from actspan.data.witnesses import Verdict, judge, require_right_times
from actspan.errors import ActSpanError
from actspan.types import Float64

_LOOKED_AT = 32  # videos whose features are opened
_FEW = 0.1  # of the instances


def with_right_times(videos: Videos, path: Path) -> tuple[Videos, tuple[str, ...]]:
    """Refuse times that are not seconds; forget durations that instances and features belie.

    Features are opened only where durations are missing or instances pass them.

    Parameters
    ----------
    path : Path
        The file of the annotations; features may lie in its folder.

    Returns
    -------
    Videos
    tuple of str
        A line on the durations that were forgotten: only notes depend on them.

    Raises
    ------
    DataError
        Most instances lie far beyond their video or its features, or the stride is wrong.
    """
    late = _share_late(videos)
    if late > _FEW or np.isnan(videos.durations).any():
        verdict = _look_at_features(videos, path)
        if verdict is not None and verdict.witness == "durations":
            return _without_durations(videos), (f"{verdict.what}: {verdict.remedy}",)
    require_seconds(videos, path, otherwise="correct the durations")
    if late <= 0.5:
        return videos, ()
    what = "most instances end after their video: its duration is not used; correct the durations"
    return _without_durations(videos), (what,)


def _share_late(videos: Videos) -> float:
    latest: Float64 = ends_of(videos, videos.durations)
    return float(np.mean(videos.segments[:, 1] > latest + slack(latest)))


def _without_durations(videos: Videos) -> Videos:
    return Videos(replace(video, duration=nan) for video in videos)


def _look_at_features(videos: Videos, path: Path) -> Verdict | None:
    """Return the verdict on durations, or raise as `require_right_times`; None without features."""
    if find_annotations(path.parent) != path:
        return None
    from actspan.data.dataset import Dataset  # takes longer to load than most evaluations
    from actspan.data.examine import measure

    places = np.flatnonzero(videos.counts)
    chosen = places[np.linspace(0, len(places) - 1, min(_LOOKED_AT, len(places))).astype(int)]
    some = videos.select(chosen.tolist())
    try:
        dataset = Dataset.load(path.parent).select(some)
        spans, steps = measure(dataset)
    except ActSpanError:
        return None  # features are not needed to evaluate, whatever is wrong with them
    verdict = judge(some, spans, steps, dataset.spec, path.parent)
    if verdict is None or verdict.witness != "durations":
        require_right_times(some, spans, dataset.spec, path.parent, verdict)
    return verdict
