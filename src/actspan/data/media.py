"""Files that hold videos: what they are called, and what to do with one in place of a dataset."""

from __future__ import annotations

import shlex
from pathlib import Path

from actspan.data.filenames import VIDEO_SUFFIXES

VIDEOS = "videos"  # folder of a dataset


def is_video(path: Path) -> bool:
    """Return whether a file's name says that it is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.name[0] != "."


def holds_videos(folder: Path) -> bool:
    """Return whether a folder, or its `videos/`, holds a video."""
    places = (folder, folder / VIDEOS)
    return any(is_video(file) for place in places if place.is_dir() for file in place.iterdir())


def advice(path: Path) -> str:
    """Return what to do with a video, or a folder of them, that was given as a dataset."""
    given = shlex.quote(str(path))
    return (
        f"to find segments: actspan propose {given} --model MODEL; to make a dataset of features: "
        f"actspan extract {given} --out {shlex.quote(f'{path.stem}-features')}"
    )
