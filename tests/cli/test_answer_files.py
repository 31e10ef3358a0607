"""`propose --out FILE` replaces results alone, and never what it reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow.parquet import write_table

from actspan.cli import main
from tests.examples import write_bundle, write_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("answers")
    write_bundle(place / "B")
    write_dataset(place / "D")
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    scores = {f"video{i}": [{"label": "run", "score": 0.9}] for i in range(4)}
    Path("scores.json").write_text(json.dumps({"version": "VERSION 1.3", "results": scores}))
    Path("other.json").write_text('{"version": "VERSION 1.3", "results": {"a": [{"score": 1}]}}')
    Path("notes.csv").write_text("video,start,end,label\na,1,2,run\n")
    Path("broken.parquet").write_bytes(b"PAR1 and nothing else")
    write_table(pa.table({"video": ["a"]}), "table.parquet")
    Path("link.json").symlink_to("D/annotations.json")
    Path("D/videos").mkdir()
    Path("D/videos/note.csv").touch()
    return tmp_path


def propose(*options: str) -> Result:
    return CliRunner().invoke(main, ["propose", "--model", "B", "--dataset", "D", *options])


NEVER = "is part of the input, so it is never replaced; choose another"
OTHER = "exists and is not a result of ActSpan; choose another, or replace it with --force"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--out D/annotations.json", NEVER),
        ("--out D/annotations.json --force", NEVER),
        ("--out link.json --force", NEVER),
        ("--out D/videos/note.csv --force", NEVER),
        ("--labels-from scores.json --out scores.json --force", NEVER),
        ("--out scores.json", OTHER),
        ("--out other.json", OTHER),
        ("--out notes.csv", OTHER),
        ("--out table.parquet", OTHER),
        ("--out broken.parquet", OTHER),
    ],
)
def test_other_files_stay(place: Path, options: str, message: str) -> None:
    words = options.split()
    target = Path(words[words.index("--out") + 1])
    before = target.read_bytes()
    done = propose(*words)
    assert done.exit_code == 1
    assert done.stderr == f"error: {target}: {message}\n"
    assert target.read_bytes() == before
    assert not list(place.glob("*.partial"))


@pytest.mark.parametrize("name", ["other.json", "notes.csv", "table.parquet", "broken.parquet"])
def test_force_replaces_any_other_file(place: Path, name: str) -> None:
    assert propose("--out", name, "--force").exit_code == 0
    assert propose("--out", name).exit_code == 0  # a result now


@pytest.mark.parametrize("labels", [[], ["--labels-from", "scores.json"]], ids=["bare", "labels"])
@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_results_are_replaced(place: Path, suffix: str, labels: list[str]) -> None:
    for options in (labels, []):
        assert propose("--out", f"r.{suffix}", *options).exit_code == 0
    Path(f"empty.{suffix}").touch()
    assert propose("--out", f"empty.{suffix}").exit_code == 0


def test_results_without_videos_or_proposals_are_replaced(place: Path) -> None:
    start = '{"version": "VERSION 1.3", "results": {'
    for name, videos in (("none.json", ""), ("bare.json", '"a": []')):
        Path(name).write_text(start + videos + '}, "external_data": {}}\n')
        assert propose("--out", name).exit_code == 0


def test_a_complete_file_is_resumed_to_the_same_or_not_at_all(place: Path) -> None:
    assert propose("--out", "r.json", "--subset", "validation").exit_code == 0
    before = Path("r.json").read_bytes()
    assert propose("--out", "r.json", "--subset", "validation", "--resume").exit_code == 0
    for options in (["--labels-from", "scores.json"], []):
        for _ in range(2):  # nothing is kept that a second --resume could complete
            done = propose("--out", "r.json", "--resume", *options)
            assert done.exit_code == 1
            assert done.stderr == (
                "error: r.json: is complete, and these options and files give another result: "
                "choose another file, or replace it: without --resume\n"
            )
    assert Path("r.json").read_bytes() == before
    assert not list(place.glob("*.partial"))
    assert propose("--out", "r.json", "--resume", "--force").exit_code == 0
    assert Path("r.json").read_bytes() != before


def test_label_replaces_results_alone(place: Path) -> None:
    assert propose("--out", "r.json").exit_code == 0
    words = ["label", "r.json", "--labels-from", "scores.json", "--out"]
    for target, message in (("scores.json", NEVER), ("notes.csv", OTHER)):
        before = Path(target).read_bytes()
        done = CliRunner().invoke(main, [*words, target])
        assert done.stderr == f"error: {target}: {message}\n"
        assert Path(target).read_bytes() == before
    for target, options in (("r.json", []), ("notes.csv", ["--force"])):
        done = CliRunner().invoke(main, [*words, target, *options])
        assert done.exit_code == 0, done.output
