"""The commands and the code of docs/how-to/streams.md run on files as it describes them."""

from __future__ import annotations

import glob
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, parquet

pytest.importorskip("av", reason="needs the extra 'video'")

from actspan.cli import main
from tests.pages import page
from tests.streams.example_videos import write_audio
from tests.streams.test_audio import tone, write_wav

PAGE = page("how-to/streams.md")
COMMANDS = re.findall(r"^actspan extract (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    times = np.arange(1000) / 50
    values = np.random.default_rng(0).normal(size=(3, 1000))
    table = pa.table(dict(zip(["time", "ax", "ay", "az"], [times, *values], strict=True)))
    for folder in ("walks", "watch", "songs", "my-videos", "tracks"):
        Path(folder).mkdir()
    csv.write_csv(table, "walks/a.csv")
    csv.write_csv(table, "day1.csv")
    uptime = pa.table({"uptime": 1000 * times, "ax": values[0]})
    parquet.write_table(uptime, "watch/a.parquet")
    csv.write_csv(table.drop_columns("time"), "bare.csv", csv.WriteOptions(include_header=False))
    write_wav(Path("songs/a.wav"), tone(3000, 1.0))
    write_audio(Path("my-videos/a.mp4"))
    names = [(joint, axis) for joint in ("left_paw", "right_paw") for axis in ("x", "y")]
    lines = [",".join(("scorer", *["net"] * 4))]
    for title, row in zip(("bodyparts", "coords"), zip(*names, strict=True), strict=True):
        lines.append(",".join((title, *row)))
    lines += [f"{i},{i},2,{i},9" for i in range(90)]
    Path("tracks/a.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, files: Path) -> None:
    done = CliRunner().invoke(main, ["extract", *shlex.split(command)])
    assert done.exit_code == 0, done.output
    assert "1 recording, " in done.output
    (features,) = glob.glob("*/features/*.npy")
    assert np.isfinite(np.load(features)).all()


def test_the_code_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "docs/how-to/streams.md", "exec"), names)
    assert names["features"].values.shape == (120, 30)  # type: ignore[attr-defined]
