"""Selection of classes: training and evaluation on instances whose labels match a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np

from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.types import Video
from actspan.core.wording import suggestion
from actspan.data.videos import Videos


def split_patterns(values: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns of an option, which may be repeated or have several separated by commas.

    Raises
    ------
    ConfigError
        A value holds no pattern, for example because a shell variable is not set.

    Examples
    --------
    >>> split_patterns(["*_TO_*", "Diving, HighJump"])
    ('*_TO_*', 'Diving', 'HighJump')
    """
    patterns: list[str] = []
    for value in values:
        found = [part.strip() for part in value.split(",") if part.strip()]
        if not found:
            raise ConfigError(f"--labels {value!r} is empty: name labels, or leave it out for all")
        patterns += found
    return tuple(patterns)


def with_labels(videos: Iterable[Video], patterns: Iterable[str]) -> Videos:
    """Return the videos with only the instances whose label matches one of the patterns.

    All videos stay, also those without such an instance: the rest of them is background. `ignored`
    segments stay ignored.

    Parameters
    ----------
    patterns : iterable of str
        As for file names, case-sensitive: `*` any text, `?` any character, `[ab]` one of these.
        No patterns keep everything.

    Raises
    ------
    AnnotationError
        A pattern matches no label; the message lists the labels.

    Examples
    --------
    >>> video = Video("a", 60.0, segments=[[0, 9], [10, 12]], labels=("SIT", "SIT_TO_STAND"))
    >>> with_labels([video], ["*_TO_*"])[0].labels
    ('SIT_TO_STAND',)
    """
    videos, patterns = Videos.of(videos), tuple(patterns)
    if not patterns:
        return videos
    there = sorted(set(videos.labels))
    for pattern in patterns:
        if not any(fnmatchcase(label, pattern) for label in there):
            raise AnnotationError(
                f"no label matches {pattern!r}{suggestion(pattern.strip('*'), there)}; there are: "
                f"{_some(there)}"
            )
    wanted = {label for label in there if any(fnmatchcase(label, p) for p in patterns)}
    return videos.with_instances(np.array([label in wanted for label in videos.labels], dtype=bool))


def _some(labels: list[str], most: int = 30) -> str:
    rest = f", ... ({len(labels)} in all)" if len(labels) > most else ""
    return (", ".join(labels[:most]) or "none at all") + rest
