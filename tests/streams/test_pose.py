"""Poses of DeepLabCut and SLEAP, in the layouts of their files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="needs the extra 'hdf5'")

import h5py

from actspan.core.errors import ConfigError, DatasetError, VideoError
from actspan.streams.extract_request import ExtractRequest, SampleRequest
from actspan.streams.extraction import extract_videos
from actspan.streams.pose import pose_channels, pose_names
from actspan.streams.pose_files import read_pose, texts_in_pickle

JOINTS = ("nose", "left ear", "right ear", "tail")
COUNT, RATE = 120, 30.0
RNG = np.random.default_rng(0)
PHASE = np.arange(COUNT)[:, None] / RATE + np.arange(4)
POINTS = np.stack([200 + 50 * np.sin(PHASE), 150 + 40 * np.cos(PHASE)], axis=2).round(4)
LIKELIHOOD = RNG.uniform(0.7, 1, (COUNT, 4)).round(4)
LIKELIHOOD[10:13, 1] = 0.1
TABLE = np.concatenate([POINTS, LIKELIHOOD[:, :, None]], axis=2).reshape(COUNT, 12)
NAMES = [("DLC_net", joint, axis) for joint in JOINTS for axis in ("x", "y", "likelihood")]


def write_csv(path: Path, animals: tuple[str, ...] = ()) -> Path:
    names = [(n[0], animal, *n[1:]) for animal in animals for n in NAMES] if animals else NAMES
    titles = ("scorer", *(("individuals",) if animals else ()), "bodyparts", "coords")
    lines = [
        ",".join((title, *row)) for title, row in zip(titles, zip(*names, strict=True), strict=True)
    ]
    for number, row in enumerate(TABLE.tolist()):
        cells = [*map(str, row)]
        empty = [""] * 12 * (len(animals) - 1)  # only the last animal is seen
        lines.append(",".join((str(number), *empty, *cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_table(path: Path, names: bytes | None = None) -> Path:
    """Write pandas' table format, as DeepLabCut does with `to_hdf(format="table")`."""
    rows = np.zeros(COUNT, dtype=[("index", "<i8"), ("values_block_0", "<f8", (12,))])
    rows["values_block_0"] = TABLE
    with h5py.File(path, "w") as file:
        table = file.create_dataset("df_with_missing/table", data=rows)
        table.attrs["values_block_0_kind"] = np.bytes_(names or pickle.dumps(NAMES, protocol=0))
    return path


def write_fixed(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["block0_items_nlevels"] = 3
        for level, column in enumerate(zip(*NAMES, strict=True)):
            texts = sorted(set(column))
            group[f"block0_items_level{level}"] = np.array(texts, dtype="S")
            group[f"block0_items_label{level}"] = np.array([texts.index(c) for c in column])
        group["block0_values"] = TABLE
    return path


def write_sleap(path: Path) -> Path:
    tracks = np.full((2, 2, 4, COUNT), np.nan)
    tracks[1] = POINTS.transpose(2, 1, 0)
    tracks[0, :, :, :10] = 5
    with h5py.File(path, "w") as file:
        file["tracks"] = tracks
        file["node_names"] = [joint.encode() for joint in JOINTS]
        file["track_names"] = [b"ghost", b"mouse"]
        file["point_scores"] = np.stack([LIKELIHOOD.T] * 2)
    return path


FORMS: dict[str, Callable[[Path], Path]] = {
    "csv": lambda p: write_csv(p / "a.csv"),
    "csv of several animals": lambda p: write_csv(p / "a.csv", ("ghost", "mouse")),
    "hdf5 table": lambda p: write_table(p / "a.h5"),
    "hdf5 fixed": lambda p: write_fixed(p / "a.h5"),
    "sleap": lambda p: write_sleap(p / "a.h5"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_pose(form: str, tmp_path: Path) -> None:
    pose = read_pose(FORMS[form](tmp_path))
    assert pose.joints == JOINTS
    np.testing.assert_array_equal(pose.points, POINTS)
    np.testing.assert_array_equal(pose.likelihood, LIKELIHOOD)  # type: ignore[arg-type]
    has_others = form in ("csv of several animals", "sleap")
    assert pose.note == "1 further animal left out: ghost" * has_others


def test_features(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="--rate 30"):
        extract_videos(ExtractRequest((str(path),), tmp_path / "out"))
    request = ExtractRequest((str(path),), tmp_path / "out", samples=SampleRequest(rate=RATE))
    done = extract_videos(request)
    assert (done.snippets, done.spec.channels) == (16, 26)
    assert [p.problem for p in done.problems] == ["0.6% of points missing or unlikely"]
    few = SampleRequest(rate=RATE, columns=("tail", "nose"), statistics=("mean",))
    done = extract_videos(ExtractRequest((str(path),), tmp_path / "few", samples=few))
    assert done.spec.channels == 7
    assert "joints left out: left ear, right ear" in done.problems[0].problem
    wrong = SampleRequest(rate=RATE, columns=("tial",))
    with pytest.raises((VideoError, DatasetError), match=r"no joint 'tial' .*did you mean 'tail'"):
        extract_videos(ExtractRequest((str(path),), tmp_path / "wrong", samples=wrong))


def test_place_and_size_do_not_matter() -> None:
    points = POINTS + RNG.normal(size=POINTS.shape)
    found = pose_channels(points, RATE)
    assert found.shape[1] == len(pose_names(JOINTS)) == 13
    np.testing.assert_allclose(pose_channels(3 * points + 100, RATE), found, atol=1e-9)


def test_only_short_gaps_are_filled() -> None:
    points = np.stack([np.arange(60.0), np.zeros(60)], axis=1)[:, None].repeat(3, axis=1)
    points[:, 1] += 5
    points[:, 2] -= 5
    gaps = points.copy()
    gaps[10:15, 0] = np.nan  # 5 frames of 30 per second
    gaps[30:45, 0] = np.nan
    found, whole = pose_channels(gaps, RATE), pose_channels(points, RATE)
    missing = np.isnan(found[:, 0])
    assert np.flatnonzero(missing).tolist() == list(range(30, 45))
    np.testing.assert_allclose(found[~missing, 0], whole[~missing, 0], atol=1e-9)
    nobody = np.full_like(points, np.nan)
    assert np.isnan(pose_channels(nobody, RATE)).all()


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("called",))


@pytest.mark.parametrize(
    "names",
    [
        pickle.dumps([Evil()], protocol=0),
        pickle.dumps(NAMES, protocol=2),
        pickle.dumps([1, 2], protocol=0),
        pickle.dumps(NAMES[:3], protocol=0),
        pickle.dumps(NAMES, protocol=0)[:-9],
        b"(lp0\ng7\na.",
        b"\xff",
    ],
)
def test_nothing_is_unpickled(
    names: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VideoError, match="cannot be read as a pose"):
        read_pose(write_table(tmp_path / "a.h5", names))
    assert "called" not in capsys.readouterr().out


def test_texts_of_a_pickle() -> None:
    names = [("a", "ü", "x"), ("a", "line\nfeed", "y")]
    assert texts_in_pickle(pickle.dumps(names, protocol=0)) == names


@pytest.mark.parametrize("content", [b"", b"scorer,a,a\nbodyparts,b\n", b"\x89HDF\r\n\x1a\n" * 9])
@pytest.mark.parametrize("suffix", [".csv", ".h5"])
def test_damaged_files_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(VideoError, match="cannot be read as a pose"):
        read_pose(path)


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write_fixed(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "/df_with_missing")
    with pytest.raises(VideoError, match="neither a SLEAP analysis file"):
        read_pose(tmp_path / "a.h5")
