"""`actspan annotate split`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from actspan.core.types import Video
from actspan.data.annotations.formats import read_annotations, write_annotations

ROWS = """video,start,end,label,person,duration,subset
anna_1,1,2,run,anna,10,
anna_1,3,4,jump,anna,10,
anna_2,1,2,run,anna,10,training
ben_1,1,2,run,ben,10,
ben_2,1,2,jump,ben,10,
cora_1,1,2,run,cora,10,
dan_1,1,3,jump,dan,10,validation
emil_1,1,3,jump,emil,10,testing
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "segments.csv"
    file.write_text(ROWS)
    return file


def split(source: Path, *options: str) -> Result:
    out = source.with_name("split.json")
    return CliRunner().invoke(main, ["annotate", "split", str(source), "--out", str(out), *options])


def parts(folder: Path) -> dict[str, str]:
    return {video.id: video.subset for video in read_annotations(folder / "split.json")}


@pytest.mark.parametrize("by", ["person", "^([a-z]+)_"])
def test_videos_of_a_person_stay_together(table: Path, by: str) -> None:
    done = split(table, "--by", by, "--validation", "0.4")
    assert done.exit_code == 0, done.output
    found = parts(table.parent)
    assert len(found) == 7 + 1 - 1
    assert found["emil_1"] == "testing"
    people = {name.split("_")[0]: subset for name, subset in found.items()}
    assert all(people[name.split("_")[0]] == subset for name, subset in found.items())
    assert set(people.values()) == {"training", "validation", "testing"}
    rows = [line.split() for line in done.stdout.splitlines() if "ing" in line or "val" in line]
    assert ["testing", "1", "1", "1", "1"] in rows


def test_the_same_parts_from_a_table_and_from_json(table: Path) -> None:
    given = json.loads(split(table, "--by", "person", "--json").stdout)["parts"]
    before = parts(table.parent)
    document = json.loads((table.parent / "split.json").read_text())
    for name, entry in document["database"].items():
        entry["person"] = name.split("_")[0]
    source = table.with_name("keys.json")
    source.write_text(json.dumps(document))
    assert split(source, "--by", "person", "--force").exit_code == 0
    assert parts(table.parent) == before
    assert sum(part["videos"] for part in given.values()) == 7
    written = json.loads((table.parent / "split.json").read_text())["database"]
    assert written["anna_1"]["person"] == "anna"


def test_a_dataset_is_split_in_place(table: Path) -> None:
    folder = table.parent / "set"
    folder.mkdir()
    split(table, "--by", "person")
    (table.parent / "split.json").rename(folder / "annotations.json")
    line = ["annotate", "split", str(folder), "--out", str(folder), "--validation", "0.5"]
    refused = CliRunner().invoke(main, line)
    assert refused.exit_code == 1
    assert "already exists; --force replaces it" in refused.stderr
    assert CliRunner().invoke(main, [*line, "--force", "--seed", "3"]).exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "persn"], "no column 'persn' (did you mean 'person'?)"),
        (["--by", "^(b[a-z]+)_"], "5 ids of 7 without a match of '^(b[a-z]+)_' (anna_1, anna_2"),
        (["--by", "duration"], "of 1 group, 10 has instances, so a part would be empty"),
        (["--by", "(_)"], "leave out --by, or choose smaller groups"),
    ],
)
def test_splits_that_are_not_possible(table: Path, options: list[str], message: str) -> None:
    done = split(table, *options)
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (table.parent / "split.json").exists()


def test_a_video_of_two_persons_is_named(table: Path) -> None:
    table.write_text(ROWS.replace("3,4,jump,anna", "3,4,jump,ben"))
    done = split(table, "--by", "person")
    assert "'person' 'ben', but 'anna' in an earlier row; a video has one group" in done.stderr


def test_notes_name_what_changed(table: Path) -> None:
    table.write_text(ROWS.replace("emil_1,1,3,jump,emil", "dan_9,1,3,jump,dan"))
    done = split(table, "--by", "person", "--validation", "0.6", "--seed", "1")
    assert "1 group (dan) in a subset that is kept, and in training or" in done.stderr


def test_advice_names_options_of_this_command_alone(tmp_path: Path) -> None:
    known = Video("a", 60.0, "", [[1.0, 2.0]], ("run",), fps=25.0)
    file = tmp_path / "annotations.json"
    write_annotations(file, [known, replace(known, id="b")])
    line = ["annotate", "split", str(tmp_path), "--out", str(file)]
    done = CliRunner().invoke(main, line)
    assert done.stderr == (
        f"error: {file}: already exists; --force replaces it, and keeps its durations and frame "
        "rates\n"
    )
    assert CliRunner().invoke(main, [*line, "--force"]).exit_code == 0
    assert {(video.duration, video.fps) for video in read_annotations(file)} == {(60.0, 25.0)}
    other = tmp_path / "other.json"
    other.write_text("{}")
    done = CliRunner().invoke(main, [*line[:-1], str(other)])
    assert done.stderr == f"error: {other}: already exists; --force replaces it\n"


def test_times_that_are_not_seconds_are_converted_first(tmp_path: Path) -> None:
    file = tmp_path / "frames.json"
    late = Video("a", 60.0, "", [[1000.0, 1400.0]], ("run",), fps=25.0)
    write_annotations(file, [late, replace(late, id="b")])
    done = split(file)
    assert done.exit_code == 1
    assert "convert them: actspan annotate convert" in done.stderr
    assert "pass --times" not in done.stderr
