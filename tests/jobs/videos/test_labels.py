"""Labels of videos: those of extracted features, in files, runs, clips and live lines alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Bundle
from actspan.core.errors import BundleError
from actspan.data.detections import Detections, read_detections
from actspan.jobs.clips import Clip, ClipSink, file_label
from actspan.jobs.driver import propose
from actspan.jobs.live import GrowingVideo
from actspan.jobs.propose_request import ProposeRequest, Selection
from actspan.jobs.sinks import SegmentList, Sink
from actspan.pipeline.labelling import LabelChoice
from actspan.pipeline.outcomes import Outcome
from tests.jobs.videos.conftest import Mode
from tests.jobs.videos.test_follow import Followed, recording
from tests.jobs.videos.test_job import in_two_steps
from tests.runs import contents

CLASSIFIER = LabelChoice(classify=True)


def request_for(model: Bundle, films: Path, encoder: str, **settings: object) -> ProposeRequest:
    request = ProposeRequest(model.path, videos=(str(films),), backbone=encoder, labels=CLASSIFIER)
    return replace(request, **settings)


def assert_equal(found: Detections, expected: Detections) -> None:
    assert len(found) > 40
    assert found.labels == expected.labels
    for name in ("start", "end", "score"):
        np.testing.assert_array_equal(
            getattr(found.segments, name), getattr(expected.segments, name)
        )


@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_videos_get_the_labels_of_their_extracted_features(
    mode: Mode, labelling_model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    model = labelling_model(mode)
    in_two_steps(model, films, encoder, tmp_path)
    request = request_for(model, films, encoder, out=tmp_path / "run")
    summary = propose(request)
    propose(replace(request, videos=(), dataset=tmp_path / "set", out=tmp_path / "two-steps"))
    found, expected = read_detections(tmp_path / "run"), read_detections(tmp_path / "two-steps")
    assert summary.detections == sum(map(len, found.values()))
    assert {name for one in found.values() for name in one.labels} == {"jump", "long run"}
    for video, detections in found.items():
        assert_equal(detections, expected[video])


def test_a_selection_limits_detections(
    labelling_model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    segments = SegmentList()
    selection, labels = Selection(top=3), replace(CLASSIFIER, top_labels=1)
    request = request_for(
        labelling_model("window"), films, encoder, selection=selection, labels=labels
    )
    propose(replace(request, out=tmp_path / "x.csv"), sinks=[segments])
    for video, labels_of_video in segments.labels().items():
        assert len(labels_of_video) == len(segments.proposals[video]) == 3
        assert len(segments.detections[video]) == 3
    header, *rows = (tmp_path / "x.csv").read_text().splitlines()
    assert header == "video,start,end,score,label"
    assert len(rows) == 6


def test_labels_are_saved_with_the_shards(
    labelling_model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    class Stopping(Sink):
        def add(self, outcome: Outcome) -> None:
            if outcome.id == "short":
                raise KeyboardInterrupt

    request = request_for(labelling_model("window"), films, encoder, out=tmp_path / "run")
    propose(replace(request, out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        propose(request, sinks=[Stopping()])
    assert propose(replace(request, resume=True)).kept == 2
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_live_video_is_labelled_while_it_is_recorded(
    labelling_model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path, model = recording(tmp_path, "ts"), labelling_model("window")
    offline = request_for(model, path, encoder, out=tmp_path / "whole.json")
    propose(offline)
    with GrowingVideo(str(path), idle=0.0) as stream:
        out = tmp_path / "live.json"
        followed = Followed(stream, model, encoder, labels=CLASSIFIER, out=out).run()
    assert len(followed.labels) > 5
    assert set(followed.labels) <= {"jump", "long run"}
    assert out.read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_score_file_labels_a_live_video(
    model: Callable[[Mode], Bundle], encoder: str, tmp_path: Path
) -> None:
    path, scores = recording(tmp_path, "ts"), tmp_path / "scores.json"
    scores.write_text(json.dumps({"film": [{"label": "swim", "score": 0.5}]}))
    with GrowingVideo(str(path), idle=0.0) as stream:
        labels = LabelChoice(labels_from=scores)
        followed = Followed(stream, model("window"), encoder, labels=labels).run()
    assert set(followed.labels) == {"swim"}
    assert set(followed.segments.labels()["film"]) == {"swim"}


def test_clips_are_named_by_their_label(
    labelling_model: Callable[[Mode], Bundle], films: Path, encoder: str, tmp_path: Path
) -> None:
    clips: list[Clip] = []
    request = request_for(
        labelling_model("window"), films / "short.mp4", encoder, selection=Selection(top=4)
    )
    propose(request, sinks=[ClipSink(tmp_path / "clips", clips.append)])
    assert len(clips) == 4
    for rank, clip in enumerate(clips, start=1):
        place = f"short_{rank:02d}_{clip.start:.2f}-{clip.end:.2f}"
        assert clip.path.name == f"{place}_{clip.label.replace(' ', '-')}.mp4"
        assert clip.path.is_file()


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("jump", "jump"),
        ("../../etc/passwd", "etc-passwd"),
        ("u\u0308ben:\0\n2", "\u00fcben-2"),
        ("/", ""),
        ("é" * 100, "é" * 30),
    ],
)
def test_labels_are_made_safe_for_file_names(label: str, name: str) -> None:
    assert file_label(label) == name


def test_a_model_without_a_classifier_is_refused_before_work(
    model: Callable[[Mode], Bundle], films: Path, encoder: str
) -> None:
    with pytest.raises(BundleError, match=r"has no classifier.*actspan train --classifier"):
        propose(request_for(model("window"), films, encoder))
    free = ProposeRequest(videos=(str(films),), labels=CLASSIFIER)
    with pytest.raises(BundleError, match="label-free proposals have no model"):
        propose(free)
