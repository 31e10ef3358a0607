from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from tests.made_up import CHANNELS, write_dataset


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set")


def test_says_what_it_did(folder: Path, tmp_path: Path) -> None:
    done = actspan("pack", folder, "--out", tmp_path / "store", "--length", 20)
    assert done.exit_code == 0, done.output
    assert "4 videos, 20 rows each, 4 rescaled, float32: 1 shard" in done.stderr
    assert "note: features were rescaled to 20 cells" not in done.stderr  # it was asked for
    checked = actspan("pack", tmp_path / "store", "--verify")
    assert checked.exit_code == 0
    assert "every checksum is right" in checked.stderr


def test_answers_as_json(folder: Path, tmp_path: Path) -> None:
    options = ["--dtype", "float16", "--shard-size", "0.5kB", "--subset", "training", "--json"]
    done = json.loads(actspan("pack", folder, "--out", tmp_path / "store", *options).stdout)
    size = sum(file.stat().st_size for file in (tmp_path / "store").glob("*.arrow"))
    assert (done["videos"], done["shards"], done["bytes"]) == (2, 2, size)
    assert (done["dtype"], done["channels"], done["length"]) == ("float16", CHANNELS, None)
    checked = json.loads(actspan("pack", tmp_path / "store", "--verify", "--json").stdout)
    assert (checked["videos"], checked["shards"], checked["bytes"]) == (2, 2, size)


def test_damage_is_shown_as_a_table(folder: Path, tmp_path: Path) -> None:
    actspan("pack", folder, "--out", tmp_path / "store")
    (shard,) = (tmp_path / "store").glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-1])
    done = actspan("pack", tmp_path / "store", "--verify")
    assert done.exit_code == 1
    assert "1 problem found" in done.stderr
    assert "Traceback" not in done.output


def test_a_store_is_not_replaced_unasked(folder: Path, tmp_path: Path) -> None:
    pack = ("pack", folder, "--out", tmp_path / "store")
    assert actspan(*pack).exit_code == 0
    again = actspan(*pack)
    assert again.exit_code == 1
    assert "there is a store already" in again.stderr
    assert actspan(*pack, "--force").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="neither"),
        pytest.param(["--out", "x", "--verify"], id="both"),
        pytest.param(["--out", "x", "--dtype", "int8"], id="dtype"),
        pytest.param(["--out", "x", "--shard-size", "big"], id="size"),
        pytest.param(["--out", "x", "--shard-size", "0"], id="no size"),
    ],
)
def test_bad_usage_exits_with_2(folder: Path, options: list[str]) -> None:
    assert actspan("pack", folder, *options).exit_code == 2
