"""A cluster of several nodes on this machine (Ray's own test utility), one of which is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actspan.core.errors import ClusterError
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ClusterConfig, ProposeRequest
from actspan.jobs.ray_engine import ray_engine
from tests.conftest import ROOT
from tests.examples import write_bundle, write_dataset

# Ray issues warnings itself
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a head of one CPU, and two nodes of one CPU each."""
    ray = pytest.importorskip("ray", reason="needs Ray (extra 'cluster')")
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()  # of the other tests
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        others = [cluster.add_node(**size, wait=False) for _ in range(2)]
        cluster.wait_for_nodes()
        yield cluster, others
    finally:
        cluster.shutdown()


class Removing:
    """An engine under which a node is removed after some shards."""

    def __init__(self, inner: Any, remove: Any) -> None:
        self._inner, self._remove = inner, remove

    def __enter__(self) -> Any:
        self._engine = self._inner.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._inner.__exit__(*details)

    def run(self, *arguments: Any) -> Iterator[Any]:
        for count, shard in enumerate(self._engine.run(*arguments)):
            if count == 3:
                self._remove()
            yield shard

    @property
    def clock(self) -> Any:
        return self._engine.clock


def test_results_do_not_change_when_a_node_is_lost(nodes: Any, tmp_path: Path) -> None:
    cluster, others = nodes
    write_bundle(tmp_path / "bundle")
    write_dataset(tmp_path / "set", videos=120)
    request = ProposeRequest(
        tmp_path / "bundle", tmp_path / "set", tmp_path / "ray.json", shard_size=2, threads=1
    )
    inner = ray_engine(ClusterConfig(address=cluster.address, workers=2))

    def remove() -> None:
        cluster.remove_node(others[0], allow_graceful=False)

    summary = propose(request, engine=lambda *made: Removing(inner(*made), remove))
    assert summary.videos == 120
    here = ProposeRequest(tmp_path / "bundle", tmp_path / "set", tmp_path / "here.json")
    propose(here)
    assert request.out.read_bytes() == here.out.read_bytes()


def test_more_workers_than_the_nodes_hold_are_refused(nodes: Any, tmp_path: Path) -> None:
    cluster, _ = nodes
    write_bundle(tmp_path / "bundle")
    write_dataset(tmp_path / "set", videos=4)
    request = ProposeRequest(tmp_path / "bundle", tmp_path / "set", tmp_path / "ray.json")
    engine = ray_engine(ClusterConfig(address=cluster.address, workers=3))
    with pytest.raises(ClusterError, match="leave 0 to what feeds them"):
        propose(request, engine=engine)
    assert not request.out.exists()
