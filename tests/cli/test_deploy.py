from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from msgspec.structs import replace

from actspan import Bundle
from actspan.cli import main
from actspan.core.errors import CompileError
from tests.deploy.compilers import only
from tests.examples import write_bundle, write_dataset
from tests.model.bmn_checkpoints import SMALL, jjboy_arrays

pytest.importorskip("openvino")

BMN = replace(SMALL, length=12)


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["deploy", *map(str, arguments)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("deploy") / "b")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("deploy") / "d", videos=6)


def test_everything_in_one_go(bundle: Bundle, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = actspan(
        bundle.path, "--target", "openvino", "--out", out, "--dataset", dataset,
        "--evaluate", dataset, "--batch", 2, "--batch", 16,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for part in ("export", "compile", "openvino (.xml)", "logit max", "AUC", "tem bs2",
                 "[e2e] throughputRate: ", "Interface throughputRate: "):  # fmt: skip
        assert part in result.stdout, part
    assert (tmp_path / "out-run" / "result.json").is_file()
    again = actspan(bundle.path, "--target", "openvino", "--out", out)
    assert again.exit_code == 1
    assert "--force" in again.stderr


def test_as_json(bundle: Bundle, dataset: Path, tmp_path: Path) -> None:
    result = actspan(
        bundle.path, "--target", "openvino", "--out", tmp_path / "out", "--evaluate", dataset,
        "--run", tmp_path / "run", "--batch", 2, "--json",
    )  # fmt: skip
    answer = json.loads(result.stdout)
    assert answer["verification"]["holds"]
    assert answer["not_done"] == []
    assert answer["evaluation"]["run"] == str(tmp_path / "run")
    assert {row["net"] for row in answer["evaluation"]["times"]} == {"tem", "pem"}
    assert [step["name"] for step in answer["steps"]].count("compile") == 2


@pytest.fixture(scope="module")
def bmn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of a BMN without its mask, in the form of JJBOY's code."""
    arrays = jjboy_arrays(BMN, mask=False)
    path = tmp_path_factory.mktemp("deploy") / "bmn.pth.tar"
    torch.save({"state_dict": {n: torch.from_numpy(array) for n, array in arrays.items()}}, path)
    return path


def test_a_checkpoint_of_bmn(bmn: Path, tmp_path: Path) -> None:
    spec = "[features]\nchannels = 8\nstride_seconds = 0.5\n"
    dataset = write_dataset(tmp_path / "d", channels=8, spec=spec)
    out = tmp_path / "out"
    result = actspan(
        bmn, "--preset", "jjboy2020", "--length", 12, "--target", "openvino", "--out", out,
        "--dataset", dataset, "--evaluate", dataset, "--batch", 2, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["verification"]["holds"]
    assert {row["net"] for row in answer["evaluation"]["times"]} == {"bmn"}
    assert Bundle.load(out).config.bmn == BMN
    assert {"bmn.onnx", "bmn.xml", "bmn.bin"} <= Bundle.load(out).files.keys()


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        ("ascend", ['--input_shape="video:1,8,12"', "--output=bmn.fp16.bs16"]),
        ("openvino", ["ovc bmn.onnx --output_model=bmn.xml"]),
    ],
)
def test_a_script_for_a_checkpoint_of_bmn(
    target: str, lines: list[str], bmn: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--preset", "jjboy2020", "--length", 12, "--target", target, "--out", out]
    result = actspan(bmn, *options, "--print", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verification"]["holds"]
    script = (out / f"compile-{target}.sh").read_text()
    assert all(line in script for line in lines)
    for name in Bundle.load(out).files:
        if name.endswith(".onnx"):
            check_no_axes_beyond_four(out / name)


def check_no_axes_beyond_four(path: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = [*model.graph.value_info, *model.graph.output, *model.graph.input]
    assert max(len(value.type.tensor_type.shape.dim) for value in values) == 4


@pytest.mark.parametrize(("option", "code"), [([], 1), (["--print"], 0)], ids=["left", "asked"])
def test_without_the_compiler(
    option: list[str],
    code: int,
    bundle: Bundle,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch)
    monkeypatch.setattr("actspan.deploy.atc._SET_ENV", ())
    out = tmp_path / "out"
    result = actspan(
        bundle.path, "--target", "ascend", "--out", out, "--evaluate", dataset, *option
    )
    assert result.exit_code == code, result.output
    assert (out / "compile-ascend.sh").is_file()
    assert "not done here: on the device's host" in result.stderr
    assert "not evaluated" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["tem.pth.tar", "--target", "openvino"], 2, "--out", id="no-place"),
        pytest.param(
            ["none.pth.tar", "--target", "openvino", "--out", "o"], 1, "does not exist", id="absent"
        ),
        pytest.param(["BUNDLE", "--target", "ascend", "--dataset", "no"], 1, "no", id="dataset"),
    ],
)
def test_bad_usage(
    bundle: Bundle,
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tem.pth.tar").touch()
    result = actspan(*[str(bundle.path) if a == "BUNDLE" else a for a in arguments])
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output


BUNDLE_FILES = {"model.toml", "tem.safetensors", "pem.safetensors"}


@pytest.mark.parametrize("step", ["export_bundle", "prepare_plan", "compile_plan", "verify_bundle"])
def test_a_failed_step_leaves_no_bundle_that_refuses_the_repeat(
    step: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CompileError("no room")

    command = (bundle.path, "--target", "openvino", "--out", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(import_module("actspan.deploy.deployment"), step, fail)
        failed = actspan(*command)
    assert (failed.exit_code, failed.stderr) == (1, "error: no room\n")
    assert list(tmp_path.iterdir()) == []
    assert actspan(*command).exit_code == 0


def test_a_failure_leaves_what_was_there(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place = write_bundle(tmp_path / "b").path
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()

    def fail(*_: object, **__: object) -> None:
        raise CompileError("no room")

    monkeypatch.setattr(import_module("actspan.deploy.deployment"), "compile_plan", fail)
    assert actspan(in_place, "--target", "openvino").exit_code == 1
    assert {file.name for file in in_place.iterdir()} >= BUNDLE_FILES
    assert actspan(bundle.path, "--target", "openvino", "--out", other).exit_code == 1
    assert [file.name for file in other.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("option", ["--dataset", "--evaluate"])
def test_a_subset_is_checked_before_anything_is_made(
    option: str, bundle: Bundle, dataset: Path, tmp_path: Path
) -> None:
    done = actspan(
        bundle.path, "--target", "openvino", "--out", tmp_path / "out", option, dataset,
        "--subset", "validaton",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "no video in subset 'validaton'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_is_checked_before_anything_is_made(
    bundle: Bundle, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "out-run").mkdir()
    (tmp_path / "out-run" / "mine.txt").touch()
    done = actspan(
        bundle.path, "--target", "openvino", "--out", tmp_path / "out", "--evaluate", dataset
    )
    assert done.exit_code == 1
    assert "out-run: already exists and is not a run" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_failed_evaluation_says_that_the_bundle_is_complete(
    bundle: Bundle, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CompileError("no room")

    monkeypatch.setattr("actspan.deploy.deployment.evaluate_deployed", fail)
    out = tmp_path / "out"
    done = actspan(bundle.path, "--target", "openvino", "--out", out, "--evaluate", dataset)
    assert done.exit_code == 1
    assert done.stderr.endswith(f"error: no room\n{out} is complete; only --evaluate failed\n")
    assert Bundle.load(out).path == out
