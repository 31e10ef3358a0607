"""Runs that are killed, fail or are resumed: the same bytes, or one clear error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actspan import Bundle, Run
from actspan.core.errors import ActSpanError, DataError, DatasetError, FeatureError, ResultError
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import edit_annotations, write_bundle, write_dataset
from tests.locks import locked_elsewhere
from tests.runs import contents

VIDEOS = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ProposeRequest:
    folder = tmp_path_factory.mktemp("resume")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=VIDEOS)
    request = ProposeRequest(folder / "bundle", folder / "set", folder / "unused", shard_size=2)
    return replace(request, backend="onnxruntime", threads=2, batch=2)


@pytest.fixture(scope="module")
def whole(made: ProposeRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an uninterrupted run, in one shard."""
    out = tmp_path_factory.mktemp("whole") / "run"
    propose(replace(made, out=out, shard_size=100, threads=1))
    return out


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip waiting for the disk, which is not tested here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Killed(BaseException):
    """Simulates kill -9: no later operation changes the disk."""


@contextmanager
def disk(
    monkeypatch: pytest.MonkeyPatch, at: int, failure: Callable[[], BaseException], *, dead: bool
) -> Iterator[list[str]]:
    """Fail at the `at`th operation that changes the disk; if `dead`, at all after it as well.

    Yields the requested operations.
    """
    asked: list[str] = []

    def watched(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            asked.append(name)
            if len(asked) == at or (dead and len(asked) > at):
                raise failure()
            return act(*arguments, **options)

        return operation

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, watched(name, getattr(os, name)))
        yield asked


