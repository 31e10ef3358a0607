"""`actspan evaluate`: tables for people, JSON for machines, clear errors."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actspan import Proposals, Video
from actspan.cli import main
from actspan.data.annotations.formats import write_annotations
from actspan.data.result_writers import write_result
from tests.examples import edit_annotations, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    segments = np.array([[0.0, 10.0]])
    names = [f"video_{i}" for i in range(8)]
    videos = [Video(name, 60.0, "validation", segments, ("x",)) for name in names]
    write_annotations(tmp_path / "annotations.json", videos)
    found = Proposals([0.0, 0.0], [10.0, 4.0], [0.9, 0.1], unit="seconds")
    write_result(tmp_path / "result.json", {"video_0": found, "stranger": found})
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_tables_and_what_differs(folder: Path) -> None:
    done = run(folder, "--ground-truth", folder)
    assert done.exit_code == 0, done.output
    assert "8 videos, 8 instances" in done.stdout
    assert "12.50" in done.stdout
    assert "0.95" in done.stdout
    assert "missed: 7 (video_1, video_2, video_3, video_4, video_5, ...)" in done.stderr
    assert "1 (stranger)" in done.stderr


def test_json(folder: Path) -> None:
    done = run(folder / "result.json", "--ground-truth", folder / "annotations.json", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    keys = ["AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC"]
    assert list(answer)[:6] == keys
    assert answer["AR@100"] == 12.5
    assert answer["recall_by_tiou"]["0.50"] == 12.5
    assert len(answer["recall_by_tiou"]) == 10
    assert len(answer["missing"]) == 7
    assert answer["extra"] == ["stranger"]
    assert (answer["videos"], answer["instances"], answer["proposals"]) == (8, 8, 2)
    assert len(answer["curve"]["average_recall"]) == 100


def test_notes_are_printed_once(folder: Path) -> None:
    segments = np.array([[0.0, 10.0], [0.0, 10.0]])
    videos = [Video("video_0", 60.0, "validation", segments, ("x", "x"))]
    write_annotations(folder / "annotations.json", videos)
    (folder / "blocked.txt").write_text("typo\n")
    options = ("--ground-truth", folder, "--blocked", folder / "blocked.txt", "--json")
    done = run(folder, *options, "--protocol", "thumos14")
    assert done.exit_code == 0, done.output
    assert done.stderr.count("note: 1 duplicate instance left out, in 1 video") == 1
    assert "note: 1 of 1 blocked video not in the ground truth: typo" in done.stderr
    blocked, budgets = json.loads(done.stdout)["notes"]
    assert blocked == "1 of 1 blocked video not in the ground truth: typo"
    assert budgets.startswith("2 proposals per video on average: AR@10, ")
    assert budgets.endswith(", AR@1000 equal AR@5")
    assert json.loads(done.stdout)["instances"] == 1
    assert json.loads(run(folder, *options).stdout)["instances"] == 2


def test_larger_budget_and_blocked_videos(folder: Path) -> None:
    (folder / "blocked.txt").write_text("\n".join(f"video_{i}" for i in range(1, 8)))
    done = run(
        folder, "--ground-truth", folder, "--json", "--max-proposals", 1000,
        "--blocked", folder / "blocked.txt",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert (answer["videos"], answer["AR@1000"], answer["missing"]) == (1, 100.0, [])


def test_plot(folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    done = run(folder, "--ground-truth", folder, "--plot", folder / "curve.png")
    assert done.exit_code == 0, done.output
    assert (folder / "curve.png").stat().st_size > 10_000
    assert "curve.png" in done.stderr


def test_unreadable_annotations_stop_it_unless_told_to_skip(folder: Path) -> None:
    path = folder / "annotations.json"
    document = json.loads(path.read_text())
    document["database"]["video_7"]["duration"] = "long"
    path.write_text(json.dumps(document))
    done = run(folder, "--ground-truth", folder)
    assert done.exit_code == 1
    assert "video_7" in done.stderr
    done = run(folder, "--ground-truth", folder, "--on-error", "skip", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["videos"] == 7
    assert json.loads(done.stdout)["skipped"][0]["video"] == "video_7"


def test_failures_are_one_line_and_exit_code_1(folder: Path) -> None:
    done = run(folder, "--ground-truth", folder, "--subset", "testing")
    assert done.exit_code == 1
    assert "no video with instances in subset 'testing'" in done.stderr
    done = run(folder, "--ground-truth", folder, "--plot", folder / "curve.txt")
    assert done.exit_code == 1
    assert "must end in" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["."],
        [".", "--ground-truth", ".", "--max-proposals", "0"],
    ],
    ids=["no-truth", "no-budget"],
)
def test_bad_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_missing_result_is_one_line_and_exit_code_1() -> None:
    result = run("nowhere.json", "--ground-truth", ".")
    assert result.exit_code == 1
    assert result.stderr == "error: nowhere.json: does not exist\n"


def test_help_shows_an_example_and_starts_light() -> None:
    assert "Example:" in run("--help").stdout
    code = "import sys, actspan.cli.evaluate; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_times_in_frames_are_refused(folder: Path) -> None:
    frames = Video("video_0", 60.0, "validation", [[250.0, 500.0], [600.0, 1400.0]], ("x", "x"))
    write_annotations(folder / "frames.json", [frames])
    for options in ([], ["--task", "detection"]):
        done = run(folder / "result.json", "--ground-truth", folder / "frames.json", *options)
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert "times look like frames: 2 of 2 instances end after their video" in line
        assert "frames-seconds.json --times frames --fps RATE (RATE: " in line
        assert line.endswith("; or correct the durations, if times are seconds")
    words = shlex.split(line.partition("convert them: actspan ")[2].partition(" (RATE")[0])
    assert CliRunner().invoke(main, [*words[:-1], "25"]).exit_code == 0
    done = run(folder / "result.json", "--ground-truth", folder / "frames-seconds.json")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("time", ["NaN", "Infinity", "-Infinity", "1.7e308"])
def test_instances_that_no_video_can_have_are_refused_or_left_out_and_named(
    time: str, folder: Path
) -> None:
    usual = json.loads(run(folder, "--ground-truth", folder, "--json").stdout)
    edit_annotations(folder, "video_3", annotations=[{"segment": [float(time), 9], "label": "x"}])
    refused = run(folder, "--ground-truth", folder)
    assert refused.exit_code == 1
    assert "video_3: segment [" in refused.stderr
    assert "1 problem found. Fix it: results without it are not comparable" in refused.stderr
    done = run(folder, "--ground-truth", folder, "--on-error", "skip", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["instances"] == usual["instances"] - 1
    assert [entry["video"] for entry in answer["skipped"]] == ["video_3"]


def test_instances_that_pass_the_end_of_their_video_are_named(folder: Path) -> None:
    edit_annotations(folder, "video_3", annotations=[{"segment": [5, 70], "label": "x"}])
    done = run(folder, "--ground-truth", folder)
    assert "note: 1 instance partly outside the video (video_3); compared as annotated" in (
        done.stderr
    )


def test_instances_that_nothing_can_find_count_and_are_named(folder: Path) -> None:
    segments = [[0, 10], [3, 3], [70, 80], [50, 62], [-4, -1], [0, 9], [5, 9]]
    write_annotations(
        folder / "truth.json", [Video("video_0", 60.0, "validation", segments, ("x",) * 7)]
    )
    done = run(folder / "result.json", "--ground-truth", folder / "truth.json")
    assert done.exit_code == 0, done.output
    assert "1 video, 7 instances" in done.stdout
    note = "3 instances without length or outside the video (video_0); counted as missed"
    assert note in done.stderr


@pytest.fixture
def run_and_set(tmp_path: Path) -> tuple[Path, Path]:
    """Return a result that is right, and the dataset that it is of."""
    folder = write_dataset(tmp_path / "set", videos=6, subsets=("validation",))
    database = json.loads((folder / "annotations.json").read_text())["database"]
    results = {
        video: [{"score": 1.0, "segment": a["segment"]} for a in entry["annotations"]]
        for video, entry in database.items()
    }
    document = {"version": "x", "results": results, "external_data": {}}
    (tmp_path / "result.json").write_text(json.dumps(document))
    return tmp_path / "result.json", folder


def edit_all(folder: Path, durations: float | None, times: float = 1) -> None:
    database = json.loads((folder / "annotations.json").read_text())["database"]
    for video, entry in database.items():
        pairs = [[times * x for x in a["segment"]] for a in entry["annotations"]]
        duration = None if durations is None else durations * entry["duration"]
        instances = [{"segment": pair, "label": "act"} for pair in pairs]
        edit_annotations(folder, video, duration=duration, annotations=instances)


@pytest.mark.parametrize("factor", [1 / 3, 1 / 6])
def test_wrong_durations_are_one_note_and_change_no_figure(
    run_and_set: tuple[Path, Path], factor: float
) -> None:
    result, folder = run_and_set
    right = run(result, "--ground-truth", folder)
    edit_all(folder, factor)
    done = run(result, "--ground-truth", folder)
    assert done.exit_code == 0, done.output
    assert done.stdout == right.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("note: durations look wrong (0.")
    assert line.endswith(f"correct the durations in {folder / 'annotations.json'}")


def test_wrong_durations_without_features_are_one_note_too(
    run_and_set: tuple[Path, Path],
) -> None:
    result, folder = run_and_set
    edit_all(folder, 1 / 3)
    (folder / "annotations.json").rename(folder.parent / "truth.json")
    done = run(result, "--ground-truth", folder.parent / "truth.json")
    assert done.exit_code == 0, done.output
    assert done.stderr == (
        "note: most instances end after their video: its duration is not used; correct the "
        "durations\n"
    )


@pytest.mark.parametrize("task", [[], ["--task", "detection"]])
def test_frames_without_durations_are_refused_by_the_features(
    run_and_set: tuple[Path, Path], task: list[str]
) -> None:
    result, folder = run_and_set
    edit_all(folder, None, 25)
    done = run(result, "--ground-truth", folder, *task)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "times look like frames" in line
    assert "end after their features" in line
    assert line.endswith("; or correct the stride in dataset.toml, if times are seconds")
    for file in (folder / "features").iterdir():  # what cannot be read is not needed
        file.write_bytes(b"")
    assert run(result, "--ground-truth", folder).exit_code == 0


def test_features_end_the_videos_of_unknown_duration(run_and_set: tuple[Path, Path]) -> None:
    result, folder = run_and_set
    edit_all(folder, None)
    assert run(result, "--ground-truth", folder).stderr == ""
    database = json.loads((folder / "annotations.json").read_text())["database"]
    beyond = [*database["video1"]["annotations"], {"segment": [5000, 6000], "label": "act"}]
    edit_annotations(folder, "video1", annotations=beyond)
    done = run(result, "--ground-truth", folder)
    assert done.exit_code == 0
    assert done.stderr == (
        "note: 1 instance without length or outside the video (video1); counted as missed\n"
    )


def test_labels_that_leave_nothing_in_the_subset_are_named(folder: Path) -> None:
    other = Video("other", 60.0, "training", [[0.0, 10.0]], ("lift",))
    evaluated = Video("video_0", 60.0, "validation", [[0.0, 10.0]], ("x",))
    write_annotations(folder / "annotations.json", [evaluated, other])
    done = run(folder, "--ground-truth", folder, "--labels", "lift")
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {folder / 'annotations.json'}: no instance in subset 'validation' has a label "
        "that --labels lift takes; labels there: x\n"
    )


@pytest.mark.parametrize("option", ["--labels", "--tiou"])
def test_an_empty_option_is_refused(folder: Path, option: str) -> None:
    done = run(folder, "--ground-truth", folder, option, "")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"{option.strip('-')} ''" in done.stderr


def test_budgets_beyond_all_proposals_are_one_note(folder: Path) -> None:
    starts = np.arange(100.0) / 2
    found = Proposals(starts, starts + 5, np.linspace(0, 1, 100), unit="seconds")
    write_result(folder / "result.json", {f"video_{i}": found for i in range(8)})
    note = "100 proposals per video on average: AR@200, AR@500, AR@1000 equal AR@100"
    done = run(folder, "--ground-truth", folder, "--protocol", "thumos14", "--json")
    answer = json.loads(done.stdout)
    assert note in answer["notes"]
    assert answer["AR@100"] == answer["AR@1000"] > answer["AR@1"]
    assert "AR@100" not in run(folder, "--ground-truth", folder).stderr
    done = run(folder, "--ground-truth", folder, "--max-proposals", 200)
    assert "note: 100 proposals per video on average: AR@200 equals AR@100\n" in done.stderr
