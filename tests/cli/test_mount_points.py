"""Commands write to a mount point, such as a volume in a container, as to any other folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main
from tests.examples import write_inputs
from tests.mounts import Mount

WRITERS = {
    "propose --model model --dataset set --out OUT": "run.toml",
    "pack set --out OUT": "store.toml",
    "convert model/tem.safetensors --out OUT": "model.toml",
    "staged tem-inputs --model model --dataset set --out OUT": "stage.toml",
    "deploy model --target openvino --out OUT": "model.toml",
    "train --dataset set --out OUT --epochs 1": "model.toml",
    "extract a.csv --out OUT": "dataset.toml",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset, a model and a recording."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def _in_inputs(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inputs)


def run(line: str, out: Path, *options: str) -> None:
    words = [str(out) if word == "OUT" else word for word in line.split()]
    done = CliRunner().invoke(main, [*words, *options])
    assert done.exit_code == 0, done.output


def need(line: str) -> None:
    if line.startswith("train"):
        pytest.importorskip("torch", reason="needs the extra 'train'")
    if line.startswith("pack"):
        pytest.importorskip("pyarrow", reason="needs the extra 'arrow'")
    if "openvino" in line:
        pytest.importorskip("openvino", reason="needs the extra 'openvino'")


@pytest.mark.parametrize("line", WRITERS, ids=lambda line: line.split()[0])
@pytest.mark.parametrize("root", ["ordinary", "read-only"])
def test_a_volume_is_written_and_replaced(
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Mount,
    line: str,
    root: str,
) -> None:
    need(line)
    monkeypatch.chdir(inputs)
    run(line, tmp_path / "ordinary")
    place = tmp_path / "root"
    (place / "volume").mkdir(parents=True)
    if root == "read-only":
        mounted(place, "-t", "tmpfs", "tmpfs")
        (place / "volume").mkdir()
    mounted(place / "volume", "-t", "tmpfs", "tmpfs")
    if root == "read-only":
        mounted(place, "-o", "remount,ro")
    out = place / "volume"
    for options in ((), ("--force",)):
        run(line, out, *options)
        assert names(out) == names(tmp_path / "ordinary")
        assert (out / WRITERS[line]).is_file()
    assert names(place) == {"volume"} | {f"volume/{name}" for name in names(out)}


def names(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if "tfevents" not in name}  # with the time


def test_an_unfinished_run_on_a_volume_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: Mount
) -> None:
    line = "propose --model model --dataset set --out OUT --shard-size 1"
    run(line, tmp_path / "whole")
    out = tmp_path / "volume"
    out.mkdir()
    mounted(out, "-t", "tmpfs", "tmpfs")

    def stop(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("actspan.jobs.sinks.replace_folder", stop)
        words = [str(out) if word == "OUT" else word for word in line.split()]
        done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert f"are in {out}/.actspan-partial/; the same command with --resume" in done.output
    run(line, out, "--resume")
    assert names(out) == names(tmp_path / "whole")
    assert (out / "result.json").read_bytes() == (tmp_path / "whole/result.json").read_bytes()
    run(line, out, "--resume")  # finished


def test_a_result_file_that_is_a_mount_point_is_refused_before_the_work(
    tmp_path: Path, mounted: Mount
) -> None:
    for name in ("source", "result.json"):
        (tmp_path / name).touch()
    mounted(tmp_path / "result.json", "--bind", tmp_path / "source")
    words = ["propose", "--model", "model", "--dataset", "set", "--out"]
    done = CliRunner().invoke(main, [*words, str(tmp_path / "result.json")])
    assert done.exit_code == 1
    assert "mount the folder around it instead" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "source"]
