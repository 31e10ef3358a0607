"""A folder of the wrong kind is named for what it is, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main
from tests.examples import write_bundle, write_dataset


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kinds")
    write_bundle(place / "B")
    write_dataset(place / "D")
    words = f"propose --model {place}/B --dataset {place}/D --out {place}/R"
    assert CliRunner().invoke(main, words.split()).exit_code == 0
    (place / "list.txt").write_text("a.mp4\n")
    return place


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("propose --model R --dataset D --out OUT", "R (a run) is not a bundle"),
        ("propose --model B --dataset R --out OUT", "R (a run) is not a dataset"),
        ("propose --model B --dataset B --out OUT", "B (a bundle) is not a dataset"),
        (
            "propose --model B --dataset D --scores B --out OUT",
            "B (a bundle): contains no boundary",
        ),
        ("train --dataset B --out OUT", "B (a bundle) is not a dataset"),
        ("verify B --dataset R", "R (a run) is not a dataset"),
        ("evaluate D --ground-truth D", "D (a dataset): give a run, or a result file"),
        ("evaluate R --ground-truth B", "B (a bundle): contains none of: "),
        ("report B --out OUT.html", "B (a bundle): give a run, or a result file"),
        ("compare R", "R (a run): runs are compared by actspan report A B --out FILE"),
        ("compare list.tx", "list.tx: does not exist (did you mean '"),
        ("pack B --verify", "B (a bundle): not a store"),
        ("staged info R --net tem", "R (a run): not a stage"),
        ("extract R --out OUT", "R (a run): contains no videos or other recordings"),
        ("extract @lst.txt --out OUT", "lst.txt: no such list of videos (did you mean '"),
        ("extract D --out OUT", "D: this is a dataset of features, not of videos: actspan propose"),
        ("propose D --model B", "D: this is a dataset of features, not of videos: actspan propose"),
        ("extract list.txt --out OUT", "list.txt: not a video; a list of videos is given as @"),
        ("extract list.txt --out OUT --backbone foo", "no backbone 'foo'"),
        ("extract list.txt --out OUT --backend foo", "backend 'foo' is not known"),
        ("serve --results B", "B (a bundle): no result.json"),
    ],
)
def test_it_is_named(place: Path, tmp_path: Path, command: str, message: str) -> None:
    words = []
    for word in command.split():
        base = tmp_path if word.startswith("OUT") else place
        mark, name = word[: word.startswith("@")], word.removeprefix("@")
        is_place = name in ("B", "D", "R", "list.txt", "list.tx", "lst.txt") or "OUT" in name
        words.append(f"{mark}{base / name}" if is_place else word)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    assert message in line.replace(f"{place}/", "")
