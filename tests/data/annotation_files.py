"""Small synthetic annotations in every format, for tests and for the commands of the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Segments = Sequence[tuple[float, float, str]]


def write_thumos(folder: Path, files: Mapping[str, Sequence[str]]) -> Path:
    """Return `{"Diving_val": ["video_validation_0000001 1.0 2.5", ...]}`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_elan(
    file: Path,
    tiers: Mapping[str, Segments],
    *,
    media: str = "",
    origin: int | None = None,
    head: str = "",
) -> Path:
    """Return times in seconds; a value may be empty."""
    slots, parts, number = [], [], 0
    for tier, segments in tiers.items():
        annotations = []
        for start, end, value in segments:
            refs = []
            for time in (start, end):
                number += 1
                refs.append(f"ts{number}")
                millis = round(time * 1000)
                slots.append(f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{millis}"/>')
            annotations.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
                f'TIME_SLOT_REF1="{refs[0]}" TIME_SLOT_REF2="{refs[1]}"><ANNOTATION_VALUE>'
                f"{escape(value)}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        parts.append(
            f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={quoteattr(tier)}>'
            f"{''.join(annotations)}</TIER>"
        )
    offset = "" if origin is None else f' TIME_ORIGIN="{origin}"'
    descriptor = f'<MEDIA_DESCRIPTOR MEDIA_URL={quoteattr(media)} MIME_TYPE="video/mp4"{offset}/>'
    file.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"{head}"
        '<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" '
        'VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">'
        f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{descriptor if media else ""}</HEADER>'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(parts)}"
        '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" '
        'TIME_ALIGNABLE="true"/></ANNOTATION_DOCUMENT>\n',
        encoding="utf-8",
    )
    return file


def timeline_region(first: int, last: int, *labels: str) -> dict[str, Any]:
    """Return frames `first` to `last`, counted from 1."""
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": list(labels)}
    return {"id": "r", "type": "timelinelabels", "to_name": "video", "value": value}


def task(media: str, *regions: dict[str, Any], key: str = "video", **data: Any) -> dict[str, Any]:
    """Return a task with one annotation."""
    annotation = {"id": 1, "was_cancelled": False, "result": list(regions)}
    return {"id": 7, "data": {key: media, **data}, "annotations": [annotation]}


def write_label_studio(file: Path, tasks: Any) -> Path:
    file.write_text(json.dumps(tasks))
    return file


def boris_project(events: Sequence[Sequence[Any]], **observation: Any) -> dict[str, Any]:
    """Return a BORIS project with one observation of `clip.mp4`: `dig` a state, `bark` a point."""
    media = {"length": {"d/clip.mp4": 60.0}, "fps": {"d/clip.mp4": 25.0}}
    return {
        "project_format_version": "7.0",
        "behaviors_conf": {
            "0": {"code": "dig", "type": "State event"},
            "1": {"code": "rest", "type": "State event with coding map"},
            "2": {"code": "bark", "type": "Point event"},
        },
        "observations": {
            "first": {
                "type": "MEDIA",
                "file": {"1": ["d/clip.mp4"], "2": []},
                "time offset": 0.0,
                "media_info": media,
                "events": events,
                **observation,
            }
        },
    }


def via_project(metadata: Sequence[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    """Return a project of VGG Image Annotator 3 with one video, `clip.mp4`, as view 1."""
    segments = {"anchor_id": "FILE1_Z2_XY0", "desc": "", "default_option_id": ""}
    return {
        "project": {"pname": "synthetic", "vid_list": ["1"]},
        "config": {},
        "attribute": {
            "1": {"aname": "action", "type": 4, "options": {"0": "jump", "1": "run"}, **segments},
            "2": {"aname": "box", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
            "3": {"aname": "who", "type": 1, "options": {}, **segments},
        },
        "file": {"7": {"fid": "7", "fname": "clip.mp4", "type": 4, "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": ["7"]}},
        "metadata": {f"1_{i}": {"vid": "1", "flg": 0, **m} for i, m in enumerate(metadata)},
        **parts,
    }
