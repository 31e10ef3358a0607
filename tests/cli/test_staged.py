from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from tests.examples import write_bmn_bundle, write_bundle, write_dataset


def staged(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["staged", *map(str, words)], catch_exceptions=False)


def answer(*words: str | Path) -> dict[str, Any]:
    done = staged(*words, "--json")
    assert done.exit_code == 0, done.output
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a model and a dataset, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "bsn")
    write_dataset(tmp_path / "set", videos=4)
    return tmp_path


def test_the_whole_way(folder: Path) -> None:
    options = ("--model", "bsn", "--dataset", "set", "--subset", "validation", "--out", "stage")
    begun = answer("tem-inputs", *options)
    assert (begun["inputs"], begun["videos"], begun["out"]) == (2, 2, "stage/tem")
    assert answer("info", "stage", "--net", "tem") == {
        "out": "stage/tem.info",
        "inputs": 2,
        "shape": [6, 20],
    }
    assert answer("run", "stage", "--net", "tem", "--model", "bsn")["inputs"] == 2
    assert answer("tem-outputs", "stage")["skipped"] == []
    assert answer("pem-inputs", "stage", "--lean")["inputs"] == 2
    answer("run", "stage", "--net", "pem", "--model", "bsn", "--out", "elsewhere")
    done = answer("pem-outputs", "stage", "--dumps", "elsewhere", "--out", "result.json")
    assert done["out"] == "result.json"
    words = ["propose", *options[:-1], "proposed.json"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert Path("result.json").read_bytes() == Path("proposed.json").read_bytes()


def test_the_whole_way_of_bmn(folder: Path) -> None:
    write_bmn_bundle(folder / "bmn")
    options = ("--model", "bmn", "--dataset", "set", "--out", "stage")
    begun = answer("bmn-inputs", *options)
    assert (begun["inputs"], begun["out"]) == (4, "stage/bmn")
    listed = answer("info", "stage", "--net", "bmn")
    assert listed == {"out": "stage/bmn.info", "inputs": 4, "shape": [6, 20]}
    assert answer("run", "stage", "--net", "bmn", "--model", "bmn")["inputs"] == 4
    done = answer("bmn-outputs", "stage", "--lean", "--out", "result.json")
    assert (done["videos"], done["skipped"], done["out"]) == (4, [], "result.json")
    assert not (folder / "stage" / "bmn-result").exists()
    words = ["propose", *options[:-1], "proposed.json"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert Path("result.json").read_bytes() == Path("proposed.json").read_bytes()
    refused = staged("pem-outputs", "stage")
    assert refused.exit_code == 1
    assert "stage: a stage of BMN has no steps of PEM" in refused.output


def test_what_people_read(folder: Path) -> None:
    done = staged("tem-inputs", "--model", "bsn", "--dataset", "set", "--out", "stage")
    assert "4 TEM inputs in " in done.output
    done = staged("info", "stage", "--net", "tem", "--prefix", "/data/in")
    assert "4 inputs of 6 x 20 in stage/tem.info" in done.output
    done = staged("run", "stage", "--net", "tem", "--model", "bsn")
    assert "4 TEM dumps in " in done.output
    (folder / "stage" / "tem-output" / "video1_1.bin").unlink()
    done = staged("tem-outputs", "stage")
    assert done.exit_code == 1
    for part in ("video1", "missing", "--on-error skip"):
        assert part in done.output
    done = staged("tem-outputs", "stage", "--on-error", "skip")
    assert done.exit_code == 0
    assert "skipped: 1 " in done.output
    assert "3 TEM results in " in done.output


def test_windows_are_counted_beside_recordings(folder: Path) -> None:
    write_bundle(folder / "windows", mode="window")
    done = staged("tem-inputs", "--model", "windows", "--dataset", "set", "--out", "stage")
    assert "TEM inputs of 4 recordings in " in done.output


def test_script(folder: Path) -> None:
    done = staged("script", "--out", "run_staged.py")
    assert done.exit_code == 0
    assert (folder / "run_staged.py").read_text().startswith("#!/usr/bin/env python3\n")


def test_errors_are_one_message(folder: Path) -> None:
    assert "does not exist" in staged("pem-inputs", "nowhere").output
    done = staged("pem-inputs", folder)
    assert done.exit_code == 1
    assert "not a stage" in done.output
    assert staged("info", folder).exit_code == 2


@pytest.mark.parametrize(
    "name",
    [
        *("tem-inputs", "info", "tem-outputs", "pem-inputs", "pem-outputs", "bmn-inputs"),
        *("bmn-outputs", "run", "script"),
    ],
)
def test_help_shows_an_example(name: str) -> None:
    done = staged(name, "--help")
    assert f"actspan staged {name}" in done.output.partition("Example:")[2]
