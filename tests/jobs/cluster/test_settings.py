from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from actspan.core.errors import ClusterError, ConfigError, MissingExtraError
from actspan.jobs.propose_request import ClusterConfig
from actspan.jobs.ray_pool import check_cores, check_room, ray_session

BIG = {"CPU": 8.0, "GPU": 2.0, "NPU": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"workers": 0}, "workers must be at least 1", id="no workers"),
        pytest.param({"worker_cpus": 0}, "worker_cpus must be at least 1", id="no CPU"),
        pytest.param({"worker_gpus": -1.0}, "worker_gpus must be at least 0", id="negative"),
        pytest.param({"worker_resources": {"GPU": 1}}, "GPU has its own option", id="GPU"),
        pytest.param({"worker_resources": {"NPU": 0}}, "NPU is 0, not above 0", id="nothing"),
    ],
)
def test_invalid_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClusterConfig(**changes)


@pytest.mark.parametrize(
    ("nodes", "changes", "message"),
    [
        pytest.param([BIG], {"workers": 7}, "", id="fits"),
        pytest.param([BIG], {"workers": 8}, "leave 0 to what feeds them", id="reader left none"),
        pytest.param([BIG], {"workers": 9}, "room for 8", id="too many"),
        pytest.param([BIG, BIG], {"workers": 3, "worker_cpus": 5}, "room for 2", id="a node each"),
        pytest.param([BIG], {"workers": 4, "worker_gpus": 0.5}, "", id="shared GPUs"),
        pytest.param([BIG], {"workers": 3, "worker_gpus": 1}, "1 CPU, 1 GPU.*room for 2", id="GPU"),
        pytest.param([BIG], {"workers": 2, "worker_resources": {"NPU": 1}}, "room for 1", id="NPU"),
        pytest.param([], {}, "0 node", id="no nodes"),
    ],
)
def test_room_is_checked_before_work(
    nodes: list[dict[str, float]], changes: dict[str, Any], message: str
) -> None:
    config = ClusterConfig(**changes)
    if not message:
        check_room(nodes, config)
        return
    with pytest.raises(ClusterError, match=message):
        check_room(nodes, config)


def test_ray_is_imported_only_when_needed() -> None:
    code = "import sys, actspan.jobs.ray_pool; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_error_without_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install '.*\[cluster\]'"),
        ray_session(ClusterConfig()),
    ):
        pass


def test_more_workers_than_this_machine_has_cores_are_refused() -> None:
    with pytest.raises(ClusterError, match=r"99 workers of 1 CPU .* lower --workers"):
        check_cores(ClusterConfig(workers=99))
