"""The Python interface: types as users see them, options of the commands, a fast import."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import pytest

import actspan
from actspan.cli.datasets import extract
from actspan.cli.evaluate import evaluate
from actspan.cli.propose import propose
from actspan.cli.train import train
from actspan.core.errors import ConfigError, ResultError
from tests.conftest import ROOT
from tests.examples import write_bundle, write_dataset

CONSUMER = ROOT / "tests" / "typed_consumer.py"
IMPORT = 0.15  # seconds for `import actspan`; it takes 0.01 on a quiet machine

# Options that only a command has: output, the workers of Ray, and live videos.
_RAY = {"engine", "address", "workers", "worker_cpus", "worker_gpus", "worker_resources"}
_LIVE = {"follow", "idle", "reconnect", "reconnect_delay", "clips"}
_COMMAND = {"json_", *_RAY}


@pytest.mark.parametrize(
    ("function", "command", "only_command", "only_function"),
    [
        (actspan.propose, propose, {*_COMMAND, *_LIVE, "set_"}, {"progress", "engine"}),
        (actspan.extract, extract, _COMMAND, {"progress", "engine"}),
        (actspan.train, train, _COMMAND, {"report", "checked"}),
        (actspan.evaluate, evaluate, {*_COMMAND, "plot", "diagnose"}, set()),
    ],
    ids=["propose", "extract", "train", "evaluate"],
)
def test_options_are_those_of_the_command(
    function: Callable[..., Any],
    command: click.Command,
    only_command: set[str],
    only_function: set[str],
) -> None:
    parameters = inspect.signature(function).parameters
    options = {param.name: param for param in command.params}
    assert parameters.keys() - only_function == options.keys() - only_command
    context = click.Context(command)
    for name in parameters.keys() - only_function - {"model", "videos"}:
        default = parameters[name].default
        if not options[name].required and default is not inspect.Parameter.empty:
            assert (default or None) == (options[name].get_default(context) or None), name


def test_a_strict_mypy_accepts_the_documented_examples(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy (extra 'dev')")
    check(tmp_path, sys.executable, "-m", "mypy", "--strict", "--config-file=", "consumer.py")


def test_a_strict_pyright_accepts_the_documented_examples(tmp_path: Path) -> None:
    pyright = ROOT / "node_modules" / ".bin" / "pyright"
    if not pyright.exists():
        pytest.skip("needs pyright, a package of npm: make lint-page installs it")
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    node = shutil.which("node", path=places)
    if node is None:
        pytest.skip("needs node (extra 'dev')")
    settings = {"typeCheckingMode": "strict", "reportMissingTypeStubs": False}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    check(tmp_path, node, str(pyright.resolve()), "--pythonpath", sys.executable)


def check(folder: Path, *command: str) -> None:
    """Check the program of a user, who has the package installed, and that a fault is found."""
    environment = {**os.environ, "PYTHONPATH": str(Path(actspan.__file__).parents[1])}
    program = CONSUMER.read_text(encoding="utf-8")
    for text, is_right in ((program, True), (program.replace("top=5", "best=5"), False)):
        (folder / "consumer.py").write_text(text, encoding="utf-8")
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert (done.returncode == 0) == is_right, done.stdout + done.stderr


def test_the_import_is_fast() -> None:
    code = "import time; t = time.perf_counter(); import actspan; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        for _ in range(7)
    ]
    assert median(times) < IMPORT, times


def test_all_steps_in_python(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    dataset = actspan.Dataset.load(write_dataset(tmp_path / "set", videos=6))
    seen: list[actspan.Dataset] = []
    bundle = actspan.train(
        dataset,
        out=tmp_path / "model",
        epochs=1,
        length=20,
        tem_hidden=8,
        pem_hidden=8,
        classifier=True,
        checked=seen.append,
    )
    assert bundle.config.tem is not None
    assert (bundle.config.tem.length, bundle.config.tem.hidden) == (20, 8)
    assert len(seen[0]) == 6
    run = actspan.propose(
        dataset=dataset.path, model=bundle.path, subset="validation", out=tmp_path / "run", top=50
    )
    assert isinstance(run, actspan.Run)
    result = actspan.evaluate(run, ground_truth=dataset)
    with actspan.load(bundle) as model:
        found = list(model.propose(dataset.subset("validation"), top=50))
        labelled = list(model.propose(dataset.subset("validation"), detections=True))
    in_memory = actspan.evaluate(found, ground_truth=dataset)
    assert in_memory.summary() == result.summary()
    by_id = {proposals.video or "": proposals for proposals in found}
    assert actspan.evaluate(by_id, ground_truth=dataset.path).summary() == result.summary()
    detections = actspan.evaluate(labelled, ground_truth=dataset, task="detection")
    assert detections.classes == ("act",)


def test_evaluation_of_proposals_that_lack_something() -> None:
    video = actspan.Video("a", 60.0, "validation", np.array([[10.0, 20.0]]), ("run",))
    found = actspan.Proposals([10], [19], [0.9], unit="seconds")
    with pytest.raises(ResultError, match=r"without the id of their video.*of_video\(id\)"):
        actspan.evaluate([found], ground_truth=[video])
    own = found.of_video("a")
    with pytest.raises(ResultError, match="two Proposals of video 'a'"):
        actspan.evaluate([own, own], ground_truth=[video])
    with pytest.raises(ResultError, match="proposals of video 'a' under the id 'b'"):
        actspan.evaluate({"b": own}, ground_truth=[video])
    with pytest.raises(ResultError, match="'a': proposals without labels"):
        actspan.evaluate({"a": found}, ground_truth=[video], task="detection")
    with pytest.raises(ConfigError, match="no effect on detections"):
        actspan.evaluate({"a": found}, ground_truth=[video], task="detection", max_proposals=5)


def test_one_result_is_enough_for_an_evaluation() -> None:
    video = actspan.Video("a", 60.0, "validation", np.array([[10.0, 20.0]]), ("run",))
    found = actspan.Proposals([10], [20], [0.9], unit="seconds", video="a")
    expected = actspan.evaluate([found], ground_truth=[video]).summary()
    assert actspan.evaluate(found, ground_truth=[video]).summary() == expected
    for wrong in (5, [5], list(found), {"a": 5}):
        with pytest.raises(ResultError, match="cannot be evaluated: give a run"):
            actspan.evaluate(wrong, ground_truth=[video])  # type: ignore[call-overload]
    for wrong in (5, [5], video):
        with pytest.raises(ResultError, match="cannot be evaluated: give the path of annotations"):
            actspan.evaluate(found, ground_truth=wrong)  # type: ignore[call-overload]


def test_a_result_file_is_for_the_command(tmp_path: Path) -> None:
    bundle, dataset = write_bundle(tmp_path / "m"), write_dataset(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"found\.json: a run is a folder"):
        actspan.propose(dataset=dataset, model=bundle.path, out=tmp_path / "found.json")
