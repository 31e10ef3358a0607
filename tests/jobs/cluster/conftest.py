"""One small Ray on this machine for all tests of the session: starting it takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actspan.jobs.propose_request import ClusterConfig
from actspan.jobs.ray_pool import ray_session
from tests.conftest import ROOT
from tests.examples import write_bundle, write_dataset

WORKERS = ClusterConfig(workers=2)


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    pytest.importorskip("ray.data", reason="needs Ray (extra 'cluster')")
    # workers are new processes: they find what the tests import
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        with ray_session(WORKERS) as session:
            yield session


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle and a dataset of forty videos."""
    folder = tmp_path_factory.mktemp("cluster")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=40)
    return folder
