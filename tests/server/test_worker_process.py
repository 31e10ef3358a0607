"""Processes of the service: a failure of their own is named, and not blamed on a video."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")
pytest.importorskip("av", reason="needs the extra 'video'")

from actspan.core.errors import ActSpanError, DataError
from actspan.server.worker_process import WorkerProcess
from tests.server.live import serving
from tests.streams.example_videos import steady, write_video

WORK = "/api/work"


@pytest.mark.parametrize(
    ("module", "named"),
    [
        pytest.param("no_such_module", "ModuleNotFoundError: No module named", id="start"),
        pytest.param("work_process", "TypeError: WorkTask", id="task"),
    ],
)
def test_an_unexpected_exception_is_named(module: str, named: str) -> None:
    worker = WorkerProcess([f"actspan.server.{module}"], "a video")
    try:
        for _ in range(2):  # the second one finds the process of the first
            with pytest.raises(ActSpanError, match=named) as caught:
                worker.run({"unknown": 1}, 60)
            assert not isinstance(caught.value, DataError)
            assert "video" not in str(caught.value)
    finally:
        worker.close()


def test_a_job_names_the_exception_of_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "av.py").write_text("raise RuntimeError('wrong build')\n")
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films" / "film.mp4", steady(2.0))
    paths = [str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with serving(tmp_path / "data", videos=tmp_path / "films") as live:
        job = live.ask(f"{WORK}/propose", method="POST", body={}).json["id"]
        end = time.monotonic() + 60
        while (found := live.ask(f"{WORK}/jobs/{job}").json)["state"] in ("queued", "running"):
            assert time.monotonic() < end, json.dumps(found)
            time.sleep(0.05)
    assert found["state"] == "failed"
    assert "RuntimeError: wrong build" in found["error"]
    assert "damaged" not in found["error"]
