from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

pytest.importorskip("av", reason="needs the extra 'video'")
pytest.importorskip("onnx", reason="needs the extra 'video'")

from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.ray_engine import ray_engine, ray_extraction
from actspan.pipeline.labelling import LabelChoice
from actspan.streams.backbone import find_backbone
from actspan.streams.extract_request import ExtractRequest, Grid, Span
from actspan.streams.extraction import extract_videos
from actspan.streams.snippet_features import Extractor
from tests.examples import add_classifier, write_bundle
from tests.jobs.cluster.conftest import WORKERS
from tests.runs import contents
from tests.streams.encoders import write_encoder
from tests.streams.example_videos import cut, steady, write_video

# Ray issues warnings itself
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def files(out: Path) -> dict[str, Any]:
    """Return everything that was made; the journal's lines come as videos end."""
    made = {str(file.relative_to(out)): file for file in out.rglob("*") if file.is_file()}
    found: dict[str, Any] = {name: file.read_bytes() for name, file in made.items()}
    found["extracted.jsonl"] = sorted(found["extracted.jsonl"].splitlines())
    return found


def test_extraction_on_workers_gives_the_same_files(ray: Any, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, seconds in {"one": 1.0, "two": 2.1, "three": 0.7, "broken": 2.0}.items():
        write_video(videos / f"{name}.mkv", steady(seconds))
    cut(videos / "broken.mkv", 0.5)
    encoder = write_encoder(tmp_path / "e.onnx", ["n", 3, 8, 8])
    request = ExtractRequest(
        (str(videos),), tmp_path / "here", f"onnx:{encoder}", on_error="skip", channels=2
    )
    here = extract_videos(request)
    there = extract_videos(replace(request, out=tmp_path / "there"), engine=ray_extraction(WORKERS))
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert (there.videos, there.snippets, there.spec) == (here.videos, here.snippets, here.spec)
    assert sorted(p.problem for p in there.problems) == sorted(p.problem for p in here.problems)


def test_tables_give_the_same_features_on_workers(ray: Any, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    for name, seconds in {"one": 10, "two": 21, "broken": 1}.items():
        times = np.arange(seconds * 20) / 20
        rows = np.column_stack([times, np.sin(times), np.cos(times)])
        np.savetxt(tables / f"{name}.csv", rows, delimiter=",", header="t,x,y", comments="")
    with (tables / "broken.csv").open("a") as file:
        file.write("0.5,1,1\n")
    request = ExtractRequest((str(tables),), tmp_path / "here", on_error="skip")
    here = extract_videos(request)
    there = extract_videos(replace(request, out=tmp_path / "there"), engine=ray_extraction(WORKERS))
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert (there.videos, there.spec) == (here.videos, here.spec) == (2, here.spec)
    (problem,) = here.problems
    assert problem.problem == "times run backwards after 0.95 s"
    assert [p.problem for p in there.problems] == [problem.problem]


def test_videos_give_the_same_run_on_workers(ray: Any, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, seconds in {"one": 1.0, "two": 5.1, "three": 0.7, "broken": 2.0}.items():
        write_video(videos / f"{name}.mkv", steady(seconds))
    cut(videos / "broken.mkv", 0.5)
    encoder = f"onnx:{write_encoder(tmp_path / 'e.onnx', ['n', 3, 8, 8])}"
    with Extractor(find_backbone(encoder), Grid(Span(0.2, "s"), Span(0.4, "s"))) as extractor:
        spec = extractor.spec
    assert spec.channels is not None
    bundle = write_bundle(tmp_path / "m", channels=spec.channels, mode="window", features=spec)
    add_classifier(bundle)
    labels = LabelChoice(classify=True)
    request = ProposeRequest(
        bundle.path, out=tmp_path / "here", videos=(str(videos),), backbone=encoder, labels=labels
    )
    here = propose(request)
    there = propose(replace(request, out=tmp_path / "there"), engine=ray_engine(WORKERS))
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert there.detections == here.detections > 0
    assert (there.videos, there.problems) == (here.videos, here.problems)
    assert [problem.video for problem in here.problems] == ["broken"]