def operations(made: ProposeRequest, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with disk(monkeypatch, 0, Killed, dead=False) as asked:
        propose(replace(made, out=out))
    return len(asked)


def shards_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.shard"))


@pytest.mark.parametrize("name", ["run", "alone.json"])
def test_a_job_killed_at_any_operation_is_resumed_to_the_same_bytes(
    name: str,
    made: ProposeRequest,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = operations(made, tmp_path / name, monkeypatch)
    assert count > 20
    for at in range(1, count + 1):
        out = tmp_path / str(at) / name
        out.parent.mkdir()
        with disk(monkeypatch, at, Killed, dead=True), pytest.raises(Killed):
            propose(replace(made, out=out))
        assert_whole_or_absent(out, whole)
        propose(replace(made, out=out, resume=True))
        assert_whole_or_absent(out, whole)
        assert [file.name for file in out.parent.iterdir()] == [name], f"killed at {at}"
        shutil.rmtree(out.parent)


def assert_whole_or_absent(out: Path, whole: Path) -> None:
    if out.is_dir():
        assert contents(out) == contents(whole)
    elif out.exists():
        assert out.read_bytes() == (whole / "result.json").read_bytes()


def test_a_disk_that_fails_at_any_operation_gives_one_error_and_keeps_shards(
    made: ProposeRequest, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = operations(made, tmp_path / "run", monkeypatch)
    for at in range(1, count + 1):
        out = tmp_path / str(at) / "run"
        out.parent.mkdir()
        with disk(monkeypatch, at, lambda: OSError(28, "No space left on device"), dead=False):
            try:
                propose(replace(made, out=out))
            except ActSpanError as error:
                assert "No space left" in str(error)  # noqa: PT017
        propose(replace(made, out=out, resume=True))
        assert contents(out) == contents(whole)
        assert [file.name for file in out.parent.iterdir()] == ["run"]
        shutil.rmtree(out.parent)


@settings(max_examples=15)
@given(
    kills=st.lists(st.integers(1, 60), max_size=4),
    size=st.integers(1, VIDEOS + 1),
    threads=st.integers(1, 3),
    batch=st.integers(1, 5),
)
def test_the_bytes_depend_on_neither_shards_threads_nor_interruptions(
    kills: list[int],
    size: int,
    threads: int,
    batch: int,
    made: ProposeRequest,
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = tmp_path_factory.mktemp("any") / "run"
    request = replace(made, out=out, shard_size=size, threads=threads, batch=batch, resume=True)
    for at in kills:
        with pytest.MonkeyPatch.context() as patch, disk(patch, at, Killed, dead=True):
            try:
                propose(request)
            except Killed:
                continue
    propose(request)
    assert contents(out) == contents(whole)


def interrupted(request: ProposeRequest, shards: int = 2) -> ProposeRequest:
    """Return the request that resumes a run which stopped after this many shards."""

    def report(what: str, done: int, total: int) -> None:
        if what == "propose" and done > 2 * (shards - 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        propose(request, report)
    (note,) = caught.value.__notes__
    assert note.startswith(f"saved: {shards} of 4 shards ({2 * shards} of 7 videos) are in")
    return replace(request, resume=True)


def test_only_missing_shards_are_computed(
    made: ProposeRequest, tmp_path: Path, whole: Path
) -> None:
    again = interrupted(replace(made, out=tmp_path / "run"))
    assert shards_in(again.partial) == ["000000.shard", "000001.shard"]
    before = {name: (again.partial / name).stat() for name in shards_in(again.partial)}
    interrupted(again, shards=3)
    for name, was in before.items():
        assert (again.partial / name).stat().st_mtime_ns == was.st_mtime_ns
    summary = propose(again)
    assert (summary.videos, summary.kept) == (VIDEOS, 6)
    assert contents(again.out) == contents(whole)


def test_an_unfinished_run_is_replaced_or_resumed_only_if_requested(
    made: ProposeRequest, tmp_path: Path, whole: Path
) -> None:
    again = interrupted(replace(made, out=tmp_path / "run"))
    with pytest.raises(ResultError, match=r"2 of 4 shards done: resume it with --resume, or start"):
        propose(replace(again, resume=False))
    assert len(shards_in(again.partial)) == 2
    assert propose(replace(again, resume=False, overwrite=True)).kept == 0
    assert contents(again.out) == contents(whole)


def test_a_finished_run_is_not_computed_again(made: ProposeRequest, tmp_path: Path) -> None:
    request = replace(made, out=tmp_path / "run", resume=True)
    first = propose(request)
    seen = (request.out / "run.toml").stat().st_mtime_ns
    second = propose(request)
    assert (request.out / "run.toml").stat().st_mtime_ns == seen
    assert (second.videos, second.proposals) == (first.videos, first.proposals)
    assert second.kept == VIDEOS
    other = replace(request, subset="validation")
    with pytest.raises(ResultError, match="a run already exists"):
        propose(other)


def test_features_that_changed_after_the_run_are_named(own: ProposeRequest) -> None:
    again = replace(own, resume=True)
    before = propose(again)
    feature = own.dataset / "features" / "video2.npy"
    content = feature.read_bytes()
    stamp = feature.stat().st_mtime_ns
    for change in (lambda: feature.write_bytes(content[:-4]), feature.unlink):
        change()
        with pytest.raises(FeatureError, match=r"1 video changed or are gone .*'video2' first"):
            propose(again)
        kept = propose(replace(again, on_error="skip"))
        assert kept.kept == before.videos
        assert [p.video for p in kept.problems] == ["video2"]
    feature.write_bytes(content)
    os.utime(feature, ns=(stamp, stamp))
    assert propose(again).problems == ()


def test_videos_that_are_new_or_gone_are_another_run(own: ProposeRequest) -> None:
    (own.dataset / "annotations.json").unlink()
    again = replace(own, resume=True)
    propose(again)
    (own.dataset / "features" / "video2.npy").unlink()
    with pytest.raises(ResultError, match=r"a run already exists, of different inputs: .*videos"):
        propose(again)


def test_another_version_of_the_runtime_is_another_run(
    own: ProposeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    again = replace(own, resume=True, backend="openvino")
    propose(again)
    assert Run.load(own.out).info["versions"].keys() >= {"openvino", "onnxruntime"}
    monkeypatch.setattr(
        "actspan.jobs.source.version", lambda name: "99" if name == "openvino" else version(name)
    )
    with pytest.raises(ResultError, match=r"versions: openvino was .*, is 99"):
        propose(again)


def test_damage_to_a_finished_run_is_named(made: ProposeRequest, tmp_path: Path) -> None:
    request = replace(made, out=tmp_path / "run", resume=True)
    propose(request)
    for name in ("result.json", "scores.npz", "candidates.npy", "candidates.csv", "inputs.json"):
        file = request.out / name
        good = file.read_bytes()
        file.write_bytes(good[:-100] + bytes([good[-100] ^ 4]) + good[-99:])
        with pytest.raises(ResultError, match=f"{name}: damaged, or edited: .* make the run again"):
            propose(request)
        file.write_bytes(good)


@contextmanager
def other_bundle(request: ProposeRequest) -> Iterator[ProposeRequest]:
    folder = request.out.parent / "bundle"
    write_bundle(folder, hidden=9)
    yield replace(request, model=folder)


@contextmanager
def other_annotations(request: ProposeRequest) -> Iterator[ProposeRequest]:
    folder = request.out.parent / "set"
    shutil.copytree(request.dataset, folder)
    edit_annotations(folder, "video3", duration=77.0)
    yield replace(request, dataset=folder)


@contextmanager
def other_version(request: ProposeRequest) -> Iterator[ProposeRequest]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actspan.jobs.source.version", lambda name: f"{name} 99")
        yield request


@contextmanager
def other_backend(request: ProposeRequest) -> Iterator[ProposeRequest]:
    yield replace(request, backend="auto")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(other_bundle, r"bundle: tem.safetensors was \w+\.\.\., is", id="bundle"),
        pytest.param(other_annotations, "dataset: annotations.json was", id="dataset"),
        pytest.param(other_version, "versions: .*numpy was .*, is numpy 99", id="versions"),
        pytest.param(other_backend, "settings: backend was onnxruntime, is auto", id="settings"),
    ],
)
def test_a_run_with_other_inputs_is_not_resumed(
    change: Any, message: str, made: ProposeRequest, tmp_path: Path, whole: Path
) -> None:
    again = interrupted(replace(made, out=tmp_path / "run"))
    with change(again) as other, pytest.raises(ResultError, match=message):
        propose(other)
    assert propose(again).kept == 4
    assert contents(again.out) == contents(whole)


@pytest.mark.parametrize("place", ["head", "middle", "end", "cut", "empty", "longer"])
def test_a_damaged_shard_is_computed_again(
    place: str, made: ProposeRequest, tmp_path: Path, whole: Path
) -> None:
    again = interrupted(replace(made, out=tmp_path / "run"))
    file = again.partial / "000001.shard"
    data = bytearray(file.read_bytes())
    at = {"head": 3, "middle": len(data) // 2, "end": len(data) - 1}.get(place)
    if at is not None:
        data[at] ^= 1
    changed = {"cut": data[:-40], "empty": b"", "longer": data + b"\0"}.get(place, data)
    file.write_bytes(changed)
    summary = propose(again)
    assert summary.kept == 2
    assert [p.problem for p in summary.problems] == ["1 damaged shard"]
    assert contents(again.out) == contents(whole)


def test_a_damaged_plan_is_named(made: ProposeRequest, tmp_path: Path, whole: Path) -> None:
    again = interrupted(replace(made, out=tmp_path / "run"))
    file = again.partial / "plan.json"
    file.write_bytes(file.read_bytes().replace(b"video3", b"video4"))
    with pytest.raises(ResultError, match=r"plan.json: damaged; start the run again: --force"):
        propose(again)
    propose(replace(again, resume=False, overwrite=True))
    assert contents(again.out) == contents(whole)


def test_one_driver_at_a_time(made: ProposeRequest, tmp_path: Path) -> None:
    again = interrupted(replace(made, out=tmp_path / "run"))
    with (
        locked_elsewhere(again.partial, inside=True),
        pytest.raises(DataError, match=r"run.partial: process .* is writing it"),
    ):
        propose(again)
    assert propose(again).kept == 4


def vanishing(
    request: ProposeRequest, video: str, *, after: int
) -> Callable[[str, int, int], None]:
    """Return a report that removes a video's features after this many videos were checked."""

    def report(what: str, done: int, total: int) -> None:
        if what == "check" and done == after:
            (request.dataset / "features" / f"{video}.npy").unlink()

    return report


@pytest.fixture
def own(made: ProposeRequest, tmp_path: Path) -> ProposeRequest:
    """Return the request with a copy of the dataset, which may be damaged."""
    shutil.copytree(made.dataset, tmp_path / "set")
    return replace(made, dataset=tmp_path / "set", out=tmp_path / "run")


def test_missing_features_stop_the_run_which_can_be_resumed(
    own: ProposeRequest, whole: Path
) -> None:
    features = (own.dataset / "features" / "video5.npy").read_bytes()
    with pytest.raises(DataError, match=r"video5.npy: .*--on-error skip") as caught:
        propose(own, vanishing(own, "video5", after=VIDEOS))
    assert "saved: 2 of 4 shards" in caught.value.__notes__[0]
    with pytest.raises(DatasetError, match="video5: no features"):
        propose(replace(own, resume=True))
    (own.dataset / "features" / "video5.npy").write_bytes(features)
    assert propose(replace(own, resume=True)).kept == 4
    assert contents(own.out, "run.toml") == contents(whole, "run.toml")  # which names the dataset


def test_missing_features_are_listed_and_skipped(own: ProposeRequest) -> None:
    skip = replace(own, on_error="skip")
    summary = propose(skip, vanishing(own, "video5", after=VIDEOS))
    assert summary.videos == VIDEOS - 1
    (skipped,) = Run.load(own.out).info["skipped"]
    assert skipped["video"] == "video5"
    assert skipped["file"].endswith("video5.npy")
    assert "cannot be read" in skipped["problem"]
    assert "video5" not in Run.load(own.out).proposals()


def test_a_skipped_video_stays_skipped_when_the_job_is_resumed(own: ProposeRequest) -> None:
    skip = replace(own, on_error="skip")
    remove = vanishing(own, "video1", after=VIDEOS)

    def report(what: str, done: int, total: int) -> None:
        remove(what, done, total)
        if what == "propose" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        propose(skip, report)
    assert caught.value.__notes__
    summary = propose(replace(skip, resume=True))
    assert (summary.videos, summary.kept) == (VIDEOS - 1, 5)
    assert [s["video"] for s in Run.load(own.out).info["skipped"]] == ["video1"]


def test_a_missing_dataset_is_an_error_and_not_skipped_videos(own: ProposeRequest) -> None:
    def report(what: str, done: int, total: int) -> None:
        if what == "check" and done == total:
            own.dataset.rename(own.dataset.with_name("unmounted"))

    with pytest.raises(DataError, match="the dataset is gone; is its disk still there"):
        propose(replace(own, on_error="skip"), report)


def test_features_that_changed_after_their_result_are_reported(own: ProposeRequest) -> None:
    again = interrupted(own)
    file = own.dataset / "features" / "video0.npy"
    os.utime(file, ns=(1, 1))
    with pytest.raises(FeatureError, match=r"1 video changed .*'video0' first"):
        propose(again)
    summary = propose(replace(again, on_error="skip"))
    assert [p.problem for p in summary.problems] == ["changed, or is gone, after its result"]


def test_onnx_files_that_are_exported_later_do_not_prevent_resuming(
    made: ProposeRequest, tmp_path: Path, whole: Path
) -> None:
    bundle = tmp_path / "bundle"
    write_bundle(bundle)
    kept = Bundle.load(bundle)
    again = interrupted(replace(made, model=bundle, out=tmp_path / "run"))
    assert Bundle.load(bundle).files.keys() == kept.files.keys()
    assert propose(again).kept == 4


def test_shards_of_a_result_file_cannot_be_resumed_as_a_run(
    made: ProposeRequest, tmp_path: Path
) -> None:
    place = str(tmp_path / "shards")
    again = interrupted(replace(made, out=tmp_path / "x.json", shards=place))
    with pytest.raises(ResultError, match="out was a result file, is a run folder"):
        propose(replace(again, out=tmp_path / "run"))
    assert propose(again).kept == 4
