"""The verdict in words, and tables to copy."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from actspan import Proposals, Video
from actspan.data.result_writers import write_result
from actspan.evaluation.paired import compare_recall, estimate_auc
from actspan.jobs.run import Run
from actspan.jobs.sinks import write_info
from actspan.report.contents import Contents, GroundTruth, gather
from actspan.report.page import write_report
from actspan.report.summary import as_csv, as_markdown, give_verdict, table_to_copy
from tests.report.conftest import Material
from tests.report.runs import write_truth

COUNT = 20
RNG = np.random.default_rng(0)
SEGMENTS = np.sort(RNG.uniform(0, 60, (COUNT, 2, 2)), axis=2)
VIDEOS = [Video(f"v{i}", 60.0, "validation", s, ("x", "x")) for i, s in enumerate(SEGMENTS)]


def shifted(by: float, seed: int = 1) -> dict[str, Proposals]:
    """Return the instances as proposals, off by up to `by` seconds."""
    rng = np.random.default_rng(seed)
    found = {}
    for video in VIDEOS:
        start, end = video.segments.T + rng.uniform(-by, by, (2, 2))
        found[video.id] = Proposals(start, np.maximum(start + 0.1, end), [0.9, 0.8], unit="seconds")
    return found


def contents_of(folder: Path, **results: dict[str, Proposals]) -> Contents:
    paths = []
    for name, found in results.items():
        (folder / name).mkdir()
        write_result(folder / name / "result.json", found)
        paths.append(folder / name)
    return gather(paths, GroundTruth(write_truth(folder / "set", VIDEOS)))


def test_one_run_has_its_auc_with_an_interval(tmp_path: Path) -> None:
    contents = contents_of(tmp_path, new=shifted(3.0))
    recall = contents.runs[0].by_video
    assert recall is not None
    estimate, verdict = estimate_auc(recall), give_verdict(contents)
    assert f"AUC of new is {estimate.auc:.1f} %" in verdict.sentence
    assert f"between {estimate.low:.1f} and {estimate.high:.1f} %" in verdict.sentence
    assert f"{recall.missed.sum()}" in verdict.details[0]


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        pytest.param((6.0,), (1.0,), "B (b) is better than A (a): B - A is +", id="better"),
        pytest.param((1.0,), (6.0,), "B (b) is worse than A (a): B - A is -", id="worse"),
        pytest.param((3.0,), (3.0, 2), "B (b) and A (a) cannot be told apart", id="close"),
        pytest.param((3.0,), (3.0,), "B (b) and A (a) find the same: B - A is +0.0", id="same"),
    ],
)
def test_two_runs_are_compared_in_words(
    tmp_path: Path, a: tuple[float, int], b: tuple[float, int], words: str
) -> None:
    contents = contents_of(tmp_path, a=shifted(*a), b=shifted(*b))
    first, second = (run.by_video for run in contents.runs)
    assert first is not None
    assert second is not None
    difference, sentence = compare_recall(first, second), give_verdict(contents).sentence
    assert sentence.startswith(words)
    assert f"B - A is {difference.auc:+.1f} points" in sentence
    assert f"95 % interval {difference.low:+.1f} to {difference.high:+.1f}" in sentence
    is_clear = "better" in sentence or "worse" in sentence
    assert is_clear == (difference.low > 0 or difference.high < 0)


def test_the_best_of_three_is_compared_with_the_next(tmp_path: Path) -> None:
    contents = contents_of(tmp_path, a=shifted(1.0), b=shifted(8.0), c=shifted(4.0))
    sentence = give_verdict(contents).sentence
    assert sentence.startswith("A (a) is better than C (c), the next best of 3 runs: A - C is +")


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (1, "1 video is too few for an interval."),
        (9, "9 videos are too few for an interval."),
        (10, ""),
    ],
)
def test_few_videos_decide_nothing(tmp_path: Path, count: int, reason: str) -> None:
    results = [tmp_path / "poor.json", tmp_path / "good.json"]
    for result, by in zip(results, (8.0, 0.5), strict=True):
        found = shifted(by)
        write_result(result, {video.id: found[video.id] for video in VIDEOS[:count]})
    truth = GroundTruth(write_truth(tmp_path / "set", VIDEOS[:count]))
    for paths in (results, results[1:]):
        contents = gather(paths, truth)
        verdict = give_verdict(contents)
        assert verdict.sentence.endswith(reason)
        assert ("95 % interval" in verdict.sentence) == (not reason)
        assert ("is better than" in verdict.sentence) == (len(paths) == 2 and not reason)
        assert ("interval" in as_markdown(table_to_copy(contents))) == (not reason)
        assert any("The interval" in one for one in verdict.details) == (
            len(paths) == 2 and not reason
        )


def test_label_free_and_unevaluated_runs_say_so(material: Material, tmp_path: Path) -> None:
    run = tmp_path / "guess"
    run.mkdir()
    for file in material.first.iterdir():
        (run / file.name).write_bytes(file.read_bytes())
    write_info(run, {**Run.load(run).info, "pipeline": {"label_free": {"window": 4096}}})
    evaluated = gather([run], GroundTruth(material.truth))
    assert "AUC of guess (label-free) is" in give_verdict(evaluated).sentence
    shown = gather([run])
    assert "guess (label-free)" in give_verdict(shown).sentence
    assert "without ground truth" in give_verdict(shown).sentence
    assert table_to_copy(shown) == []


def test_tables_can_be_pasted_elsewhere(tmp_path: Path) -> None:
    contents = contents_of(tmp_path, **{"a|b": shifted(6.0), "c,d": shifted(1.0)})
    rows = table_to_copy(contents)
    assert rows[0] == ["", "before: a|b", "after: c,d", "after - before"]
    assert [row[0] for row in rows[1:]][-3:] == ["AR@100", "AUC", "95 % interval of AUC"]
    before, after, difference = map(float, rows[-2][1:])
    assert difference == pytest.approx(after - before, abs=0.011)
    assert list(csv.reader(io.StringIO(as_csv(rows)))) == rows
    lines = as_markdown(rows).splitlines()
    assert lines[0] == "|  | before: a\\|b | after: c,d | after - before |"
    assert len(lines) == len(rows) + 1


@pytest.mark.parametrize("is_label_free", [False, True])
def test_the_page_says_whose_curves_it_draws(
    material: Material, tmp_path: Path, is_label_free: bool
) -> None:
    run = Path(shutil.copytree(material.first, tmp_path / "run"))
    pipeline = {"label_free": {"window": 4096}} if is_label_free else {}
    write_info(run, {**Run.load(run).info, "pipeline": pipeline})
    page = write_report([run], tmp_path / "report.html").path.read_text(encoding="utf-8")
    assert ("Curves are action, start and end scores" in page) == (not is_label_free)
    assert ("start and end have the same one" in page) == is_label_free
