"""Shards in an object store that fails, is slow, or answers twice; recordings in windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from msgspec.structs import replace

from actspan import Run
from actspan.core.errors import ActSpanError, DataError
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset
from tests.runs import contents

_numbers = itertools.count()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ProposeRequest:
    folder = tmp_path_factory.mktemp("places")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=5)
    request = ProposeRequest(folder / "bundle", folder / "set", folder / "run", shard_size=2)
    request = replace(request, backend="onnxruntime", threads=2)
    propose(request)
    return request


@pytest.fixture
def bucket() -> str:
    return f"memory://bucket{next(_numbers)}/run.partial"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actspan.core.storage._WAITS", (0.0, 0.0, 0.0))


def objects(bucket: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(bucket)
    return sorted(Path(path).name for path in files.find(root))


def test_a_job_is_resumed_from_an_object_store(
    made: ProposeRequest, bucket: str, tmp_path: Path
) -> None:
    def report(what: str, done: int, total: int) -> None:
        if what == "propose" and done == 3:
            raise KeyboardInterrupt

    request = replace(made, out=tmp_path / "run", shards=bucket)
    with pytest.raises(KeyboardInterrupt) as caught:
        propose(request, report)
    assert f"are in {bucket}/; the same command with --resume" in caught.value.__notes__[0]
    assert objects(bucket) == ["000000.shard", "000001.shard", "plan.json"]
    assert propose(replace(request, resume=True)).kept == 4
    assert contents(request.out) == contents(made.out)
    assert objects(bucket) == []


def failing(act: Callable[..., Any], times: int, *, done: bool) -> Callable[..., Any]:
    """Fail this many times before each answer; if `done`, after performing the operation."""
    calls = itertools.count(1)

    def operation(*arguments: Any, **options: Any) -> Any:
        if next(calls) % (times + 1):
            if done:
                act(*arguments, **options)
            raise ConnectionResetError("connection reset by peer")
        return act(*arguments, **options)

    return operation


@pytest.mark.parametrize("done", [False, True], ids=["fails", "answers twice"])
@pytest.mark.parametrize("name", ["put_file", "get_file", "exists", "ls"])
def test_temporary_failures_of_a_store_are_retried(
    name: str,
    done: bool,
    made: ProposeRequest,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    act = failing(getattr(MemoryFileSystem, name), 2, done=done)
    monkeypatch.setattr(MemoryFileSystem, name, lambda *a, **o: act(*a, **o))
    request = replace(made, out=tmp_path / "run", shards=bucket)
    propose(request)
    assert contents(request.out) == contents(made.out)


def test_a_store_that_keeps_failing_gives_one_error_and_keeps_shards(
    made: ProposeRequest, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replace(made, out=tmp_path / "run", shards=bucket)
    put, calls = MemoryFileSystem.put_file, itertools.count()

    def fails(*arguments: Any, **options: Any) -> Any:
        if next(calls) > 1:
            raise TimeoutError("timed out")
        return put(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", fails)
        with pytest.raises(DataError, match=r"000001.shard: the object store fails: timed out"):
            propose(request)
    assert propose(replace(request, resume=True)).kept == 2
    assert contents(request.out) == contents(made.out)


@pytest.mark.parametrize("url", ["nonsense://bucket/x", "s3:/" + "/"], ids=["protocol", "bucket"])
def test_invalid_urls_are_refused(url: str, made: ProposeRequest, tmp_path: Path) -> None:
    with pytest.raises(ActSpanError):
        propose(replace(made, out=tmp_path / "run", shards=url))


@pytest.fixture
def recordings(tmp_path: Path) -> ProposeRequest:
    """Return recordings of one to three windows, for a model that works in windows."""
    write_bundle(tmp_path / "bundle", mode="window")
    write_dataset(tmp_path / "set", videos=5)
    request = ProposeRequest(tmp_path / "bundle", tmp_path / "set", tmp_path / "run", shard_size=2)
    return replace(request, backend="onnxruntime", threads=2, batch=2)


def test_recordings_are_resumed_to_the_same_bytes(
    recordings: ProposeRequest, tmp_path: Path
) -> None:
    propose(replace(recordings, out=tmp_path / "whole", shard_size=1))

    def report(what: str, done: int, total: int) -> None:
        if what == "propose" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propose(recordings, report)
    assert propose(replace(recordings, resume=True)).kept == 4
    assert contents(recordings.out) == contents(tmp_path / "whole")


def test_a_recording_that_fails_in_its_last_window_leaves_no_results(
    recordings: ProposeRequest,
) -> None:
    file = recordings.dataset / "features" / "video2.npy"

    def report(what: str, done: int, total: int) -> None:
        if what == "check" and done == total:
            values = np.load(file)
            values[-1] = np.nan
            np.save(file, values)

    summary = propose(replace(recordings, on_error="skip"), report)
    assert (summary.videos, [p.video for p in summary.problems]) == (4, ["video2"])
    run = Run.load(recordings.out)
    rest = {"video0", "video1", "video3", "video4"}
    assert run.proposals().keys() == {row.video for row in run.candidates()} == rest
    with run.scores() as scores:
        assert set(scores.ids) == rest
