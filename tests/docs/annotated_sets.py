"""Annotations as the page about datasets describes them, with features, in the working folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from actspan import Video
from actspan.data.annotations.formats import read_annotations, write_annotations
from tests.data.annotation_files import (
    boris_project,
    task,
    timeline_region,
    via_project,
    write_elan,
    write_label_studio,
    write_thumos,
)
from tests.examples import write_dataset


def set_without_annotations(folder: Path) -> list[Video]:
    """Write features and dataset.toml; return the videos to annotate."""
    write_dataset(folder, videos=6)
    videos = read_annotations(folder).videos
    (folder / "annotations.json").unlink()
    return list(videos)


def write_lengths(videos: list[Video]) -> None:
    rows = [f"{v.id},{v.duration},25" for v in videos]
    Path("lengths.csv").write_text("\n".join(["video,duration,fps", *rows]))


def activitynet() -> None:
    folder = Path("activitynet")
    (folder / "csv_mean_100").mkdir(parents=True)
    rng, document, table = np.random.default_rng(0), {}, ["video,subset"]
    for i in range(6):
        facts = {"duration_second": 60.0, "duration_frame": 1800, "feature_frame": 1792}
        segment = {"segment": [10.0 + i, 30.0], "label": "act"}
        document[f"v_{i}"] = {**facts, "annotations": [segment]}
        table.append(f"v_{i},{('training', 'validation')[i % 2]}")
        header = ",".join(f"f{c}" for c in range(6))
        np.savetxt(
            folder / "csv_mean_100" / f"v_{i}.csv", rng.normal(size=(100, 6)), "%.5f", ",",
            header=header, comments="",
        )  # fmt: skip
    (folder / "anet_anno_action.json").write_text(json.dumps(document))
    (folder / "video_info_new.csv").write_text("\n".join(table))


def activitynet_official() -> None:
    videos = set_without_annotations(Path("anet"))
    head = {"version": "VERSION 1.3", "taxonomy": [{"nodeId": 1}]}
    write_annotations("activity_net.v1-3.min.json", videos, document=head)


def thumos14() -> None:
    videos = set_without_annotations(Path("thumos14"))
    lines: dict[str, list[str]] = {"Ambiguous_test": [f"{videos[1].id} 0.5 1.5"]}
    for video in videos:
        suffix = {"training": "val", "validation": "test"}[video.subset]
        for start, end, _ in video.instances():
            lines.setdefault(f"Diving_{suffix}", []).append(f"{video.id}  {start:.1f} {end:.1f}")
    write_thumos(Path("TH14/annotation"), lines)
    write_lengths(videos)


def thumos14_json() -> None:
    Path("thumos14").mkdir()
    entry = {"duration": 9.0, "fps": 30.0, "annotations": [{"segment": [1, 2], "label": "Diving"}]}
    subsets = {"video_validation_0000051": "Validation", "video_test_0000004": "Test"}
    database = {name: {"subset": subset, **entry} for name, subset in subsets.items()}
    Path("thumos14.json").write_text(json.dumps({"database": database}))


def hacs() -> None:
    videos = set_without_annotations(Path("hacs"))
    write_annotations("made.json", videos)
    document = json.loads(Path("made.json").read_text())
    for entry in document["database"].values():
        entry["duration"] = str(entry["duration"])
    document["database"]["held-out"] = {"subset": "testing", "duration": "9.0"}
    Path("HACS_segments_v1.1.1.json").write_text(json.dumps(document))


def csv() -> None:
    videos = set_without_annotations(Path("my-videos"))
    rows = [f"{v.id},{s},{e},{label},{v.subset}" for v in videos for s, e, label in v.instances()]
    Path("segments.csv").write_text("\n".join(["video,start,end,label,subset", *rows]))
    write_lengths(videos)


def elan() -> None:
    videos = set_without_annotations(Path("my-videos"))
    Path("sessions").mkdir()
    for video in videos:
        tiers = {"actions": list(video.instances()), "speech": [(0.0, 1.0, "hm")]}
        media = f"file:///D:/sessions/{video.id}.mp4"
        write_elan(Path("sessions") / f"session-{video.id}.eaf", tiers, media=media)
    write_lengths(videos)


def labelstudio() -> None:
    videos = set_without_annotations(Path("my-videos"))
    tasks = []
    for video in videos:
        spans = [(int(s * 25) + 1, int(e * 25) + 1, label) for s, e, label in video.instances()]
        regions = [timeline_region(first, last, label) for first, last, label in spans]
        tasks.append(task(f"/data/upload/1/0123abcd-{video.id}.mp4", *regions))
    write_label_studio(Path("export.json"), tasks)
    write_lengths(videos)


def vtt() -> None:
    videos = set_without_annotations(Path("my-videos"))
    Path("captions").mkdir()
    for video in videos:
        cues = [f"00:0{s:.3f} --> 00:0{e:.3f}\n{label}\n" for s, e, label in short(video)]
        Path(f"captions/{video.id}.vtt").write_text("\n".join(["WEBVTT\n", *cues]))
    write_lengths(videos)


def boris_via() -> None:
    first, *_ = videos = set_without_annotations(Path("my-videos"))
    write_lengths(videos)
    spans = [(start, end) for start, end, _ in short(first)]
    events = [[time, "", "dig", "", ""] for span in spans for time in span]
    Path("project.boris").write_text(json.dumps(boris_project(events)))
    segments = [{"z": span, "xy": [], "av": {"1": "0"}} for span in spans]
    files = {"7": {"fname": f"{first.id}.mp4"}}
    Path("via_project.json").write_text(json.dumps(via_project(segments, file=files)))


def short(video: Video) -> list[tuple[float, float, str]]:
    return [(s, e, label) for s, e, label in video.instances() if e < 10]


def sensors() -> None:
    write_dataset(Path("recordings"), videos=6)
    videos = read_annotations("recordings").videos
    names = ["SIT_TO_STAND", "WALKING", "STANDING"]
    labelled = [
        Video(v.id, v.duration, v.subset, v.segments, tuple(names[: len(v.labels)])) for v in videos
    ]
    write_annotations("recordings/annotations.json", labelled)


SETS: dict[str, Callable[[], None]] = {
    "activitynet": activitynet,
    "activitynet official": activitynet_official,
    "thumos14": thumos14,
    "thumos14 json": thumos14_json,
    "hacs": hacs,
    "csv": csv,
    "elan": elan,
    "labelstudio": labelstudio,
    "vtt": vtt,
    "boris and via": boris_via,
    "sensors": sensors,
}
