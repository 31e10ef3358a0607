"""VGG Image Annotator 3: projects with temporal segments of videos and audio.

{"attribute": {"1": {"aname": "action", "anchor_id": "FILE1_Z2_XY0", "type": 4,
                     "options": {"0": "jump"}}},
 "file": {"1": {"fid": "1", "fname": "a.mp4", "src": ""}}, "view": {"1": {"fid_list": ["1"]}},
 "metadata": {"1_x8f": {"vid": "1", "z": [1.5, 3.0], "xy": [], "av": {"1": "0"}}}}

An entry with two times `z` and no shape `xy` is an instance. Its label is the value of the first
attribute of temporal segments; for a checkbox, each chosen option is a label. Regions of single
frames, attributes of files and further attributes are counted and ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import unquote, urlsplit

from actspan.core.problems import Skipped
from actspan.data.annotations.annotation_set import Annotations, Instance, ReadOptions
from actspan.data.annotations.source import Source
from actspan.data.annotations.video_builder import UNUSABLE, VideoBuilder
from actspan.data.names import Ignored

_OF_SEGMENTS = "FILE1_Z2_XY0"
_CHECKBOX = 2  # the only type of attribute with several values, joined by commas
_PARTS = ("attribute", "file", "view", "metadata")


def fits(source: Source) -> bool:
    """Return whether the source is a JSON object with the parts of a project."""
    document = source.document[0]
    return isinstance(document, dict) and all(isinstance(document.get(k), dict) for k in _PARTS)


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read a project; entries that cannot be used become problems."""
    document, repeated = source.document
    builder = VideoBuilder(source.path, options, repeated)
    names: dict[str, str] = {}  # of views; "" for those that are problems
    for view, entry in document["view"].items():
        name = names[view] = ""
        try:
            name = _media_name(entry, document["file"])
            if name in builder:
                raise ValueError(f"video {name!r} is in an earlier view too")
            builder.add(name)
            names[view] = name
        except UNUSABLE as error:
            builder.reject(name, f"{source.path}: view {view}", error, Skipped.VIDEO)
    attributes = {
        key: value
        for key, value in document["attribute"].items()
        if isinstance(value, dict) and value.get("anchor_id") == _OF_SEGMENTS
    }
    for key, entry in document["metadata"].items():
        video = ""
        try:
            video = names[str(entry["vid"])]
            for instance in _instances(entry, attributes, builder.ignored):
                if video:  # otherwise the view is already a problem
                    builder.add(video, instance)
        except UNUSABLE as error:
            builder.reject(video, f"{source.path}: metadata {key}", error)
    return builder.built("via")


def _media_name(view: Mapping[str, Any], files: Mapping[str, Any]) -> str:
    if len(view["fid_list"]) != 1:
        raise ValueError(f"it shows {len(view['fid_list'])} files; only one per view can be read")
    file = files[str(view["fid_list"][0])]
    name = str(file.get("fname") or "") or unquote(urlsplit(str(file.get("src") or "")).path)
    return PureWindowsPath(name).stem


def _instances(
    entry: Mapping[str, Any], attributes: Mapping[str, Any], ignored: Ignored
) -> Iterator[Instance]:
    """Yield one instance per label of a temporal segment; none for other entries."""
    times, values = entry.get("z") or [], entry.get("av") or {}
    if len(times) != 2 or entry.get("xy"):
        kind = "attributes of files" if not (times or entry.get("xy")) else "regions"
        ignored["entries", kind] += 1
        return
    if not all(isinstance(time, (int, float)) and not isinstance(time, bool) for time in times):
        raise TypeError(f"times {times!r} are not numbers")
    found = {key: str(values[key]) for key in attributes if values.get(key) not in (None, "")}
    first = next(iter(attributes), "")
    for key in found:
        if key != first:
            ignored["attributes", str(attributes[key].get("aname") or key)] += 1
    if first not in found:
        ignored["entries", "segments without a label"] += 1
        return
    options = attributes[first].get("options") or {}
    several = attributes[first].get("type") == _CHECKBOX
    for value in found[first].split(",") if several else [found[first]]:
        if options and value.isdecimal() and value not in options:
            name = attributes[first].get("aname") or first
            raise ValueError(f"attribute {name!r} has no option {value}")
        yield float(times[0]), float(times[1]), str(options.get(value) or value)
