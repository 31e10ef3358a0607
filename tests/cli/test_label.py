"""`actspan label`, `propose` with labels, and what `evaluate` makes of detections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from actspan.cli import main
from actspan.data.detections import read_detections
from actspan.data.result_files import read_result
from actspan.jobs.run import Run
from tests.examples import write_bundle, write_dataset

SCORES = [{"label": "act", "score": 0.75}, {"label": "rest", "score": 0.25}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=4, subsets=("validation",))
    (folder / "scores.json").write_text(json.dumps({f"video{i}": SCORES for i in range(4)}))
    (folder / "few.json").write_text(json.dumps({"results": {"v_video0": SCORES}}))
    done = propose(folder, "--out", folder / "run", "--labels-from", folder / "scores.json")
    assert done.exit_code == 0, done.output
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def propose(folder: Path, *arguments: object) -> Result:
    model = ("--model", folder / "bundle", "--dataset", folder / "set", "--backend", "onnxruntime")
    return run("propose", *model, *arguments)


def answer(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_holds_proposals_and_detections(folder: Path) -> None:
    proposals, detections = read_result(folder / "run"), read_detections(folder / "run")
    assert list(proposals) == list(detections)
    for video, found in detections.items():
        assert len(found) == 2 * len(proposals[video])
        assert found.segments.score[0] == proposals[video].score[0] * 0.75
    info = Run.load(folder / "run").info
    assert info["labels"] == {"from": str(folder / "scores.json"), "top": 2}


def test_a_file_holds_the_detections_alone(folder: Path, tmp_path: Path) -> None:
    labels = ("--labels-from", folder / "scores.json", "--top-labels", 1)
    figures = answer(propose(folder, "--out", tmp_path / "x.json", *labels, "--json"))
    found = read_detections(tmp_path / "x.json")
    assert figures["detections"] == figures["proposals"] == sum(map(len, found.values()))
    assert {name for d in found.values() for name in d.labels} == {"act"}


def test_labelling_a_run_later_gives_the_same(folder: Path, tmp_path: Path) -> None:
    figures = answer(
        run("label", folder / "run", "--labels-from", folder / "scores.json", "--json", "--out",
            tmp_path / "again.json")
    )  # fmt: skip
    assert (figures["videos"], figures["skipped"]) == (4, [])
    again = (tmp_path / "again.json").read_bytes()
    assert again == (folder / "run" / "detections.json").read_bytes()
    # detections say which proposals they are, so they can serve as labels of single proposals too
    rows = json.loads(again)["results"]
    first = {}
    for video, entries in rows.items():
        acts = [entry for entry in entries if entry["label"] == "act"]
        first[video] = [{"segment": entry["segment"], "label": "act"} for entry in acts]
    (tmp_path / "single.json").write_text(json.dumps(first))
    out = tmp_path / "out.json"
    done = run("label", folder / "run", "--labels-from", tmp_path / "single.json", "--out", out)
    assert done.exit_code == 0, done.output
    assert len(read_detections(out)["video0"]) == len(read_result(folder / "run")["video0"])


def test_videos_without_scores_are_named_before_work_starts(folder: Path, tmp_path: Path) -> None:
    for command in (
        lambda *more: propose(folder, "--out", tmp_path / "x.json", *more),
        lambda *more: run("label", folder / "run", "--out", tmp_path / "x.json", *more),
    ):
        done = command("--labels-from", folder / "few.json")
        assert done.exit_code == 1
        assert "video3" in done.stderr
        assert "3 problems" in done.stderr
        assert not list(tmp_path.iterdir())
        done = command("--labels-from", folder / "few.json", "--on-error", "skip")
        assert done.exit_code == 0, done.output
        assert [len(d) > 0 for d in read_detections(tmp_path / "x.json").values()] == [
            True, False, False, False,
        ]  # fmt: skip
        (tmp_path / "x.json").unlink()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param([], 2, "either --labels-from or --model", id="no-source"),
        pytest.param(["--model", "bundle"], 2, "belong together", id="model-alone"),
        pytest.param(
            ["--model", "bundle", "--dataset", "set"], 1, "has no classifier", id="no-classifier"
        ),
    ],
)
def test_bad_usage(folder: Path, arguments: list[str], code: int, message: str) -> None:
    paths = [folder / a if not a.startswith("--") else a for a in arguments]
    done = run("label", folder / "run", *paths)
    assert done.exit_code == code
    assert message in done.stderr


def test_a_result_file_needs_a_place_for_detections(folder: Path) -> None:
    labels = ("--labels-from", folder / "scores.json")
    done = run("label", folder / "run" / "result.json", *labels)
    assert done.exit_code == 1
    assert "say where detections go" in done.stderr


def test_the_classifier_is_for_features_and_not_beside_a_file(folder: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x.json", "--detections")
    both = propose(folder, *out, "--labels-from", folder / "scores.json")
    assert "not from both" in both.stderr
    assert "needs features" in propose(folder, *out, "--scores", folder / "run").stderr
    assert "has no classifier" in propose(folder, *out).stderr
    assert not list(tmp_path.iterdir())


# --- evaluate ---


def evaluate(folder: Path, *arguments: object) -> Result:
    return run("evaluate", folder / "run", "--ground-truth", folder / "set", *arguments)


def test_detections_as_tables_and_json(folder: Path) -> None:
    found = answer(evaluate(folder, "--task", "detection", "--json"))
    names = [f"mAP@{tiou / 100:.2f}" for tiou in range(50, 100, 5)]
    assert list(found)[:11] == [*names, "average_mAP"]
    assert list(found["classes"]) == ["act"]
    assert found["classes"]["act"]["AP"] == pytest.approx(found["average_mAP"])
    assert list(found["unknown"]) == ["rest"]
    done = evaluate(folder, "--task", "detection")
    assert "1 class; in percent" in done.stdout
    assert f"{found['average_mAP']:.2f}" in done.stdout
    assert "labels that the ground truth lacks, skipped: 1 (rest)" in done.stderr


def test_thumos_thresholds_and_others(folder: Path) -> None:
    thumos = answer(evaluate(folder, "--task", "detection", "--protocol", "thumos14", "--json"))
    assert [name for name in thumos if name.startswith("mAP")] == [
        f"mAP@0.{tiou}0" for tiou in range(3, 8)
    ]
    recall = answer(evaluate(folder, "--protocol", "thumos14", "--tiou", "0.5,0.75", "--json"))
    assert "AR@1000" in recall
    assert list(recall["recall_by_tiou"]) == ["0.50", "0.75"]
    done = evaluate(folder, "--tiou", "half")
    assert done.exit_code == 1
    assert "tiou 'half'" in done.stderr


def test_diagnosis_as_tables_and_json(folder: Path) -> None:
    found = answer(evaluate(folder, "--diagnose", "--json"))
    diagnosis = found["diagnosis"]
    assert sum(diagnosis["lost"]["0.75"].values()) == pytest.approx(100)
    assert diagnosis["lost"]["mean"]["found"] == pytest.approx(found["AR@100"])
    assert set(diagnosis["gains"]) == {"boundaries", "top-k", "ranking", "suppression"}
    assert [row["bin"] for row in diagnosis["recall"]["coverage"]] == ["XS", "S", "M", "L", "XL"]
    missed = diagnosis["missed"][0]
    assert missed["video"] in {f"video{i}" for i in range(4)}
    assert missed["label"] == "act"
    assert all(missed["best_tiou"] < float(tiou) for tiou in missed["lost"])
    kinds = diagnosis["detections"]["kinds"]
    shares = sum(kind["share"] for kind in kinds.values()) + diagnosis["detections"]["right"]
    assert shares == pytest.approx(100)
    done = evaluate(folder, "--diagnose")
    for text in ("Instances missed", "perfect stage", "Recall by kind", "Wrong detections"):
        assert text in done.stdout


def test_diagnosis_of_detections_alone(folder: Path) -> None:
    found = answer(evaluate(folder, "--task", "detection", "--diagnose", "--json"))
    assert list(found["diagnosis"]) == ["detections"]
    assert "Wrong detections" in evaluate(folder, "--task", "detection", "--diagnose").stdout
    assert evaluate(folder, "--task", "detection", "--plot", "x.png").exit_code == 2


def test_what_is_not_there_is_named(folder: Path) -> None:
    truth = ("--ground-truth", folder / "set")
    done = run("evaluate", folder / "run" / "result.json", *truth, "--diagnose")
    assert done.exit_code == 1
    assert "not a run" in done.stderr
    done = run("evaluate", folder / "run" / "result.json", *truth, "--task", "detection")
    assert done.exit_code == 1
    assert "label them: actspan label" in done.stderr
