"""`actspan extract` and `propose` on recordings, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actspan.cli import main
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos
from tests.examples import write_bundle


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra 'arrow')")
    values = np.random.default_rng(0).normal(size=(1500, 2))
    table = np.column_stack([np.arange(1500) / 50, values])
    np.savetxt(tmp_path / "walk.csv", table, delimiter=",", header="time,ax,label", comments="")
    return tmp_path / "walk.csv"


def test_the_summary_names_recordings(walk: Path, tmp_path: Path) -> None:
    line = ["extract", str(walk), "--out", str(tmp_path / "out"), "--stride", "0.5s"]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 0, done.output
    assert "1 recording, 0.5 min" in done.output
    assert "60 snippets of 5 channels" in done.output
    assert "features of sensors in" in done.output
    assert "columns left out: label" in done.output
    assert "1 recording was done already" in CliRunner().invoke(main, line).output


def test_json_says_how_features_are_made(walk: Path, tmp_path: Path) -> None:
    options = ["--column", "ax", "--column", "label", "--statistic", "rms", "--json"]
    done = CliRunner().invoke(
        main, ["extract", str(walk), "--out", str(tmp_path / "out"), *options]
    )
    features = json.loads(done.stdout)["features"]
    assert features["channels"] == 2
    assert features["extraction"]["statistics"] == ["rms"]
    assert features["extraction"]["sensors"]["columns"] == ["ax", "label"]


def test_a_recording_is_proposed_from(walk: Path, tmp_path: Path) -> None:
    spec = extract_videos(ExtractRequest((str(walk),), tmp_path / "out")).spec
    assert spec.channels is not None
    model = write_bundle(tmp_path / "model", channels=spec.channels, mode="window", features=spec)
    done = CliRunner().invoke(main, ["propose", str(walk), "--model", str(model.path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["video_seconds"] == pytest.approx(30)
    assert found["results"]["walk"]
    options = ["--model", str(model.path), "--clips", str(tmp_path / "clips")]
    clips = CliRunner().invoke(main, ["propose", str(walk), *options])
    assert clips.exit_code == 2
    assert "--clips cuts videos, and" in clips.stderr
    live = ["propose", "--follow", str(walk), "--model", str(model.path)]
    refused = CliRunner().invoke(main, live)
    assert refused.exit_code == 1
    assert "takes sensors, and only a video can be followed" in refused.stderr
