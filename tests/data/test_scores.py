from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actspan import BoundaryScores
from actspan.core.errors import ResultError
from actspan.data.scores import ScoreFiles, add_scores, open_score_archive

SCORES = np.random.default_rng(0).random((3, 12), dtype=np.float32)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with open_score_archive(tmp_path / "scores.npz") as writer:
        add_scores(writer, "a", SCORES)
        add_scores(writer, "b", SCORES[:, :5])
    return tmp_path / "scores.npz"


def test_written_scores_come_back(archive: Path) -> None:
    with ScoreFiles(archive) as scores:
        assert scores.ids == ("a", "b")
        np.testing.assert_array_equal(np.asarray(scores.read("a")), SCORES)
        assert len(scores.read("b")) == 5
    with np.load(archive) as plain:
        np.testing.assert_array_equal(plain["a"], SCORES)


def test_same_scores_same_bytes(archive: Path, tmp_path: Path) -> None:
    with open_score_archive(tmp_path / "again.npz") as writer:
        add_scores(writer, "a", SCORES)
        add_scores(writer, "b", SCORES[:, :5])
    assert (tmp_path / "again.npz").read_bytes() == archive.read_bytes()


def test_nothing_is_left_of_a_writer_that_failed(tmp_path: Path) -> None:
    pickled = np.array([{}], dtype=object)
    with (
        pytest.raises(ValueError, match="pickle"),
        open_score_archive(tmp_path / "s.npz") as writer,
    ):
        add_scores(writer, "a", pickled)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_tem_csvs(tmp_path: Path) -> None:
    cells = np.arange(12) / 12
    table = np.c_[SCORES.T, cells, cells + 1 / 12]
    header = "action,start,end,xmin,xmax"
    np.savetxt(tmp_path / "v_a.csv", table, delimiter=",", header=header, comments="", fmt="%.9g")
    found: BoundaryScores = ScoreFiles(tmp_path).read("a")
    np.testing.assert_array_equal(np.asarray(found), SCORES)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("scores.npz", b"nonsense", "not an npz archive", id="no-npz"),
        pytest.param("a.csv", b"action,begin\n1,2\n", "columns action, start, end", id="columns"),
        pytest.param("a.csv", b"action,start,end\n1,2,nan\n", "NaN", id="nan"),
    ],
)
def test_bad_scores_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ResultError, match=message):
        ScoreFiles(tmp_path).read("a")


def test_missing_scores_are_named(archive: Path, tmp_path: Path) -> None:
    with (
        ScoreFiles(archive) as scores,
        pytest.raises(ResultError, match="no boundary scores for video 'c'"),
    ):
        scores.read("c")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultError, match="contains no boundary scores"):
        ScoreFiles(tmp_path / "empty")
