from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from tests.examples import CHANNELS, edit_annotations, write_bundle, write_dataset

pytest.importorskip("pyarrow", reason="needs pyarrow (extra 'arrow')")


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
    assert "a store already exists" in again.stderr
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


def test_faults_of_annotations_do_not_stop_it_nor_what_uses_the_store(
    folder: Path, tmp_path: Path
) -> None:
    for i in range(3):
        edit_annotations(folder, f"video{i}", annotations=[{"segment": [2, 2], "label": "x"}])
    model = write_bundle(tmp_path / "model").path
    done = actspan("pack", folder, "--out", tmp_path / "store")
    assert done.exit_code == 0, done.output
    note = "3 annotation faults: video video0: segment [2, 2]: zero length; annotations are not"
    assert note in done.stderr
    assert "left out" not in done.stderr
    for place in (folder, tmp_path / "store"):
        out = tmp_path / f"run-{place.name}"
        done = actspan("propose", "--model", model, "--dataset", place, "--out", out)
        assert done.exit_code == 0, done.output
        assert note in done.stderr
        assert "4 videos" in done.stderr


def test_what_packing_left_out_stops_nothing_later(folder: Path, tmp_path: Path) -> None:
    (folder / "features" / "video0.npy").write_bytes(b"")
    (folder / "features" / "video1.npy").unlink()
    model = write_bundle(tmp_path / "model").path
    packed = actspan("pack", folder, "--out", tmp_path / "store", "--on-error", "skip")
    assert packed.exit_code == 0, packed.output
    assert "skipped: 2 videos (video0, video1)" in packed.stderr
    run = ("--model", model, "--dataset", tmp_path / "store", "--out", tmp_path / "run")
    done = actspan("propose", *run, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["notes"] == [
        "video0: left out when the dataset was packed: the file is empty",
        "video1: left out when the dataset was packed: no features",
    ]
