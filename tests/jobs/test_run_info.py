"""`run.toml` and the checksums in it, as every command that reads a run uses them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from click.testing import CliRunner, Result
from msgspec.structs import replace

from actspan import Run
from actspan.cli import main
from actspan.config.base import read_toml
from actspan.core.errors import ActSpanError, ResultError
from actspan.data.run_info import RunInfo
from actspan.evaluation.evaluate import evaluate
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset


def actspan(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("info")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=4)
    request = ProposeRequest(folder / "bundle", folder / "set", folder / "run")
    propose(replace(request, subset="validation", backend="onnxruntime"))
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


def test_every_key_that_is_written_is_in_the_schema(run: Path) -> None:
    def check(values: dict[str, Any], schema: Any) -> None:
        known = {field.encode_name: field.type for field in msgspec.structs.fields(schema)}
        assert values.keys() <= known.keys()
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(known[key], type):
                check(value, known[key])

    check(read_toml(run / "run.toml"), RunInfo)


def edited(run: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    values = read_toml(run / "run.toml")
    change(values)
    (run / "run.toml").write_text(tomli_w.dumps(values))
    return run


BAD = {
    "created": lambda run: run.update(created=5),
    "videos": lambda run: run.update(videos="many"),
    "skipped": lambda run: run.update(skipped=[1]),
    "bundle": lambda run: run.update(bundle=[]),
    "bundle.set_apart": lambda run: run["bundle"].update(set_apart=[3]),
    "dataset": lambda run: run.update(dataset="x"),
    "dataset.path": lambda run: run["dataset"].update(path=3),
    "dataset.files": lambda run: run["dataset"].update(files=["a"]),
    "dataset.assumptions": lambda run: run["dataset"].update(assumptions=7),
    "pipeline": lambda run: run.update(pipeline=7),
    "pipeline.mode": lambda run: run["pipeline"].update(mode=7),
    "versions": lambda run: run.update(versions={"actspan": 1}),
    "changes": lambda run: run.update(changes="x"),
    "timing": lambda run: run.update(timing={"stages": 3}),
    "files": lambda run: run.update(files={"result.json": 3}),
    "format": lambda run: run.update(format=2),
}


@pytest.mark.parametrize("key", BAD)
@pytest.mark.parametrize("command", ["evaluate", "diagnose", "report", "export", "tune", "resume"])
def test_values_of_the_wrong_type_are_one_line_in_every_command(
    command: str, key: str, made: Path, run: Path
) -> None:
    edited(run, BAD[key])
    truth = ("--ground-truth", made / "set")
    lines = {
        "evaluate": ("evaluate", run, *truth),
        "diagnose": ("evaluate", run, *truth, "--diagnose"),
        "report": ("report", run, *truth, "--out", run.parent / "page.html"),
        "export": ("annotate", "export", run, run.parent / "x.csv", "--to", "csv"),
        "tune": ("tune", run, "--ground-truth", made / "set"),
        "resume": (
            *("propose", "--model", made / "bundle", "--dataset", made / "set", "--out", run),
            *("--subset", "validation", "--backend", "onnxruntime", "--resume"),
        ),
    }
    done = actspan(*lines[command])
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)
    if done.exit_code == 0:  # settings are checked by what uses them
        assert key == "pipeline.mode"
        return
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "run.toml" in error or "pipeline" in error


@pytest.mark.parametrize("key", BAD)
def test_values_of_the_wrong_type_are_refused_by_the_service(key: str, run: Path) -> None:
    pytest.importorskip("fastapi")
    from actspan.server.browse_routes import _run_info
    from actspan.server.browsed_run import BrowsedRun

    with pytest.raises(ActSpanError):
        _run_info(BrowsedRun("run", edited(run, BAD[key])))


def test_a_name_of_a_file_elsewhere_is_refused(run: Path) -> None:
    edited(run, lambda values: values["files"].update({"../../x": "0"}))
    with pytest.raises(ResultError, match=r"'\.\./\.\./x' is not the name of a file"):
        Run.load(run)


@pytest.mark.parametrize("command", ["evaluate", "report", "export", "label", "serve"])
def test_a_result_that_differs_from_its_checksum_is_refused(
    command: str, made: Path, run: Path
) -> None:
    result = run / "result.json"
    document = json.loads(result.read_text())
    entry = next(iter(document["results"].values()))[0]
    entry["score"] = 0.125
    result.write_text(json.dumps(document))
    if command == "serve":
        pytest.importorskip("fastapi")
        from actspan.server.browsed_run import BrowsedRun

        with pytest.raises(ResultError, match="damaged, or edited"):
            len(BrowsedRun("run", run).result)
        return
    scores = run.parent / "scores.json"
    scores.write_text(
        json.dumps({name: [{"label": "x", "score": 1}] for name in document["results"]})
    )
    lines = {
        "evaluate": ("evaluate", run, "--ground-truth", made / "set"),
        "report": ("report", run, "--out", run.parent / "page.html"),
        "export": ("annotate", "export", run, run.parent / "x.csv", "--to", "csv"),
        "label": ("label", run, "--labels-from", scores),
    }
    done = actspan(*lines[command])
    assert done.exit_code == 1
    assert "result.json: damaged, or edited: its checksum is not the one in run.toml" in done.stderr
    evaluate(result, ground_truth=made / "set")  # an edit that is meant


def test_detections_that_are_labelled_later_are_recorded(made: Path, run: Path) -> None:
    scores = run.parent / "scores.json"
    videos = json.loads((run / "result.json").read_text())["results"]
    for label in ("x", "y"):
        scores.write_text(json.dumps({v: [{"label": label, "score": 1}] for v in videos}))
        done = actspan("label", run, "--labels-from", scores, "--force")
        assert done.exit_code == 0, done.output
        export = ("annotate", "export", run, run.parent / "x.csv", "--to", "csv", "--force")
        assert actspan(*export).exit_code == 0
    detections = run / "detections.json"
    detections.write_text(detections.read_text().replace('"y"', '"z"', 1))
    assert "detections.json: damaged, or edited" in actspan(*export).stderr
