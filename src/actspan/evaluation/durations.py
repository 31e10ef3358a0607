"""Durations and times of a ground truth, compared with the features in its folder."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np

from actspan.core.errors import ActSpanError
from actspan.core.types import Float64
from actspan.data.annotations.formats import find_annotations
from actspan.data.instances import ends_of, lengths_of, slack
from actspan.data.times import require_seconds
from actspan.data.videos import Videos
from actspan.data.witnesses import Verdict, judge, require_right_times

_LOOKED_AT = 300  # videos whose features are opened, spread over the dataset
_FEW = 0.1  # fraction of the instances


def with_right_times(videos: Videos, path: Path) -> tuple[Videos, tuple[str, ...]]:
    """Raise if times are not seconds; drop durations that contradict instances and features.

    Features are opened only if durations are missing or instances pass them.

    Parameters
    ----------
    path : Path
        The file of the annotations; its folder may contain features.

    Returns
    -------
    Videos
    tuple of str
        A note about dropped durations, which affect only notes.

    Raises
    ------
    DataError
        Most instances are far beyond their video or its features, or the stride is wrong.
    """
    late = _share_late(videos)
    if late > _FEW or np.isnan(videos.durations).any():
        videos, verdict = _look_at_features(videos, path)
        if verdict is not None and verdict.witness == "durations":
            return _with(videos, nan), (f"{verdict.what}: {verdict.remedy}",)
    require_seconds(videos, path, otherwise="correct the durations")
    if late <= 0.5:
        return videos, ()
    what = "most instances end after their video: its duration is not used; correct the durations"
    return _with(videos, nan), (what,)


def _share_late(videos: Videos) -> float:
    latest: Float64 = ends_of(videos, videos.durations)
    return float(np.mean(videos.segments[:, 1] > latest + slack(latest)))


def _with(videos: Videos, durations: float | Float64) -> Videos:
    lengths = np.broadcast_to(durations, len(videos)).tolist()
    pairs = zip(videos, lengths, strict=True)
    return Videos(replace(video, duration=length) for video, length in pairs)


def _look_at_features(videos: Videos, path: Path) -> tuple[Videos, Verdict | None]:
    """Return the videos with a verdict on durations; raise as `require_right_times`.

    The verdict is None without features. Videos of unknown duration end with their features.
    """
    if find_annotations(path.parent) != path:
        return videos, None
    from actspan.data.dataset import Dataset  # takes longer to load than most evaluations
    from actspan.data.examine import measure

    places = np.flatnonzero(videos.counts)
    spread = np.linspace(0, len(places) - 1, min(_LOOKED_AT, len(places)))
    chosen = places[spread.astype(np.intp)]
    some = videos.select(chosen.tolist())
    try:
        dataset = Dataset.load(path.parent).select(some)
        spans, steps = measure(dataset)
    except ActSpanError:
        return videos, None  # evaluation does not need features, so their faults do not matter
    verdict = judge(some, spans, steps, dataset.spec, path.parent)
    if verdict is None or verdict.witness != "durations":
        require_right_times(some, spans, dataset.spec, path.parent, verdict)
    durations = videos.durations.copy()
    durations[chosen] = lengths_of(some, spans)
    return _with(videos, durations) if np.isnan(some.durations).any() else videos, verdict
