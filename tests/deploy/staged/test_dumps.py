"""All problems of dumps are reported before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actspan.core.errors import BundleError, DatasetError, StageError
from actspan.deploy.staged.dumps import RECORD, Dumps
from actspan.deploy.staged.host_steps import write_pem_inputs, write_tem_results
from actspan.deploy.staged.results import write_results
from actspan.deploy.staged.stage import Stage
from actspan.deploy.staged.step_files import StepReport
from tests.deploy.staged.steps import StagedExample, make_example
from tests.examples import write_bundle, write_dataset


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged")
    make_example(folder, videos=4).run_all()
    return folder


@pytest.fixture
def example(finished: Path, tmp_path: Path) -> StagedExample:
    shutil.copytree(finished, tmp_path / "x")
    return StagedExample(
        tmp_path / "x" / "bundle", tmp_path / "x" / "set", tmp_path / "x" / "stage"
    )


@pytest.fixture
def stage(example: StagedExample) -> Stage:
    return Stage.load(example.stage)


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    array = np.frombuffer(path.read_bytes(), dtype=np.float32).copy()
    path.write_bytes(np.asarray(change(array)).tobytes())


def put(index: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return change


def as_half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16)


def write_pem_results(stage: Stage, dumps: Dumps, **options: Any) -> StepReport:
    return write_results(stage, "pem", dumps, **options)


BAD_CONTENT = [
    pytest.param("tem", lambda a: a[:-1], "236 bytes, 240 expected", id="tem-short"),
    pytest.param("tem", lambda a: np.append(a, a), "480 bytes, 240 expected", id="tem-long"),
    pytest.param("tem", as_half, r"120 bytes, 240 expected: float16\?", id="tem-half"),
    pytest.param("tem", put(7, np.nan), r"1 value NaN or infinite", id="tem-nan"),
    pytest.param("tem", put(7, -2.5), "values from -2.5 to .*: no probabilities", id="tem-raw"),
    pytest.param("pem", lambda a: a[:-1], "3996 bytes, 4000 expected", id="pem-short"),
    pytest.param("pem", put(0, np.inf), r"1 value NaN or infinite", id="pem-inf"),
    pytest.param("pem", put(999, 0.99), "rows after the .* real ones differ", id="pem-other"),
]


@pytest.mark.parametrize(("net", "change", "message"), BAD_CONTENT)
def test_bad_content(
    stage: Stage, net: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    dumps = Dumps(stage.path / f"{net}-output")
    rewrite(dumps.folder / "video1_1.bin", change)
    take = write_tem_results if net == "tem" else write_pem_results
    result = (stage.path / "result.json").read_bytes()
    shutil.rmtree(stage.path / f"{net}-result") if net == "pem" else None
    with pytest.raises(DatasetError, match=f"video1: {message}") as caught:
        take(stage, dumps)
    assert len(caught.value.problems) == 1
    assert (stage.path / "result.json").read_bytes() == result
    assert not (stage.path / "pem-result").exists() or net == "tem"
    done = take(stage, dumps, on_error="skip")
    assert (done.videos, len(done.problems)) == (3, 1)


def test_missing_and_superfluous_dumps_are_reported_together(stage: Stage) -> None:
    folder = stage.outputs("tem")
    (folder / "video0_1.bin").unlink()
    shutil.copy(folder / "video1_1.bin", folder / "stranger_1.bin")
    rewrite(folder / "video2_1.bin", put(0, np.nan))
    with pytest.raises(DatasetError) as caught:
        write_tem_results(stage, Dumps(folder))
    found = {p.video: p.problem for p in caught.value.problems}
    assert found == {
        "video0": "missing",
        "video2": "1 value NaN or infinite",
        "stranger": "dump of no input of this stage",
    }
    assert write_tem_results(stage, Dumps(folder), on_error="skip").videos == 2


def test_the_other_networks_dumps(stage: Stage) -> None:
    with pytest.raises(DatasetError, match=r"240 bytes, 4000 expected: a dump of TEM\?") as caught:
        write_pem_results(stage, Dumps(stage.outputs("tem")))
    assert len(caught.value.problems) == 4
    assert "PEM's dumps (--dumps)" in caught.value.problems[0].remedy


def test_dumps_of_another_dataset(example: StagedExample, stage: Stage, tmp_path: Path) -> None:
    other = StagedExample(
        example.model, write_dataset(tmp_path / "set2", videos=2), tmp_path / "stage2"
    )
    for file in sorted((other.dataset / "features").iterdir(), reverse=True):
        file.rename(file.with_name(f"other-{file.name}"))
    (other.dataset / "annotations.json").unlink()
    strange = other.start()
    other.run("tem")
    with pytest.raises(DatasetError) as caught:
        write_tem_results(stage, Dumps(strange.outputs("tem")))
    problems = [p.problem for p in caught.value.problems]
    assert problems == ["missing"] * 4 + ["dump of no input of this stage"] * 2


def test_same_names_but_other_features(
    example: StagedExample, stage: Stage, tmp_path: Path
) -> None:
    other = StagedExample(
        example.model, write_dataset(tmp_path / "set2", videos=4, seed=1), tmp_path / "stage2"
    )
    strange = other.start()
    other.run("tem")
    with pytest.raises(DatasetError, match="stale: made from another input than the present one"):
        write_tem_results(stage, Dumps(strange.outputs("tem")))


def test_dumps_of_a_tool_that_are_older_than_their_inputs(stage: Stage) -> None:
    folder = stage.outputs("tem")
    (folder / RECORD).unlink()  # vendors' tools write none
    write_tem_results(stage, Dumps(folder))
    hour_ago = time.time() - 3600
    os.utime(folder / "video3_1.bin", (hour_ago, hour_ago))
    with pytest.raises(DatasetError, match="video3: stale: older than its input"):
        write_tem_results(stage, Dumps(folder))


def test_an_input_that_comes_out_the_same_keeps_its_age(stage: Stage) -> None:
    before = stage.table("pem").items
    write_tem_results(stage, Dumps(stage.outputs("tem")))
    write_pem_results(stage, Dumps(stage.outputs("pem")))  # the repeated step changed nothing
    rewrite(stage.outputs("tem") / "video0_1.bin", put(22, 0.999))
    write_tem_results(stage, Dumps(stage.outputs("tem")))
    write_pem_inputs(stage)
    pairs = zip(before, stage.table("pem").items, strict=True)
    assert [now.since == then.since for then, now in pairs] == [False, True, True, True]


def test_pem_dumps_of_before_tem_was_run_again(example: StagedExample, stage: Stage) -> None:
    rewrite(stage.outputs("tem") / "video0_1.bin", put(22, 0.999))
    write_tem_results(stage, Dumps(stage.outputs("tem")))
    with pytest.raises(StageError, match=r"pem: stale: .* pem-inputs"):
        write_pem_results(stage, Dumps(stage.outputs("pem")))
    with pytest.raises(StageError, match=r"pem: stale: .* pem-inputs"):
        example.run("pem", overwrite=True)
    write_pem_inputs(stage)
    with pytest.raises(DatasetError, match="video0: stale: made from another input") as caught:
        write_pem_results(stage, Dumps(stage.outputs("pem")))
    assert len(caught.value.problems) == 1  # the other inputs are what they were


def test_a_recording_with_a_bad_window_is_bad_as_a_whole(tmp_path: Path) -> None:
    example = make_example(tmp_path, mode="window", videos=3)
    stage = example.start()
    example.run("tem")
    items = stage.table("tem").items
    last = [item for item in items if item.video == "video1"][-1]
    Dumps(stage.outputs("tem")).path(last).unlink()
    with pytest.raises(DatasetError, match="video1: missing"):
        write_tem_results(stage, Dumps(stage.outputs("tem")))
    done = write_tem_results(stage, Dumps(stage.outputs("tem")), on_error="skip")
    assert done.videos == 2
    write_pem_inputs(stage)
    example.run("pem")
    write_pem_results(stage, Dumps(stage.outputs("pem")))
    results = json.loads((stage.path / "result.json").read_text())["results"]
    expected = json.loads(example.proposed(tmp_path / "x.json"))["results"]
    assert results == {name: expected[name] for name in ("video0", "video2")}


def test_nothing_left_is_an_error_even_when_skipping(stage: Stage) -> None:
    for file in stage.outputs("tem").glob("*_1.bin"):
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match="0 bytes, 240 expected"):
        write_tem_results(stage, Dumps(stage.outputs("tem")), on_error="skip")


def test_no_dumps_at_all(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no such folder: run the network"):
        write_tem_results(stage, Dumps(tmp_path / "nowhere"))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "video0_1.txt").touch()
    with pytest.raises(StageError, match=r"there is: video0_1\.txt.*-output_binary=True"):
        write_tem_results(stage, Dumps(tmp_path / "text"))
    with pytest.raises(StageError, match=r"no file ends in _0\.bin"):
        write_tem_results(stage, Dumps(stage.outputs("tem"), "_0.bin"))


def test_another_suffix(stage: Stage) -> None:
    folder = stage.outputs("tem")
    for file in folder.glob("*_1.bin"):
        file.rename(file.with_name(file.name.replace("_1.bin", "_0.bin")))
    assert write_tem_results(stage, Dumps(folder, "_0.bin")).videos == 4


@pytest.mark.parametrize("text", ["input\nvideo0\n", "input,crc32\nvideo0,x\n", "a,b\n1,2\n"])
def test_a_damaged_record(stage: Stage, text: str) -> None:
    (stage.outputs("tem") / RECORD).write_text(text)
    with pytest.raises(StageError, match=r"inputs\.csv: damaged.*remove this file"):
        write_tem_results(stage, Dumps(stage.outputs("tem")))


def test_results_that_were_changed_or_deleted(stage: Stage) -> None:
    folder = stage.path / "tem-result"
    (folder / "video0.csv").unlink()
    (folder / "video1.csv").write_text("action,start,end\n0.5,0.5,0.5\n")
    with pytest.raises(DatasetError) as caught:
        write_pem_inputs(stage)
    found = {p.video: p.problem for p in caught.value.problems}
    assert found == {
        "video0": "cannot be read: No such file or directory",
        "video1": "changed since it was written",
    }
    assert write_pem_inputs(stage, on_error="skip").videos == 2


def test_candidates_that_were_removed(stage: Stage) -> None:
    (stage.path / "pem" / "xmin" / "video0.bin").unlink()
    (stage.path / "pem" / "xmax" / "video1.bin").write_bytes(bytes(8))
    with pytest.raises(DatasetError, match=r"video1: 8 bytes, .* expected") as caught:
        write_pem_results(stage, Dumps(stage.outputs("pem")))
    assert len(caught.value.problems) == 2


def test_inputs_that_were_removed(example: StagedExample, stage: Stage) -> None:
    (stage.path / "tem" / "input" / "video0.bin").unlink()
    with pytest.raises(DatasetError, match="video0: cannot be read"):
        example.run("tem", overwrite=True)
    assert len(list(stage.outputs("tem").glob("*_1.bin"))) == 4


def test_another_model_is_refused(example: StagedExample, tmp_path: Path) -> None:
    other = StagedExample(
        write_bundle(tmp_path / "other", hidden=4).path, example.dataset, example.stage
    )
    with pytest.raises(StageError, match="its weights are not those"):
        other.run("tem", overwrite=True)
    partial = write_bundle(tmp_path / "partial", tem=False).path
    with pytest.raises(BundleError, match="contains no TEM; the staged path needs both"):
        StagedExample(partial, example.dataset, tmp_path / "stage").start()


def test_nothing_is_overwritten_by_accident(example: StagedExample, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="a stage already exists"):
        example.start()
    with pytest.raises(StageError, match="dumps already exist"):
        example.run("tem")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StageError, match="is not a stage: choose another folder"):
        StagedExample(example.model, example.dataset, tmp_path / "mine").start(overwrite=True)
    with pytest.raises(StageError, match="contains files that are not dumps"):
        example.run("tem", out=tmp_path / "mine", overwrite=True)
    example.start(overwrite=True)
    assert not (example.stage / "tem-output").exists()


def test_dumps_may_lie_on_another_disk(
    example: StagedExample, stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "large").mkdir()
    shutil.rmtree(stage.outputs("tem"))
    stage.outputs("tem").symlink_to(tmp_path / "large")
    example.run("tem")
    assert stage.outputs("tem").is_symlink()
    assert len(list((tmp_path / "large").glob("*_1.bin"))) == 4


def test_steps_out_of_order(example: StagedExample, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"not a stage \(no stage\.toml\)"):
        Stage.load(tmp_path)
    stage = example.start(overwrite=True)
    with pytest.raises(StageError, match=r"there is no tem-result/.*tem-outputs makes it"):
        write_pem_inputs(stage)
    with pytest.raises(StageError, match=r"there is no pem/.*pem-inputs makes it"):
        example.run("pem")


@pytest.mark.parametrize(
    "lines",
    [b"", b"nonsense\n", b'{"format":1,"made_from":""}\n{"video":"../x"}\n'],
)
def test_a_damaged_table(stage: Stage, lines: bytes) -> None:
    (stage.path / "tem" / "inputs.jsonl").write_bytes(lines)
    with pytest.raises(StageError, match=r"inputs\.jsonl: damaged"):
        stage.table("tem")


def test_a_damaged_stage_file(stage: Stage) -> None:
    (stage.path / "stage.toml").write_text("format_version = 1\n")
    with pytest.raises(StageError, match=r"stage\.toml: .*make the stage again"):
        Stage.load(stage.path)


def test_a_full_disk_leaves_nothing_half_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted((stage.path / "pem").rglob("*"))
    monkeypatch.setattr("actspan.deploy.staged.host_steps.write_array", full)
    with pytest.raises(Exception, match="pem: cannot be written: No space left"):
        write_pem_inputs(stage)
    assert sorted((stage.path / "pem").rglob("*")) == before
    assert not list(stage.path.glob(".*"))
