from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actspan.core import errors
from actspan.core.errors import ClusterError
from actspan.jobs.ray_pool import _Actor, _error_class_of, work_through
from tests.jobs.cluster.conftest import WORKERS
from tests.jobs.cluster.workers import Failing, Killed

# Ray issues warnings itself
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 5])
def test_unfinished_work_of_a_killed_worker_is_repeated(
    ray: Any, tmp_path: Path, at_once: int
) -> None:
    job = Killed(tmp_path, frozenset({3, 7}))
    found = dict(work_through(job, range(12), WORKERS, at_once=at_once))
    assert found == {number: number * number for number in range(12)}
    assert (tmp_path / "killed-3").exists()


@pytest.mark.slow
def test_the_job_fails_if_work_kills_every_worker(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actspan.jobs.ray_pool._PASSES", 1)
    job = Killed(tmp_path, frozenset({0}), always=True)
    with pytest.raises(ClusterError, match=r"lost 1 times over .* \(number 0 first\)"):
        list(work_through(job, [0], WORKERS))


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        pytest.param("ours", "FeatureError", "video.npy: the file is empty", id="by name"),
        pytest.param(
            "other", "ClusterError", "a worker failed: ZeroDivisionError: not ours", id="a bug"
        ),
    ],
)
def test_errors_of_workers_are_returned_as_answers(kind: str, name: str, message: str) -> None:
    answer = _Actor(Failing(kind))({"number": [5]})
    assert answer == {"number": [5], "answer": ["null"], "kind": [name], "message": [message]}
    answer = _Actor(Failing(kind))({"number": [4, 5, 6]})
    assert (answer["number"], answer["answer"]) == ([4, 5], ["4", "null"])
    assert answer["kind"] == ["", name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("StoreError", errors.StoreError),
        ("MissingExtraError", errors.MissingExtraError),
        ("DatasetError", errors.ActSpanError),
        ("sys", errors.ActSpanError),
    ],
)
def test_errors_are_restored_from_answers(name: str, kind: type[Exception]) -> None:
    assert type(_error_class_of(name)("what was said")) is kind
