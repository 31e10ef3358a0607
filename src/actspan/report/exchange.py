"""Export of proposals, detections and annotations to tools for correction and playback."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np

from actspan.core.errors import ConfigError, DataError
from actspan.core.problems import Problem, raise_errors, raise_nothing_left
from actspan.core.types import Proposals, Video
from actspan.core.wording import counted
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.convert import of_subset, with_facts
from actspan.data.annotations.encoding import FPS, UNLABELLED
from actspan.data.annotations.formats import read_annotations
from actspan.data.annotations.saving import write_annotations
from actspan.data.detections import DETECTIONS_FILE, read_detections
from actspan.data.instances import faulty_segments, good_segments
from actspan.data.results import RESULT_FILE, is_result, read_result, result_bytes
from actspan.data.videos import Videos
from actspan.jobs.run import RUN_FILE, Run

ID = "{id}"  # placeholder of a video's id in an address
_COUNTS_FRAMES = "labelstudio"  # the format whose times are frame numbers
_PLAYED = ("elan", "labelstudio")  # formats that record where a video is


@dataclass(frozen=True, slots=True)
class Chosen:
    """Choice of the scored instances of each video to export.

    Attributes
    ----------
    top : int, optional
        Number of best instances; all unless given.
    min_score : float, optional
        Leave out instances that score less than this.
    """

    top: int | None = None
    min_score: float | None = None

    def of(self, video: Video) -> Video:
        """Return a scored video with only the chosen instances, best first."""
        assert video.scores is not None
        order = np.argsort(-video.scores, kind="stable")
        if self.min_score is not None:
            order = order[video.scores[order] >= self.min_score]
        return video.with_instances(order[: self.top])


@dataclass(frozen=True, slots=True)
class Handout:
    """Settings of `hand_out`.

    Attributes
    ----------
    source : Path
        A run (its detections, if it has any), a result file, or annotations of any format.
    target : Path
        A file, or a folder for formats with one file per video.
    format : str
        A key of `FORMATS` that can be written.
    chosen : Chosen
        Choice of proposals or detections; annotations have no scores to choose by.
    label : str
        Label of proposals, which have none of their own.
    videos : str, optional
        Where the tool finds the videos: a folder, or an address with `{id}`.
    known : Path, optional
        Annotations, a table or a dataset folder with the facts that the source lacks: durations,
        subsets, frame rates. For a run, the annotations that it was made from unless given.
    subset : str, optional
        Keep only the videos of this subset.
    fps : float, optional
        Frames per second of videos that do not state theirs (Label Studio counts frames); unless
        given, 25, with a note.
    on_error : "fail" or "skip"
        Whether to stop and report all problems, or to leave out what is faulty.
    overwrite : bool
        Replace files that exist.
    """

    source: Path
    target: Path
    format: str
    chosen: Chosen = field(default_factory=Chosen)
    label: str = UNLABELLED
    videos: str | None = None
    known: Path | None = None
    subset: str | None = None
    fps: float | None = None
    on_error: Literal["fail", "skip"] = "fail"
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class HandedOut:
    """Result of an export.

    Attributes
    ----------
    what : str
        Content of the source: "proposals", "detections" or "annotations".
    files : tuple of Path
        The files that were written.
    videos : Videos
        The videos that were exported.
    problems : tuple of Problem
        What was left out, with reasons, and notes.
    notes : tuple of str
        What was assumed or ignored, as text for people.
    """

    what: str
    files: tuple[Path, ...]
    videos: Videos
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def hand_out(request: Handout) -> HandedOut:
    """Write the instances of a source in a tool's format.

    Raises
    ------
    DatasetError
        There are problems and `on_error` is "fail"; nothing is written.
    ConfigError
        The format cannot be written, or an option does not fit the format or the source.
    DataError
        The source cannot be read, no videos are left, two videos would be written to the same file,
        or a file already exists.
    """
    _check(request)
    what, found = _read(request)
    videos, problems, notes = found.videos, list(found.problems), found.notes
    where = request.known or _recorded(request.source)
    if where is not None:
        known = read_annotations(where, only_facts=True)
        videos = with_facts(videos, known.videos)
        problems += known.problems if where == request.known else ()
        notes += known.notes
    videos = of_subset(videos, request.subset, request.source)
    links = _links(request, videos)
    problems += [*faulty_segments(videos, request.source), *_without_video(videos, links, request)]
    left = videos if links is None else Videos(v for v in videos if v.id in links)
    if not left and not problems:
        raise DataError(f"{request.source}: holds no videos")
    if not left:
        raise_nothing_left(problems, len(videos))
    if request.on_error == "fail":
        raise_errors(problems)
    left = left.with_instances(good_segments(left))
    if what != "annotations":
        left = Videos(map(request.chosen.of, left))
    notes += _rate_assumed(left, request)
    files = write_annotations(
        request.target,
        left,
        format=request.format,
        media=None if links is None else lambda video: links[video.id],
        fps=request.fps or FPS,
        overwrite=request.overwrite,
    )
    return HandedOut(what, files, left, tuple(problems), notes)


def _rate_assumed(videos: Videos, request: Handout) -> tuple[str, ...]:
    """Return a line about videos of unknown frame rate, where their frames are counted."""
    unknown = sum(video.fps is None for video in videos)
    if request.fps is not None or request.format != _COUNTS_FRAMES or not unknown:
        return ()
    where = counted(unknown, "video")
    return (f"frame rate unknown in {where}: {FPS:g} frames per second assumed (--fps)",)


def _check(request: Handout) -> None:
    if request.videos is None or request.format in _PLAYED:
        return
    raise ConfigError(
        f"{request.format} does not say where videos are; --videos is for {' and '.join(_PLAYED)}"
    )


def _read(request: Handout) -> tuple[str, Annotations]:
    """Return the name of what the source holds, and its videos."""
    source = _result_of(request.source)
    if source is None:
        if request.chosen != Chosen():
            raise ConfigError(f"{request.source}: annotations have no scores to choose by")
        return "annotations", read_annotations(request.source)
    if b'"label"' in result_bytes(source):
        labelled = read_detections(source).items()
        videos = Videos(_scored(v, d.segments, d.labels) for v, d in labelled)
        return "detections", Annotations(source, "detections", videos)
    plain = read_result(source).items()
    videos = Videos(_scored(v, p, [request.label] * len(p)) for v, p in plain)
    return "proposals", Annotations(source, "proposals", videos)


def _result_of(path: Path) -> Path | None:
    """Return the result file that a path stands for, or None if it stands for annotations."""
    names = (DETECTIONS_FILE, RESULT_FILE)
    files = [path / name for name in names] if path.is_dir() else [path]
    return next((file for file in files if file.is_file() and is_result(file)), None)


def _recorded(source: Path) -> Path | None:
    """Return the annotations that a run was made from, if they still exist."""
    return Run.load(source).recorded_annotations() if (source / RUN_FILE).is_file() else None


def _scored(name: str, found: Proposals, labels: Iterable[str]) -> Video:
    segments = np.stack([found.start, found.end], axis=1)
    return Video(name, np.nan, segments=segments, labels=tuple(labels), scores=found.score)


def _links(request: Handout, videos: Iterable[Video]) -> dict[str, str] | None:
    """Return the link to every video that exists, or None if their place is not given."""
    where = request.videos
    if where is None:
        return None
    if ID in where:
        return {v.id: where.replace(ID, quote(v.id, safe="")) for v in videos}
    if request.format == "labelstudio":
        raise ConfigError(
            f"--videos {where}: Label Studio opens an address, not a folder: "
            f"'/data/local-files/?d=videos/{ID}.mp4', or 'https://host/{ID}.mp4'"
        )
    from actspan.streams.video_lists import find_videos

    home = request.target.resolve()
    paths = find_videos([where]).paths
    return {v.id: _relative(paths[v.id], home) for v in videos if v.id in paths}


def _relative(path: Path, home: Path) -> str:
    link = Path(os.path.relpath(path.resolve(), home)).as_posix()
    return link if link.startswith("../") else f"./{link}"


def _without_video(
    videos: Iterable[Video], links: dict[str, str] | None, request: Handout
) -> Iterator[Problem]:
    for video in videos:
        if links is not None and video.id not in links:
            remedy = "put it there, or name the folder that it is in"
            yield Problem(video.id, str(request.videos), "no video of this name", remedy)
