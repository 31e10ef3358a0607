"""Extractor of a request: for video, or for another kind of stream."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from actspan.config.stages import ExtractionConfig, FeatureSpec
from actspan.config.streams import (
    USUAL_STATISTICS,
    AudioConfig,
    PoseConfig,
    SensorConfig,
    StreamKind,
)
from actspan.core.errors import ConfigError, VideoError
from actspan.core.wording import quoted
from actspan.streams.addresses import Location
from actspan.streams.backbone import find_backbone
from actspan.streams.extract_request import ExtractRequest, SampleRequest
from actspan.streams.pose_files import read_pose
from actspan.streams.sensors import TableRequest, find_columns
from actspan.streams.snippet_features import Extractor
from actspan.streams.stream_features import StreamExtractor
from actspan.streams.video_decoding import VideoFile

_USUAL_STRIDES: dict[StreamKind, str] = {"sensors": "0.1s", "audio": "0.02s"}

SnippetExtractor = Extractor | StreamExtractor

_OPTION = re.compile(r"--[a-z-]+ [A-Z]+")  # in a remedy

_OF_VIDEO = ("backbone", "frames", "streams", "threads", "backend", "device")
_OF_OTHERS: dict[StreamKind, tuple[str, ...]] = {
    "video": (),
    "sensors": ("statistics", "rate", "time", "time_unit", "columns"),
    "audio": ("statistics", "rate", "bands"),
    "pose": ("statistics", "rate", "columns", "likelihood"),
}


def check_settings(request: ExtractRequest, kind: StreamKind) -> None:
    """Raise ConfigError if settings were given that have no effect on this kind of stream."""
    fields = () if kind == "video" else _OF_VIDEO
    samples = [n for n in SampleRequest.__struct_fields__ if n not in _OF_OTHERS[kind]]
    given = [*_changed(request, fields), *_changed(request.samples, samples)]
    if given:
        raise ConfigError(f"{', '.join(given)}: no effect on {kind}; leave it out, or give --kind")


def _changed(struct: Any, names: Iterable[str]) -> list[str]:
    """Return the fields that do not have their default."""
    usual = {field.name: field.default for field in msgspec.structs.fields(struct)}
    return [name for name in names if getattr(struct, name) != usual[name]]


def complete_request(
    request: ExtractRequest, kind: StreamKind, paths: Iterable[Location]
) -> ExtractRequest:
    """Return the request with its kind, and with what the first usable recording has to say.

    Raises VideoError if no recording can be used.
    """
    request = msgspec.structs.replace(request, kind=kind)
    if kind in ("video", "audio"):
        return request
    if kind == "pose" and request.samples.rate is None:
        raise ConfigError("pose files do not state frames per second; give them: --rate 30")
    failure: VideoError | None = None
    for path in paths:
        try:
            return msgspec.structs.replace(request, samples=_completed(request, path))
        except VideoError as error:
            failure = failure or error
    if failure is not None:
        raise VideoError(f"{failure}; {failure.remedy}", failure.remedy)
    return request


def _completed(request: ExtractRequest, path: Location) -> SampleRequest:
    assert isinstance(path, Path)  # `find_videos` refuses addresses of tables and poses
    given = request.samples
    if request.kind == "pose":
        return msgspec.structs.replace(given, columns=given.columns or read_pose(path).joints)
    found = find_columns(path, TableRequest(given.columns, given.time, given.time_unit, given.rate))
    return msgspec.structs.replace(
        given, columns=found.columns, time=found.time, time_unit=found.unit, rate=found.rate
    )


def open_extractor(request: ExtractRequest) -> SnippetExtractor:
    """Open the extractor of a complete request; raise as `Extractor` and `find_backbone` do."""
    if request.kind in (None, "video"):
        return Extractor(
            find_backbone(request.backbone),
            request.grid,
            streams=request.streams,
            frames=request.frames,
            threads=request.threads,
            backend=request.runtime,
        )
    return StreamExtractor(_extraction(request), request.grid)


def _extraction(request: ExtractRequest) -> ExtractionConfig:
    kind, given = request.kind or "video", request.samples
    statistics = given.statistics or USUAL_STATISTICS[kind]
    if kind == "sensors":
        sensors = SensorConfig(
            columns=given.columns, time=given.time, unit=given.time_unit or "s", rate=given.rate
        )
        return ExtractionConfig(statistics=statistics, sensors=sensors)
    if kind == "pose":
        limit = 0.6 if given.likelihood is None else given.likelihood
        pose = PoseConfig(joints=given.columns, rate=given.rate or 0, likelihood=limit)
        return ExtractionConfig(statistics=statistics, pose=pose)
    usual = AudioConfig()
    audio = AudioConfig(rate=round(given.rate or usual.rate), bands=given.bands or usual.bands)
    return ExtractionConfig(statistics=statistics, audio=audio)


def usual_features(kind: StreamKind, paths: Iterable[Location]) -> FeatureSpec:
    """Return the spec of features that are made without a model, of sensors, sound or poses.

    Raises ConfigError for poses, whose files do not state frames per second, and VideoError if no
    recording can be used.
    """
    if kind == "pose":
        what = "pose files do not state frames per second"
        raise ConfigError(f"{what}: {_extract_first(paths, '--rate HZ')}")
    request = ExtractRequest(videos=(), out=Path(), stride=_USUAL_STRIDES[kind])
    try:
        return open_extractor(complete_request(request, kind, paths)).spec
    except VideoError as error:
        options = _OPTION.findall(error.remedy)
        if not options:
            raise
        raise VideoError(f"{error}: {_extract_first(paths, options[-1])}") from error


def _extract_first(paths: Iterable[Location], option: str) -> str:
    """Return the two commands that propose from recordings which need an option of `extract`."""
    files = [path for path in paths if isinstance(path, Path)]
    place = files[0] if len(files) == 1 else files[0].parent
    return (
        f"actspan extract {quoted(place)} {option} --out features/, then actspan propose "
        "--dataset features/ --out run/"
    )


def opener(extractor: SnippetExtractor) -> Callable[[Location], Any]:
    """Return the function that opens a recording, to find out whether it can be used."""
    return extractor.open if isinstance(extractor, StreamExtractor) else VideoFile
