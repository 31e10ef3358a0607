"""Export of corrections as annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from actspan.core.types import Video
from actspan.server.browse.library import Library
from actspan.server.corrections import Corrections, Segment


def corrected_videos(
    library: Library, corrections: Corrections, *, everything: bool = False
) -> list[Video]:
    """Return the videos with corrected instances and all other facts of the ground truth.

    Parameters
    ----------
    everything : bool
        Also return videos without corrections, with the instances of the ground truth.

    Returns
    -------
    list of Video
        Videos in the order of the ground truth, then others by id.
    """
    found = corrections.all()
    videos = [
        _as_corrected(video, found[video.id].segments) if video.id in found else video
        for video in library.truth.values()
        if everything or video.id in found
    ]
    others = (_unknown(library, name) for name in found if name not in library.truth)
    return videos + [_as_corrected(video, found[video.id].segments) for video in others]


def _unknown(library: Library, name: str) -> Video:
    """Return a video that the ground truth does not contain."""
    seconds = library.seconds(name) if name in library.ids else float("nan")
    return Video(name, seconds)


def _as_corrected(video: Video, segments: Iterable[Segment]) -> Video:
    kept = tuple(segments)
    return replace(
        video,
        segments=np.array([(start, end) for start, end, _ in kept], np.float64),
        labels=tuple(label for _, _, label in kept),
        scores=None,
    )


def as_one_file(files: Mapping[str, bytes], name: str) -> tuple[str, bytes]:
    """Return a single file as it is, or several as a ZIP archive of this name."""
    if len(files) == 1:
        (only,) = files.items()
        return only
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(ZipInfo(file), content)  # a fixed date: same input, same bytes
    return f"{name}.zip", packed.getvalue()
