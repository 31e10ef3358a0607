"""A report's material, made once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from actspan.jobs.run import Run
from tests.report.runs import label_run, synthetic_videos, write_synthetic_run, write_truth


class Material(NamedTuple):
    """Two runs, the second with detections, and ground truth."""

    truth: Path
    first: Path
    second: Path


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("report")
    videos = synthetic_videos(30)
    first = write_synthetic_run(folder / "first", videos, seed=1)
    second = write_synthetic_run(folder / "second", videos, seed=2)
    label_run(second, videos, Run.load(second).proposals())
    return Material(write_truth(folder / "set", videos), first, second)
