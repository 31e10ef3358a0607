from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from actspan import Bundle, PemConfig, TemConfig
from actspan.cli import main
from actspan.model.bsn.networks import Pem, Tem
from tests.model.bmn_checkpoints import jjboy_arrays


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


@pytest.fixture
def tem(tmp_path: Path) -> Path:
    state = {f"module.{k}": v for k, v in Tem(TemConfig(channels=5, hidden=4)).state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "tem.pth.tar")
    return tmp_path / "tem.pth.tar"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    state = Pem(PemConfig(hidden=6)).state_dict()
    torch.save({"meta": {"epoch": 3}, "state_dict": state}, tmp_path / "pem.pth")
    return tmp_path / "pem.pth"


def test_says_what_each_file_is_and_what_comes_next(tmp_path: Path, tem: Path, pem: Path) -> None:
    out = tmp_path / "b"
    result = actspan(pem, tem, "--out", out, "--length", 50)
    assert result.exit_code == 0
    assert "pem.pth: PEM from OpenMMLab: inputs 32, hidden 6; 205 parameters" in result.stdout
    assert "tem.pth.tar: TEM from the authors' code: channels 5, length 50, hid" in result.stdout
    assert f"bundle: {out}" in result.stdout
    assert f"actspan propose --model {out} --dataset DIR --out run/" in result.stdout
    bundle = Bundle.load(out)
    assert bundle.config.tem == TemConfig(channels=5, hidden=4, length=50)
    assert bundle.features.channels == 5


@pytest.mark.parametrize(
    ("net", "next_command"),
    [pytest.param("tem", "actspan export", id="tem"), pytest.param("pem", "--scores", id="pem")],
)
def test_one_network_alone(
    tmp_path: Path, net: str, next_command: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(net)
    result = actspan(path, "--out", tmp_path / "b", "--json")
    answer = json.loads(result.stdout)
    assert next_command in answer["next"]
    assert [n["kind"] for n in answer["networks"]] == [net]
    assert answer["networks"][0]["parameters"] > 0
    assert answer["bundle"] == str(tmp_path / "b")


def test_a_network_is_added_and_replaced_by_force_only(
    tmp_path: Path, tem: Path, pem: Path
) -> None:
    out = tmp_path / "b"
    assert actspan(tem, "--out", out).exit_code == 0
    added = actspan(pem, "--out", out, "--length", 50)
    assert added.exit_code == 0
    assert "note: --length is not used" in added.stderr
    bundle = Bundle.load(out)
    assert bundle.nets == {"tem", "pem"}
    assert bundle.config.tem == TemConfig(channels=5, hidden=4, length=100)
    refused = actspan(tem, "--out", out)
    assert refused.exit_code == 1
    assert "a bundle already exists, with a TEM" in refused.stderr
    assert actspan(tem, "--out", out, "--force", "--length", 50).exit_code == 0
    bundle = Bundle.load(out)
    assert bundle.nets == {"tem", "pem"}
    assert bundle.config.tem == TemConfig(channels=5, hidden=4, length=50)


def test_ignored_entries_are_noted(tmp_path: Path, tem: Path) -> None:
    result = actspan(tem, "--out", tmp_path / "b", "--json")
    assert "note: tem.pth.tar: ignored entries: epoch\n" in result.stderr
    (network,) = json.loads(result.stdout)["networks"]
    assert network["notes"] == ["tem.pth.tar: ignored entries: epoch"]


def test_failures_are_one_line(tmp_path: Path) -> None:
    result = actspan(tmp_path / "x.pth", "--out", tmp_path / "b")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "x.pth: does not exist" in result.stderr
    assert "Traceback" not in result.output


def test_bad_usage() -> None:
    assert actspan("--out", "b").exit_code == 2
    assert actspan("x.pth").exit_code == 2


@pytest.mark.parametrize("name", ["convert", "export"])
def test_help_is_light_and_shows_an_example(name: str) -> None:
    code = (
        "import sys\nfrom actspan.cli import main\n"
        f"main(['{name}', '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numba', 'numpy'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"Example:\n    actspan {name} " in done.stdout.replace("      ", "    ")
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def bmn(tmp_path: Path) -> Path:
    state = {name: torch.from_numpy(array) for name, array in jjboy_arrays().items()}
    torch.save({"epoch": 9, "state_dict": state}, tmp_path / "bmn.pth.tar")
    return tmp_path / "bmn.pth.tar"


def test_a_bmn_of_a_preset(tmp_path: Path, bmn: Path) -> None:
    out = tmp_path / "b"
    result = actspan(bmn, "--preset", "jjboy2020", "--out", out)
    assert result.exit_code == 0, result.output
    assert "bmn.pth.tar: BMN from JJBOY's code, preset jjboy2020: channels 8, " in result.stdout
    assert "length 6, axes start-end, samples 3" in result.stdout
    assert f"actspan propose --model {out} --dataset DIR --out run/" in result.stdout
    answer = json.loads(actspan(bmn, "--out", out, "--force", "--json").stdout)
    (network,) = answer["networks"]
    assert (network["kind"], network["preset"], network["origin"]) == ("bmn", "jjboy2020", "jjboy")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("bmn.pth.tar --preset jjboy2019", "is not of preset jjboy2019", id="preset"),
        pytest.param("bmn.pth.tar --length 9", "of temporal scale 6", id="length"),
        pytest.param("tem.pth.tar --preset paddle", "--preset is only for a BMN", id="of a TEM"),
        pytest.param("tem.pth.tar bmn.pth.tar", "is a BMN, and ", id="two kinds"),
    ],
)
def test_wrong_combinations_are_one_line(
    tmp_path: Path, tem: Path, bmn: Path, words: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = actspan(*words.split(), "--out", "b")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("b").exists()


def test_presets_are_listed() -> None:
    result = actspan("x.pth", "--out", "b", "--preset", "jjboy")
    assert result.exit_code == 2
    assert "'jjboy2020', 'jjboy2019', 'mmaction2', 'paddle'" in result.stderr


def test_the_published_checkpoints(golden: Path, tmp_path: Path) -> None:
    published = golden.parent / "weights" / "pem_best.pth.tar"
    result = actspan(published, golden / "tem_made_up.pth.tar", "--out", tmp_path / "b")
    assert result.exit_code == 0
    assert "channels 400, length 100, hidden 512; 1,403,395 parameters" in result.stdout
    assert "inputs 32, hidden 256; 8,705 parameters" in result.stdout
