"""`actspan train`: options reach the training, answers are short, errors are one line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actspan import Bundle
from actspan.cli import main
from tests.examples import edit_annotations, write_annotations, write_dataset

pytest.importorskip("torch", reason="needs torch (extra 'train')")

SMALL = ("--epochs", 2, "--length", 20, "--tem-hidden", 8, "--pem-hidden", 8)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", videos=6)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_help_shows_an_example() -> None:
    done = run("--help")
    assert done.exit_code == 0
    assert "actspan train --dataset my-videos/ --out my-model/" in done.stdout


def test_trains_and_says_what_next(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = run("--dataset", dataset, "--out", out, "--preset", "published", *SMALL)
    assert done.exit_code == 0, done.output
    assert "TEM: epoch" in done.stdout
    assert f"actspan propose --model {out}" in done.stdout
    bundle = Bundle.load(out)
    assert bundle.config.tem is not None
    assert bundle.config.pem is not None
    assert (bundle.config.tem.length, bundle.config.tem.hidden) == (20, 8)
    assert bundle.config.tem.channels == 6
    assert bundle.config.pem.hidden == 8


@pytest.mark.parametrize("name", ["jjboy2020", "paddle"])
def test_trains_bmn_and_proposes(dataset: Path, tmp_path: Path, name: str) -> None:
    model, out, sizes = tmp_path / "model", tmp_path / "run", tmp_path / "sizes.toml"
    sizes.write_text(
        "[pipeline.bmn]\nsamples = 4\nbase = 8\nsampled = 8\nmatched = 8\nhidden = 4\n"
    )
    options = ("--preset", name, "--epochs", 2, "--length", 20, "--config", sizes)
    done = run("--dataset", dataset, "--out", model, *options)
    assert done.exit_code == 0, done.output
    assert "BMN: epoch 2 of 2 kept" in done.stdout
    assert "plain windows" in done.stdout
    done = CliRunner().invoke(
        main, ["propose", "--model", str(model), "--dataset", str(dataset), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert len(json.loads((out / "result.json").read_text())["results"]) == 6


def test_sizes_of_bsn_are_refused_for_bmn(dataset: Path, tmp_path: Path) -> None:
    done = run("--dataset", dataset, "--out", tmp_path / "m", "--preset", "paddle", *SMALL)
    assert done.exit_code != 0
    assert "preset 'paddle' trains BMN" in done.stderr


def test_the_end_shows_the_model_beside_guesses(dataset: Path, tmp_path: Path) -> None:
    done = run("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    assert done.exit_code == 0, done.output
    for row in ("of the validation part", "model", "plain windows", "training lengths", "AUC"):
        assert row in done.stdout


def test_the_held_out_videos_are_proposed_for_and_evaluated(dataset: Path, tmp_path: Path) -> None:
    for i in range(6):
        edit_annotations(dataset, f"video{i}", subset="training")
    model, out = tmp_path / "model", tmp_path / "run"
    split = ("--validation-split", 0.34)
    assert run("--dataset", dataset, "--out", model, *split, *SMALL).exit_code == 0
    options = ["--model", model, "--dataset", dataset, "--subset", "validation", "--out", out]
    done = CliRunner().invoke(main, ["propose", *map(str, options)])
    assert done.exit_code == 0, done.output
    assert "note: validation: the 2 videos that training held out" in done.stderr
    done = CliRunner().invoke(
        main, ["evaluate", str(out), "--ground-truth", str(dataset), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert "note: validation: the 2 videos that training held out" in done.stderr
    found = json.loads(done.stdout)
    assert (found["videos"], found["missing"], found["extra"]) == (2, [], [])
    done = CliRunner().invoke(
        main, ["evaluate", str(out / "result.json"), "--ground-truth", str(dataset)]
    )
    assert done.exit_code == 1
    assert "subsets: 'training'. Choose one with --subset; or, if training held" in done.stderr
    assert f"evaluate the run folder, which has their ids, not {out}/result.json" in done.stderr


def test_epochs_reach_the_classifier(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = run("--dataset", dataset, "--out", out, "--classifier", *SMALL)
    assert done.exit_code == 0, done.output
    assert "annotated instances that get their own label" in done.stdout
    record = (Bundle.load(out).training or {})["classifier"]
    assert record["config"]["steps"] == 100


def test_json_and_a_settings_file(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text("[pem]\ndropout = 0.2\n\n[pipeline.pgm]\nkeep_training = 7\n")
    out = tmp_path / "model"
    done = run("--dataset", dataset, "--out", out, "--config", file, "--seed", 3, "--json", *SMALL)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["seed"] == 3
    assert answer["preset"] == "custom"
    assert answer["bsn"][0]["epochs"] == 2
    bundle = Bundle.load(out)
    assert bundle.config.pgm.keep_training == 7
    assert (bundle.training or {})["config"]["pem"]["dropout"] == 0.2


def test_bad_data_stop_it_or_are_left_out(dataset: Path, tmp_path: Path) -> None:
    (dataset / "features" / "video1.npy").unlink()
    arguments = ("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    done = run(*arguments)
    assert done.exit_code == 1
    assert "video1" in done.output
    assert "no features" in done.output
    done = run(*arguments, "--on-error", "skip")
    assert done.exit_code == 0, done.output
    assert "skipped: 1 video (video1)" in done.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("[tem]\ndropuot = 0.1\n", "dropuot", id="unknown-key"),
        pytest.param("[tem]\ndropout = 1.5\n", "dropout must be in [0, 1)", id="out-of-range"),
        pytest.param("[tem\n", "not valid TOML", id="not-toml"),
    ],
)
def test_bad_settings_are_named(dataset: Path, tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "train.toml"
    file.write_text(text)
    done = run("--dataset", dataset, "--out", tmp_path / "model", "--config", file)
    assert done.exit_code == 1
    assert "train.toml" in done.stderr
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("device", "complaint"),
    [
        ("cuda", "sees no GPU: install its build with CUDA and the GPU's driver, or give"),
        ("gpu", "give auto, cpu, cuda, or the number of a GPU"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_a_line(
    dataset: Path, tmp_path: Path, device: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    done = run("--dataset", dataset, "--out", tmp_path / "model", "--device", device, *SMALL)
    assert done.exit_code == 1
    assert f"--device {device}: " in done.stderr
    assert complaint in " ".join(done.stderr.split())
    assert not (tmp_path / "model").exists()


def test_device_and_precision_are_recorded(dataset: Path, tmp_path: Path) -> None:
    options = ("--device", "cpu", "--precision", "bf16")
    done = run("--dataset", dataset, "--out", tmp_path / "model", *options, *SMALL)
    assert done.exit_code == 0, done.output
    record = dict(Bundle.load(tmp_path / "model").training or {})
    assert (record["device"], record["precision"]) == ("cpu", "bf16")


def test_a_taken_place_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note.txt").write_text("mine")
    done = run("--dataset", dataset, "--out", tmp_path / "taken", *SMALL)
    assert done.exit_code == 1
    assert "not a bundle" in done.stderr


def test_no_training_part_is_said(dataset: Path, tmp_path: Path) -> None:
    for i in range(6):
        edit_annotations(dataset, f"video{i}", subset="testing")
    done = run("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    assert done.exit_code == 1
    assert "no video in subset 'training'" in done.stderr


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("trainig", "'trainig' (did you mean 'training'?)"),
        ("testing", "'testing'"),
        ("fold1", "'fold1'"),
        ("validation", "'validation'"),
    ],
)
def test_a_misspelt_training_part_is_suggested(
    dataset: Path, tmp_path: Path, name: str, shown: str
) -> None:
    for i in range(6):
        edit_annotations(dataset, f"video{i}", subset=name)
    done = run("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    assert done.exit_code == 1
    assert f"no video in subset 'training'; subsets: {shown}. Divide" in done.stderr
    assert "`actspan annotate split`" in done.stderr
    assert "--rename-subset OLD=training`" in done.stderr


def test_a_misspelt_validation_part_is_suggested(dataset: Path, tmp_path: Path) -> None:
    edit_annotations(dataset, "video3", subset="validaton")
    done = run("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    assert done.exit_code == 0, done.output
    note = "not used in training: 1 of subset 'validaton' (did you mean 'validation'?)"
    assert f"note: videos that are {note}" in done.stderr.splitlines()


def test_impossible_split_is_a_usage_error(dataset: Path, tmp_path: Path) -> None:
    arguments = ("--dataset", dataset, "--out", tmp_path / "model", "--validation-split", 1)
    assert run(*arguments).exit_code == 2


def edit_segments(folder: Path, change: Callable[[list[float]], list[float]]) -> None:
    document = json.loads((folder / "annotations.json").read_text())
    for entry in document["database"].values():
        for annotation in entry["annotations"]:
            annotation["segment"] = change(annotation["segment"])
    write_annotations(folder, document["database"])


def test_bad_instances_are_left_out_and_counted_at_the_end(dataset: Path, tmp_path: Path) -> None:
    entry = json.loads((dataset / "annotations.json").read_text())["database"]["video0"]
    bad = [{"segment": [2.0, 2.0], "label": "act"}] * 2
    edit_annotations(dataset, "video0", annotations=[*entry["annotations"], *bad])
    edit_annotations(dataset, "video3", subset="testing")
    done = run("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert any("segment [2, 2]: zero length" in line for line in lines)
    assert lines[-1] == "skipped: 2 instances (video0)"
    assert "note: videos that are not used in training: 1 of subset 'testing'" in lines


@pytest.mark.parametrize("with_durations", [True, False])
def test_times_in_frames_are_refused_in_a_line_whose_advice_works(
    dataset: Path, tmp_path: Path, with_durations: bool
) -> None:
    edit_segments(dataset, lambda pair: [25 * x for x in pair])
    if not with_durations:
        for i in range(6):
            edit_annotations(dataset, f"video{i}", duration=None)
    command = ("--dataset", dataset, "--out", tmp_path / "model", *SMALL)
    done = run(*command)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "times look like frames" in line
    words = shlex.split(line.partition("convert them: actspan ")[2].partition(" (RATE")[0])
    converted = CliRunner().invoke(main, [*words[:-1], "25"])
    assert converted.exit_code == 0, converted.output
    (dataset / "annotations.json").rename(dataset / "original.json")
    (dataset / "annotations-seconds.json").rename(dataset / "annotations.json")
    assert run(*command).exit_code == 0


def test_no_good_instance_is_said_with_the_fault(dataset: Path, tmp_path: Path) -> None:
    edit_segments(dataset, lambda pair: pair[::-1])
    for options in ([], ["--on-error", "skip"]):
        done = run("--dataset", dataset, "--out", tmp_path / "model", *SMALL, *options)
        assert done.exit_code == 1
        assert "ends before it starts" in " ".join(done.stderr.split())
        assert "Annotate the actions" not in done.stderr
        assert "--on-error" not in done.stderr
