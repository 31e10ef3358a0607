"""Video files as jobs: decoded and made into features in a process of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actspan import Bundle
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest, Selection
from actspan.jobs.sinks import SegmentList
from actspan.pipeline.labelling import LabelChoice
from actspan.server.settings import Limits
from tests.jobs.videos.conftest import (  # noqa: F401  fixtures
    encoder,
    films,
    labelling_model,
    model,
)
from tests.runs import found_in
from tests.server.services import client_of
from tests.server.test_jobs import finished


@pytest.mark.parametrize(
    ("mode", "film"), [("rescale", "short.mp4"), ("window", "long.mkv"), ("window", "short.mp4")]
)
def test_the_answer_is_that_of_the_command(
    mode: str,
    film: str,
    model: Callable[..., Bundle],  # noqa: F811
    films: Path,  # noqa: F811
    encoder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    made, path = model(mode), films / film
    with client_of(tmp_path, model=made.path, backbone=encoder) as client:
        assert client.get("/api/service").json()["model"]["takes_videos"]
        answer = client.post("/api/jobs", content=path.read_bytes(), params={"top": 20})
        job = answer.json()
        assert job["kind"] == "video"
        done = finished(client, job["id"])
        assert done["error"] is None
        result = client.get(f"/api/jobs/{job['id']}/result").json()
    request = ProposeRequest(
        made.path, videos=(str(path),), backbone=encoder, backend="onnxruntime"
    )
    (proposals,) = (found[:20] for found in found_in(request)[1].values())
    assert [p["score"] for p in result["proposals"]] == proposals.score.tolist()
    assert [p["segment"][0] for p in result["proposals"]] == proposals.start.tolist()


def test_a_job_returns_the_detections_of_the_command(
    labelling_model: Callable[..., Bundle],  # noqa: F811
    films: Path,  # noqa: F811
    encoder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    made, path = labelling_model("window"), films / "long.mkv"
    asked = {"top": 5, "detections": True, "top_labels": 1, "keep": True}
    with client_of(tmp_path, model=made.path, backbone=encoder) as client:
        assert client.get("/api/service").json()["model"]["labels"] == ["jump", "long run"]
        job = client.post("/api/jobs", content=path.read_bytes(), params=asked).json()["id"]
        assert finished(client, job)["error"] is None
        result = client.get(f"/api/jobs/{job}/result").json()
        kept = client.post("/api/work/runs", json={"job": job}).json()
        assert kept["has_media"]
        shown = client.get("/api/browse/proposals", params={"id": kept["video"]}).json()
        assert shown["labels"] == [row["label"] for row in result["detections"]]
        plain = client.post("/api/jobs", content=path.read_bytes()).json()["id"]
        finished(client, plain)
        assert "detections" not in client.get(f"/api/jobs/{plain}/result").json()
    segments = SegmentList()
    labels = LabelChoice(classify=True, top_labels=1)
    propose(
        ProposeRequest(
            made.path, videos=(str(path),), backbone=encoder, backend="onnxruntime",
            labels=labels, selection=Selection(top=5),
        ),
        sinks=[segments],
    )  # fmt: skip
    (found,) = segments.detections.values()
    assert [row["label"] for row in result["detections"]] == found.labels
    assert [row["score"] for row in result["detections"]] == found.segments.score.tolist()
    assert [row["segment"][0] for row in result["detections"]] == found.segments.start.tolist()
    assert len(result["proposals"]) == len(found) == 5


def test_a_model_without_a_classifier_refuses_detections(
    model: Callable[..., Bundle],  # noqa: F811
    encoder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    with client_of(tmp_path, model=model("window").path, backbone=encoder) as client:
        answer = client.post("/api/jobs", content=b"x", params={"detections": True})
        assert answer.status_code == 422
        assert "has no classifier; train one" in answer.json()["detail"]
        assert client.get("/api/jobs").json()["total"] == 0


def test_videos_that_cannot_be_used_are_failed_jobs(
    model: Callable[..., Bundle],  # noqa: F811
    films: Path,  # noqa: F811
    encoder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    whole = (films / "long.mkv").read_bytes()
    bodies = {"damaged": whole[:40] + bytes(500), "long": whole}
    limits = Limits(recording_seconds=5)
    settings = {"model": model("window").path, "backbone": encoder, "limits": limits}
    with client_of(tmp_path, **settings) as client:
        jobs = {
            name: client.post("/api/jobs", content=body).json()["id"]
            for name, body in bodies.items()
        }
        errors = {name: finished(client, job)["error"] for name, job in jobs.items()}
    assert "5 s allowed" in errors["long"]
    assert "the upload" in errors["damaged"]
    assert str(tmp_path) not in errors["damaged"]
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_upload_can_be_kept_corrected_and_exported(
    model: Callable[..., Bundle],  # noqa: F811
    films: Path,  # noqa: F811
    encoder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    settings = {"model": model("window").path, "backbone": encoder}
    upload = (films / "short.mp4").read_bytes()
    with client_of(tmp_path, **settings) as client:
        asked = {"name": "C:\\films\\my day.mp4", "keep": True}
        job = client.post("/api/jobs", content=upload, params=asked).json()["id"]
        assert client.post("/api/work/runs", json={"job": job}).status_code == 409  # not yet
        assert finished(client, job)["error"] is None
        found = client.get(f"/api/jobs/{job}/result").json()["proposals"]
        kept = client.post("/api/work/runs", json={"job": job})
        assert kept.status_code == 201
        assert kept.json() == {
            "run": 0, "name": "upload my day", "video": "my day", "has_media": True
        }  # fmt: skip
        assert client.post("/api/work/runs", json={"job": job}).status_code == 409  # only once
        assert client.delete(f"/api/jobs/{job}").status_code == 204
    with client_of(tmp_path, **settings) as client:
        asked = {"id": "my day"}
        shown = client.get("/api/browse/proposals", params=asked).json()
        assert shown["score"] == [one["score"] for one in found]
        assert client.get("/api/browse/media", params=asked).content == upload
        segment = {"start": 0.5, "end": 1.5, "label": "mine"}
        new = {"revision": 0, "segments": [segment]}
        assert client.put("/api/browse/corrections", params=asked, json=new).status_code == 200
        exported = client.get("/api/browse/corrections/export", params={"form": "csv"})
        assert "my day" in exported.text


def test_an_upload_that_is_not_kept_is_removed_with_its_job(
    model: Callable[..., Bundle],  # noqa: F811
    films: Path,  # noqa: F811
    encoder: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    with client_of(tmp_path, model=model("window").path, backbone=encoder) as client:
        content = (films / "short.mp4").read_bytes()
        job = client.post("/api/jobs", content=content, params={"keep": True}).json()["id"]
        finished(client, job)
        assert len(list((tmp_path / "kept").iterdir())) == 1
        client.delete(f"/api/jobs/{job}")
        assert list((tmp_path / "kept").iterdir()) == []
        assert client.post("/api/work/runs", json={"job": job}).status_code == 404
