"""Export of proposals, detections and annotations to tools for correction and playback."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from actspan.core.errors import ConfigError, DataError
from actspan.core.problems import Problem, raise_errors, raise_nothing_left
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.convert import with_facts
from actspan.data.annotations.format_table import FORMATS, format_named
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.annotations.writing import WriteOptions, in_microseconds
from actspan.data.data_requests import ExportRequest
from actspan.data.detections import DETECTIONS_FILE, read_detections
from actspan.data.instances import segment_problems
from actspan.data.result_files import (
    RESULT_FILE,
    is_result,
    read_result,
    result_bytes,
)
from actspan.data.run_info import check_recorded
from actspan.data.videos import Videos, good_segments
from actspan.jobs.run import RUN_FILE, Run

ID = "{id}"  # placeholder of a video's id in an address


@dataclass(frozen=True, slots=True)
class ExportedFiles:
    """Result of `export_to_tool`."""

    what: str  # "proposals", "detections" or "annotations"
    files: tuple[Path, ...]
    videos: Videos
    problems: tuple[Problem, ...]  # what was left out, with reasons
    notes: tuple[str, ...] = ()  # what was assumed or ignored


def export_to_tool(request: ExportRequest) -> ExportedFiles:
    """Write the instances of a source in a tool's format.

    Raises DatasetError if there are problems and `on_error` is "fail"; ConfigError if the format
    cannot be written, or an option does not fit it or the source; DataError if the source cannot be
    read, no videos are left, two videos would be written to the same file, or a file exists. Then
    nothing is written.
    """
    format = format_named(request.format)
    if request.videos is not None and not format.links_videos:
        linked = ", ".join(form.name for form in FORMATS.values() if form.links_videos)
        raise ConfigError(
            f"{request.format} does not say where videos are; --videos is for {linked}"
        )
    what, annotations = _read(request)
    videos, problems, notes = annotations.videos, list(annotations.problems), annotations.notes
    where = request.durations
    if where is None and (request.source / RUN_FILE).is_file():
        where = Run.load(request.source).recorded_annotations()
    if where is not None:
        known = read_annotations(where, only_facts=True)
        videos = with_facts(videos, known.videos)
        problems += known.problems if where == request.durations else ()
        notes += known.notes
    videos = videos.subset(request.subset, request.source)
    links = _links(request, videos)
    problems += segment_problems(videos, request.source)
    exported = videos
    if links is not None:
        fault = ("no video of this name", "put it there, or name the folder that it is in")
        missing = (v.id for v in videos if v.id not in links)
        problems += [Problem(name, str(request.videos), *fault) for name in missing]
        exported = Videos(v for v in videos if v.id in links)
    if not exported and not problems:
        raise DataError(f"{request.source}: contains no videos")
    if not exported:
        raise_nothing_left(problems, len(videos))
    if request.on_error == "fail":
        raise_errors(problems)
    exported = exported.with_instances(good_segments(exported))
    if what != "annotations":
        exported = Videos(_instances_to_export(video, request) for video in exported)
    if format.notes is not None:
        notes += tuple(format.notes(exported, WriteOptions(fps=request.fps)))
    files = write_annotations(
        request.target,
        map(in_microseconds, exported),
        format=request.format,
        media=None if links is None else lambda video: links[video.id],
        fps=request.fps,
        overwrite=request.overwrite,
    )
    return ExportedFiles(what, files, exported, tuple(problems), notes)


def _instances_to_export(video: Video, request: ExportRequest) -> Video:
    """Return a scored video with only the instances to export, best first."""
    assert video.scores is not None
    order = np.argsort(-video.scores, kind="stable")
    if request.min_score is not None:
        order = order[video.scores[order] >= request.min_score]
    return video.with_instances(order[: request.top])


def _read(request: ExportRequest) -> tuple[str, Annotations]:
    """Return the name of what the source contains, and its videos."""
    source = _result_of(request.source)
    if source is None:
        if request.top is not None or request.min_score is not None:
            raise ConfigError(f"{request.source}: annotations have no scores to choose by")
        return "annotations", read_annotations(request.source)
    if source != request.source:
        check_recorded(source)
    if b'"label"' in result_bytes(source):
        labelled = read_detections(source).items()
        videos = Videos(_scored_video(v, d.segments, d.labels) for v, d in labelled)
        return "detections", Annotations(source, "detections", videos)
    plain = read_result(source).items()
    videos = Videos(_scored_video(v, p, [request.label] * len(p)) for v, p in plain)
    return "proposals", Annotations(source, "proposals", videos)


def _result_of(path: Path) -> Path | None:
    """Return the result file of a path, or None if the path is that of annotations."""
    names = (DETECTIONS_FILE, RESULT_FILE)
    files = [path / name for name in names] if path.is_dir() else [path]
    return next((file for file in files if file.is_file() and is_result(file)), None)


def _scored_video(name: str, proposals: Proposals, labels: Iterable[str]) -> Video:
    segments = np.stack([proposals.start, proposals.end], axis=1)
    return Video(name, np.nan, segments=segments, labels=tuple(labels), scores=proposals.score)


def _links(request: ExportRequest, videos: Iterable[Video]) -> dict[str, str] | None:
    """Return the link to every video that exists, or None if their place is not given."""
    if (where := request.videos) is None:
        return None
    if ID in where and request.format == "fiftyone":
        raise ConfigError(f"--videos {where}: FiftyOne opens files: give the folder of the videos")
    if ID in where:
        return {v.id: where.replace(ID, quote(v.id, safe="")) for v in videos}
    if request.format == "labelstudio":
        raise ConfigError(
            f"--videos {where}: Label Studio opens an address, not a folder: "
            f"'/data/local-files/?d=videos/{ID}.mp4', or 'https://host/{ID}.mp4'"
        )
    from actspan.streams.video_lists import find_videos

    has_folder = format_named(request.format).writes_folder or request.target.is_dir()
    folder = request.target.resolve() if has_folder else request.target.resolve().parent
    links = {}
    for name, path in find_videos([where]).files.items():
        link = Path(os.path.relpath(path.resolve(), folder)).as_posix()
        links[name] = link if link.startswith("../") else f"./{link}"
    return {v.id: links[v.id] for v in videos if v.id in links}
