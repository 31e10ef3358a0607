"""Tables of sensors: every form gives the same features."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, parquet

import actspan
from actspan.cli import main
from actspan.config.base import read_toml
from actspan.config.streams import SensorConfig
from actspan.core import files
from actspan.core.errors import ConfigError, DataError, DatasetError, ShapeError, VideoError
from actspan.streams.extract_request import ExtractRequest, SampleRequest
from actspan.streams.extraction import extract_videos
from actspan.streams.sensors import SensorTable, TableRequest, find_columns

COUNT, RATE = 500, 50.0
RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(COUNT, 2)).round(6)
TIMES = np.arange(COUNT) / RATE
MORNING = np.datetime64("2026-01-31T08:00:00", "ns")


def table(times: Any, **others: Any) -> pa.Table:
    return pa.table({"time": times, "ax": VALUES[:, 0], "ay": VALUES[:, 1], **others})


def text(data: pa.Table, path: Path, **options: Any) -> Path:
    csv.write_csv(data, str(path), csv.WriteOptions(**options))
    return path


def saved(data: pa.Table, path: Path) -> Path:
    parquet.write_table(data, str(path))
    return path


def semicolons(path: Path) -> Path:
    lines = ["# made by a logger", "time;ax;ay"]
    lines += [f"{t};{x};{y}".replace(".", ",") for t, (x, y) in zip(TIMES, VALUES, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def dates() -> Any:
    return pa.array(MORNING + (TIMES * 1e9).astype("timedelta64[ns]"))


FORMS: dict[str, Callable[[Path], Path]] = {
    "csv": lambda p: text(table(TIMES), p / "a.csv"),
    "tsv": lambda p: text(table(TIMES), p / "a.tsv", delimiter="\t"),
    "decimal commas": lambda p: semicolons(p / "a.csv"),
    "parquet": lambda p: saved(table(TIMES), p / "a.parquet"),
    "dates": lambda p: text(table(dates()), p / "a.csv"),
    "dates with a zone": lambda p: saved(
        table(dates().cast(pa.timestamp("ns", tz="Europe/Oslo"))), p / "a.pq"
    ),
    "nanoseconds since 1970": lambda p: saved(table(dates().cast(pa.int64())), p / "a.parquet"),
    "milliseconds": lambda p: text(
        table(TIMES * 1000).rename_columns(["Timestamp (ms)", "ax", "ay"]), p / "a.csv"
    ),
    "text and labels": lambda p: text(
        table(TIMES, activity=["walk"] * COUNT, label=[1] * COUNT), p / "a.csv"
    ),
}


@pytest.fixture(scope="module")
def expected() -> Any:
    return actspan.extract_samples(TIMES, VALUES, stride=0.25).values


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_features(form: str, expected: Any, tmp_path: Path) -> None:
    path = FORMS[form](tmp_path)
    done = extract_videos(ExtractRequest((str(path),), tmp_path / "out"))
    assert (done.videos, done.snippets, done.video_seconds) == (1, 40, pytest.approx(10.0))
    found = np.load(tmp_path / "out" / "features" / "a.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    notes = [problem.problem for problem in done.problems]
    assert notes == (["columns left out: activity (text), label"] if "text" in form else [])


def test_a_rate_stands_for_times(tmp_path: Path, expected: Any) -> None:
    path = text(table(TIMES).drop_columns("time"), tmp_path / "a.csv", include_header=False)
    with pytest.raises(VideoError, match=r"no column of times among 'f0', 'f1'; .*--rate HZ"):
        extract_videos(ExtractRequest((str(path),), tmp_path / "out"))
    request = ExtractRequest((str(path),), tmp_path / "out", samples=SampleRequest(rate=RATE))
    extract_videos(request)
    np.testing.assert_allclose(
        np.load(tmp_path / "out" / "features" / "a.npy"), expected, atol=1e-6
    )


def test_the_output_says_how_and_is_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    text(table(TIMES), folder / "a.csv")
    saved(table(TIMES, extra=TIMES), folder / "b.parquet")
    samples = SampleRequest(columns=("ay",), statistics=("mean", "rms"))
    request = ExtractRequest((str(tmp_path),), tmp_path / "out", stride="0.5s", samples=samples)
    done = extract_videos(request)
    assert (done.videos, done.kept) == (2, 0)
    features = read_toml(tmp_path / "out" / "dataset.toml")["features"]
    assert (features["channels"], features["stride_seconds"]) == (2, 0.5)
    assert features["extraction"] == {
        "statistics": ["mean", "rms"],
        "sensors": {"columns": ["ay"], "time": "time", "unit": "s"},
    }
    again = extract_videos(request)
    assert (again.videos, again.kept) == (0, 2)
    text(table(TIMES * 2), folder / "a.csv")
    assert extract_videos(request).videos == 1
    database = json.loads((tmp_path / "out" / "annotations.json").read_text())["database"]
    assert "fps" not in database["a"]
    with pytest.raises(DataError, match="made with other settings"):
        extract_videos(ExtractRequest((str(tmp_path),), tmp_path / "out", stride="0.5s"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("time,ax\n0,1\n1,2\n2,1\n", r"samples are 1 s apart, and snippets are 0\.5 s long"),
        ("time,ax\n0,1\n0.2,2\n0.1,1\n", "times run backwards after 0.2 s"),
        ("time,ax\n", "no columns of numbers|contains no samples"),
        ("time,ax\n0,\n0.1,\n", "contains no valid value"),
        ("time,ax\n0,1\n0.1,foo\n", "no columns of numbers among 'time', 'ax'"),
        ("time,ax,ax\n0,1,2\n", "two columns are named 'ax'"),
        ("when,ax\n0,1\n", r"no column of times among 'when', 'ax'"),
        ("", "the file is empty"),
    ],
)
def test_tables_that_cannot_be_used(content: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises((VideoError, DatasetError), match=why):
        extract_videos(ExtractRequest((str(tmp_path / "a.csv"),), tmp_path / "out"))


def test_other_columns_are_refused_before_work(tmp_path: Path) -> None:
    text(table(TIMES), tmp_path / "a.csv")
    text(table(TIMES).rename_columns(["time", "ax", "az"]), tmp_path / "b.csv")
    request = ExtractRequest((str(tmp_path),), tmp_path / "out")
    with pytest.raises(DatasetError, match="b: has no column 'ay'"):
        extract_videos(request)
    assert not (tmp_path / "out" / "features").exists()


def test_a_row_that_was_cut_is_counted(tmp_path: Path) -> None:
    path = text(table(TIMES), tmp_path / "a.csv")
    path.write_text(path.read_text()[:-15])
    found = find_columns(path, TableRequest())
    assert found == SensorConfig(columns=("ax", "ay"), time="time")
    with SensorTable(path, found) as opened:
        assert sum(len(times) for times, _ in opened.samples()) == COUNT - 1
        assert opened.shortfall() == "1 row with too many or few cells skipped"


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = saved(table(TIMES), tmp_path / "a.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:200] + data[-200:])
    with pytest.raises((VideoError, DatasetError), match=r"a\.parquet: cannot be read"):
        extract_videos(ExtractRequest((str(path),), tmp_path / "out"))


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_arrays_of_pandas_and_pyarrow(zone: str | None, expected: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = table(dates().cast(pa.timestamp("ns", tz=zone))).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    found = actspan.extract_samples(frame["time"], frame[["ax", "ay"]])
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    data = table(dates())
    found = actspan.extract_samples(data["time"], data.select(["ax", "ay"]))
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_arrays_like_those_of_a_dataset(tmp_path: Path) -> None:
    text(table(TIMES), tmp_path / "a.csv")
    request = ExtractRequest((str(tmp_path / "a.csv"),), tmp_path / "out", stride="0.5s")
    spec = extract_videos(request).spec
    found = actspan.extract_samples(TIMES, VALUES, like=spec)
    assert (found.stride, found.length) == (0.5, 1.0)
    with pytest.raises(ShapeError, match="values have 1 columns, and 2 are needed"):
        actspan.extract_samples(TIMES, VALUES[:, 0], like=spec)
    with pytest.raises(ShapeError, match="are needed"):
        actspan.extract_samples(TIMES[1:], VALUES)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"backbone": "onnx:a.onnx"}, "backbone: no effect on sensors"),
        ({"samples": SampleRequest(bands=4)}, "bands: no effect on sensors"),
        ({"stride": "8f"}, "stride 8f: sensors has no frames"),
    ],
)
def test_options_of_other_kinds_are_refused(
    options: dict[str, Any], why: str, tmp_path: Path
) -> None:
    text(table(TIMES), tmp_path / "a.csv")
    with pytest.raises(ConfigError, match=why):
        extract_videos(ExtractRequest((str(tmp_path / "a.csv"),), tmp_path / "out", **options))


def test_a_parquet_file_that_expands_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "EXPANDED", 2**20)
    zeros = np.zeros(200_000)
    path = tmp_path / "a.parquet"
    data = pa.table({"time": zeros, "ax": zeros})
    parquet.write_table(data, str(path), compression="zstd", use_dictionary=False)
    with pytest.raises((VideoError, DatasetError), match="would expand"):
        extract_videos(ExtractRequest((str(path),), tmp_path / "out"))


def test_a_table_without_times_names_the_two_commands_that_propose_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{step % 9},{step % 5}\n" for step in range(400))
    (tmp_path / "no time.csv").write_text(f"x,y\n{rows}")
    done = CliRunner().invoke(main, ["propose", "no time.csv"])
    assert done.exit_code == 1
    commands = done.stderr.rpartition("(--rate HZ): ")[2].replace("HZ", "20").split(", then ")
    assert len(commands) == 2
    for line in commands:
        done = CliRunner().invoke(main, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "run" / "result.json").is_file()
