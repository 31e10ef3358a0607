"""`actspan report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from tests.report.runs import synthetic_videos, write_synthetic_run, write_truth


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("jinja2", reason="needs the extra 'report'")
    folder = tmp_path_factory.mktemp("report")
    videos = synthetic_videos(8)
    write_synthetic_run(folder / "old", videos)
    write_synthetic_run(folder / "new", videos, seed=1)
    write_truth(folder / "set", videos)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_a_report_and_its_pictures(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    out = ("--out", tmp_path / "report.html", "--pictures", tmp_path / "pictures")
    done = run(folder / "old", *out, "--ground-truth", folder / "set", "--list", 2)
    assert done.exit_code == 0, done.output
    assert "1 run, 2 videos" in done.stdout
    assert "Videos that are not listed: 6." in (tmp_path / "report.html").read_text()
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"recall.png", "recall.svg"} <= names
    assert len(names) == 6  # and the two videos


def test_the_answer_for_machines(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    truth = ("--ground-truth", folder / "set", "--json")
    done = run(folder / "old", folder / "new", "--out", out, *truth)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["bytes"] == out.stat().st_size
    assert [each["name"] for each in document["runs"]] == ["old", "new"]
    assert document["runs"][0]["AUC"] > 0
    assert "videos are too few for an interval" in document["verdict"]


def test_notes_are_said(folder: Path, tmp_path: Path) -> None:
    done = run(folder / "old" / "result.json", "--out", tmp_path / "report.html")
    assert done.exit_code == 0
    assert "no curves and no diagnosis" in done.stderr
    assert "--ground-truth" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        pytest.param(["old", "old"], "given twice", 1, id="twice"),
        pytest.param(["old", "--list", "nobody"], "nobody", 1, id="unknown-video"),
        pytest.param(["old", "--videos", "set"], "without --frames", 2, id="no-frames"),
        pytest.param(["old", "--frames"], "pass --videos", 1, id="no-videos"),
        pytest.param(["old", "--viewer", "localhost"], "http://", 1, id="no-address"),
        pytest.param([], "missing argument", 2, id="no-run"),
        pytest.param(["absent"], "does not exist", 1, id="absent"),
        pytest.param(["set"], "no result.json", 1, id="not-a-run"),
    ],
)
def test_errors(
    folder: Path, tmp_path: Path, arguments: list[str], message: str, code: int
) -> None:
    given = [folder / a if a in ("old", "set", "absent") else a for a in arguments]
    done = run(*given, "--out", tmp_path / "report.html")
    assert done.exit_code == code
    assert message in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_report_is_a_page(folder: Path, tmp_path: Path) -> None:
    done = run(folder / "old", "--out", tmp_path / "report.pdf")
    assert done.exit_code == 1
    assert "ends in .html" in done.stderr
    assert list(tmp_path.iterdir()) == []
