"""`actspan tune`: settings that are better on videos they were not chosen by."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from actspan.cli import main
from actspan.config.base import from_dict
from actspan.config.changes import read_changes, with_changes
from actspan.config.stages import PipelineConfig
from actspan.core.errors import AnnotationError, ConfigError, ResultError
from actspan.data.annotations.formats import read_annotations
from actspan.data.splits import held_out
from actspan.data.videos import Videos
from actspan.evaluation import tuning
from actspan.evaluation.recall import evaluate_recall
from actspan.evaluation.tuning import SWEEP, tune
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.run import Run
from tests.examples import write_bundle, write_dataset

BAD = ["soft_nms.decay=0.1", "soft_nms.threshold_short=0.0", "soft_nms.threshold_long=0.0"]


@pytest.fixture(scope="module", params=["rescale", "window"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ProposeRequest:
    """Return a run whose suppression is too strong; its request's `subset` is the validation."""
    mode: Literal["rescale", "window"] = request.param
    folder = tmp_path_factory.mktemp(mode)
    write_bundle(folder / "bundle", mode=mode)
    write_dataset(folder / "set", videos=40)
    asked = ProposeRequest(folder / "bundle", folder / "set", folder / "run")
    asked = replace(asked, subset="validation", changes=read_changes(BAD))
    propose(asked)
    return asked


def test_better_settings_are_found_and_do_what_was_promised(
    made: ProposeRequest, tmp_path: Path
) -> None:
    assert made.out is not None
    assert made.dataset is not None
    found = tune(made.out, made.dataset, seed=1)
    assert found.tuning.gain > 1
    assert found.is_recommended == (found.held_out.gain >= 0.01)
    propose(replace(made, changes=dict(found.changes), out=tmp_path / "result.json"))
    videos = Videos(v for v in read_annotations(made.dataset) if v.subset == "validation")
    chosen = held_out(videos, videos.ids, 0.5, 1)
    for part, wanted in ((found.tuning, False), (found.held_out, True)):
        own = videos.select(np.flatnonzero(chosen == wanted).tolist())
        assert part.now.videos == part.groups == len(own)
        before = evaluate_recall(own, made.out, subset=None).summary()
        after = evaluate_recall(own, tmp_path / "result.json", subset=None).summary()
        assert part.now.summary() == pytest.approx(before)
        assert part.best.summary() == pytest.approx(after)


def test_changes_of_the_run_are_kept(made: ProposeRequest) -> None:
    assert made.out is not None
    assert made.dataset is not None
    found = tune(made.out, made.dataset)
    config = from_dict(PipelineConfig, Run.load(made.out).info["pipeline"], where="run")
    best = with_changes(config, read_changes(found.settings))
    assert with_changes(config, found.changes) == best
    assert {"decay", "threshold_short", "threshold_long"} <= found.changes["soft_nms"].keys()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_recommended_that_does_not_win(made: ProposeRequest, seed: int) -> None:
    assert made.out is not None
    assert made.dataset is not None
    found = tune(made.out, made.dataset, seed=seed, held_out=0.8)
    assert found.tuning.gain >= 0
    assert not found.is_recommended or found.held_out.best.auc > found.held_out.now.auc
    assert bool(found.settings) == (found.tuning.gain > 0)
    assert any("so a small difference may be chance" in note for note in found.notes)


def test_the_search_ends_where_nothing_is_better(
    made: ProposeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made.out is not None
    assert made.dataset is not None
    monkeypatch.setattr(tuning, "SWEEP", {"soft_nms.decay": (0.1,)})
    found = tune(made.out, made.dataset)
    assert (found.settings, found.tried, found.is_recommended) == ([], 1, False)
    assert found.tuning.gain == found.held_out.gain == 0


def test_faults_are_named(made: ProposeRequest, tmp_path: Path) -> None:
    assert made.out is not None
    assert made.dataset is not None
    with pytest.raises(AnnotationError, match="has candidates of none of the annotated videos"):
        tune(made.out, made.dataset, subset="training")
    with pytest.raises(ConfigError, match="of 1 group, video has instances"):
        tune(made.out, made.dataset, by="^(video)")
    with pytest.raises(ResultError, match="not a run"):
        tune(tmp_path, made.dataset)


def run_tune(made: ProposeRequest, *options: object) -> Result:
    line = ["tune", made.out, "--ground-truth", made.dataset, *options]
    return CliRunner().invoke(main, list(map(str, line)))


def test_the_command_writes_settings_that_propose_takes(
    made: ProposeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    monkeypatch.chdir(tmp_path)
    done = run_tune(made, "--seed", "1", "--out", file)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    (number,) = (n for n, line in enumerate(lines) if line.endswith("may be chance; to try them:"))
    rows = [
        line.split() for line in done.stdout.splitlines() if " now " in line or " best " in line
    ]
    assert [row[:2] for row in rows[::2]] == [["tuning", "now"], ["held", "out"]]
    printed = shlex.split(lines[number + 1])
    assert printed[0] == "actspan"
    assert printed[-4:] == ["--settings", str(file), "--out", "run-tuned"]
    proposed = CliRunner().invoke(main, printed[1:])
    assert proposed.exit_code == 0, proposed.output
    config = from_dict(PipelineConfig, Run.load("run-tuned").info["pipeline"], where="run")
    assert with_changes(config, read_changes(file=file)) == config
    again = run_tune(made, "--out", file)
    assert "already exists; --force replaces it" in again.stderr


def test_label_free_runs_are_tuned_by_what_acts_on_them(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", videos=8)
    propose(ProposeRequest(dataset=tmp_path / "set", out=tmp_path / "run"))
    found = tune(tmp_path / "run", tmp_path / "set", subset=None)
    alone = sum(map(len, SWEEP.values())) - len(SWEEP["fusion.start"] + SWEEP["fusion.end"])
    assert found.tried <= 3 * alone
    assert not {"fusion.start", "fusion.end"} & {text.split("=")[0] for text in found.settings}
    words = Run.load(tmp_path / "run").propose_options()
    assert words == ["--dataset", str(tmp_path / "set")]


def test_json_has_both_parts(made: ProposeRequest) -> None:
    answer = json.loads(run_tune(made, "--seed", "1", "--json").stdout)
    assert answer["tuning"]["best"]["AUC"] > answer["tuning"]["now"]["AUC"]
    assert answer["recommended"] is True
    assert answer["options"][0] == "--set"
    assert answer["tuning"]["groups"] + answer["held_out"]["groups"] == 20


def test_no_file_is_written_without_a_recommendation(
    made: ProposeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning.Tuning, "is_recommended", False)
    done = run_tune(made, "--seed", "1", "--out", tmp_path / "settings.toml")
    assert done.exit_code == 1
    assert "not recommended: AUC on the held-out part changes by" in done.stdout
    assert "settings.toml: not written, because no settings are recommended" in done.stderr
    assert not (tmp_path / "settings.toml").exists()


def test_the_sweep_holds_the_defaults() -> None:
    for key, values in SWEEP.items():
        stage, name = key.split(".")
        default = getattr(getattr(PipelineConfig(), stage), name)
        assert default in values
        assert list(values) == sorted(values)
