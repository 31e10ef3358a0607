"""Every command that skips something says so in its last line, in the same words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from tests.examples import write_bundle, write_dataset

TWO = "2 videos (video2, video3)"


def actspan(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle, a run, annotations with a fault, and a dataset with two damaged files."""
    place = tmp_path_factory.mktemp("left-out")
    write_bundle(place / "bundle")
    whole = write_dataset(place / "whole")
    done = actspan("propose", "--model", str(place / "bundle"), "--dataset", str(whole),
                   "--out", str(place / "run"))  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads((whole / "annotations.json").read_text())
    document["database"]["video1"]["annotations"].append({"segment": ["x", 1], "label": "act"})
    (place / "annotations.json").write_text(json.dumps(document))
    damaged = write_dataset(place / "damaged", videos=6)
    for name in ("video2", "video3"):
        (damaged / "features" / f"{name}.npy").write_bytes(b"cut")
    scores = {f"video{i}": [{"label": "act", "score": 0.5}] for i in (0, 1)}
    (place / "scores.json").write_text(json.dumps({"results": scores}))
    return place


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("propose --model BUNDLE --dataset DAMAGED --out OUT", TWO),
        ("pack DAMAGED --out OUT", TWO),
        ("staged tem-inputs --model BUNDLE --dataset DAMAGED --out OUT", TWO),
        ("train --dataset DAMAGED --out OUT --epochs 1 --length 20", TWO),
        ("label RUN --labels-from SCORES --out OUT.json", TWO),
        ("evaluate RUN --ground-truth ANNOTATIONS", "1 instance (video1)"),
        ("report RUN --ground-truth ANNOTATIONS --out OUT.html", "1 instance (video1)"),
        ("annotate convert ANNOTATIONS OUT.json", "1 instance (video1)"),
        ("verify BUNDLE --dataset DAMAGED --backends onnxruntime", TWO),
        ("deploy BUNDLE --out OUT --target ascend --print --dataset DAMAGED --subset all",
         TWO),
    ],
)  # fmt: skip
def test_the_last_line_counts_and_names_it(
    place: Path, tmp_path: Path, command: str, what: str
) -> None:
    names = {
        "BUNDLE": place / "bundle",
        "DAMAGED": place / "damaged",
        "RUN": place / "run",
        "SCORES": place / "scores.json",
        "ANNOTATIONS": place / "annotations.json",
        "OUT": tmp_path / "out",
    }
    words = command.split()
    for name, path in names.items():
        words = [str(path) + word.removeprefix(name) if word.startswith(name) else word
                 for word in words]  # fmt: skip
    skip = () if words[0] in ("verify", "deploy") else ("--on-error", "skip")
    done = actspan(*words, *skip)
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1].startswith(f"skipped: {what}"), done.stderr


def test_a_run_says_what_was_left_out_when_it_was_made(place: Path, tmp_path: Path) -> None:
    run, page = tmp_path / "run", tmp_path / "page.html"
    propose = ["--model", str(place / "bundle"), "--dataset", str(place / "damaged")]
    done = actspan("propose", *propose, "--out", str(run), "--on-error", "skip")
    assert done.exit_code == 0, done.output
    done = actspan("report", str(run), "--out", str(page))
    assert "note: run: skipped: 2 videos (video2, video3) when it was made." in done.stderr
    assert "skipped: 2 videos (video2, video3) when it was made." in page.read_text()
