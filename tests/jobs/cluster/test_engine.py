from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actspan.core.errors import ActSpanError, DataError
from actspan.jobs.driver import LocalEngine, propose
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest
from actspan.jobs.ray_engine import ray_engine
from actspan.jobs.run import Run
from tests.jobs.cluster.conftest import WORKERS

# Ray issues warnings itself
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def request_(ray: Any, folder: Path, tmp_path: Path) -> ProposeRequest:
    model, dataset = folder / "bundle", folder / "set"
    return ProposeRequest(model, dataset, tmp_path / "ray.json", shard_size=4, threads=1)


def local(request: ProposeRequest, out: Path) -> bytes:
    propose(replace(request, out=out))
    return out.read_bytes()


@pytest.mark.parametrize("changes", [{}, {"soft_nms": {"decay": 0.2}}], ids=["own", "changed"])
def test_workers_give_the_same_bytes(
    request_: ProposeRequest, tmp_path: Path, changes: dict[str, Any]
) -> None:
    request_ = replace(request_, changes=changes)
    summary = propose(request_, engine=ray_engine(WORKERS))
    assert summary.videos == 40
    assert sum(summary.stages.values()) == pytest.approx(1)
    assert request_.out.read_bytes() == local(request_, tmp_path / "local.json")


class Interrupted:
    """Engine that is interrupted after two shards."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __enter__(self) -> Any:
        self._engine = self._inner.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._inner.__exit__(*details)

    def run(self, *arguments: Any) -> Iterator[Any]:
        for count, shard in enumerate(self._engine.run(*arguments)):
            if count == 2:
                raise ActSpanError("cut off")
            yield shard

    @property
    def clock(self) -> Any:
        return self._engine.clock


@pytest.mark.parametrize("first", ["here", "ray"])
def test_each_engine_resumes_a_job_of_the_other(
    request_: ProposeRequest, tmp_path: Path, first: str
) -> None:
    engines = {"here": LocalEngine, "ray": ray_engine(ClusterConfig(workers=1))}
    second = "ray" if first == "here" else "here"
    request = replace(request_, out=tmp_path / "run")

    def cut(*arguments: Any) -> Any:
        return Interrupted(engines[first](*arguments))

    with pytest.raises(ActSpanError, match="cut off"):
        propose(request, engine=cut)
    done = propose(replace(request, resume=True), engine=engines[second])
    assert done.kept >= 8
    result = json.loads((tmp_path / "run" / "result.json").read_bytes())
    assert result == json.loads(local(request_, tmp_path / "whole.json"))
    assert Run.load(tmp_path / "run").info["videos"] == 40


def test_a_video_that_fails_on_a_worker_is_named(request_: ProposeRequest, folder: Path) -> None:
    features = folder / "set" / "features" / "video7.npy"
    whole = features.read_bytes()
    inner = ray_engine(WORKERS)

    class Breaking(Interrupted):
        def run(self, *arguments: Any) -> Iterator[Any]:
            features.write_bytes(whole[:-8])
            return self._engine.run(*arguments)  # type: ignore[no-any-return]

    try:
        with pytest.raises(DataError, match=r"video7\.npy.*--on-error skip"):
            propose(request_, engine=lambda *a: Breaking(inner(*a)))  # type: ignore[arg-type]
    finally:
        features.write_bytes(whole)
