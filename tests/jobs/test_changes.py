"""`propose` with changed settings: recorded, compared on resuming, equal to a later suppression."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from actspan import Pipeline, Proposals, Run
from actspan.cli import main
from actspan.config.base import from_dict
from actspan.config.changes import read_changes, with_changes
from actspan.config.stages import PipelineConfig
from actspan.core.errors import ConfigError, ResultError
from actspan.data.result_files import read_result
from actspan.jobs.driver import LocalEngine, propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.resuppression import suppress_again
from tests.examples import write_bundle, write_dataset

SETTINGS = ["soft_nms.decay=0.2", "soft_nms.keep=7", "fusion.confidence=0.5", "fusion.start=2"]


def made(folder: Path, mode: Literal["rescale", "window"] = "rescale") -> ProposeRequest:
    write_bundle(folder / "bundle", mode=mode)
    write_dataset(folder / "set", videos=5)
    return ProposeRequest(folder / "bundle", folder / "set", folder / "run", shard_size=2)


def suppressed(run: Run, changes: dict[str, Any]) -> Iterator[tuple[str, Proposals]]:
    config = with_changes(from_dict(PipelineConfig, run.info["pipeline"], where="run"), changes)
    with run.scores() as scores:
        for video, parts in groupby(run.candidates(), key=attrgetter("video")):
            yield video, suppress_again(list(parts), config, len(scores.read(video)))


@pytest.mark.parametrize("mode", ["rescale", "window"])
@pytest.mark.parametrize("texts", [[], SETTINGS], ids=["own", "changed"])
def test_changes_act_as_on_the_candidates_of_a_run(
    tmp_path: Path, mode: Literal["rescale", "window"], texts: list[str]
) -> None:
    request, changes = made(tmp_path, mode), read_changes(texts)
    manifest = (tmp_path / "bundle" / "model.toml").read_bytes()
    propose(request)
    propose(replace(request, out=tmp_path / "result.json", changes=changes))
    found = read_result(tmp_path / "result.json")
    again = dict(suppressed(Run.load(tmp_path / "run"), changes))
    assert found.keys() == again.keys()
    for video, proposals in found.items():
        for name in ("start", "end", "score"):
            written, own = getattr(proposals, name), getattr(again[video], name)
            np.testing.assert_allclose(written, own, rtol=1e-9, atol=1e-9)
    assert max(map(len, found.values())) <= 7 or not texts
    assert (tmp_path / "bundle" / "model.toml").read_bytes() == manifest


def test_missing_onnx_files_are_added_without_the_changes(tmp_path: Path) -> None:
    request = made(tmp_path)
    manifest = (tmp_path / "bundle" / "model.toml").read_text()
    for net in ("tem", "pem"):
        (tmp_path / "bundle" / f"{net}.onnx").unlink(missing_ok=True)
    without = manifest.split("[files")[0]
    records = [f"[files{part}" for part in manifest.split("[files")[1:] if ".onnx" not in part]
    (tmp_path / "bundle" / "model.toml").write_text(without + "".join(records))
    propose(replace(request, changes={"soft_nms": {"decay": 0.2}}))
    after = (tmp_path / "bundle" / "model.toml").read_text()
    assert "tem.onnx" in after
    assert "decay = 0.75" in after


def test_the_pipeline_takes_the_settings(tmp_path: Path) -> None:
    request = made(tmp_path)
    config = with_changes(PipelineConfig(), {"soft_nms": {"keep": 3}})
    with Pipeline.load(request.model) as own:
        config = with_changes(own.config, {"soft_nms": {"keep": 3}})
    with Pipeline.load(request.model, config=config) as pipeline:
        assert pipeline.config.soft_nms.keep == 3


def test_changes_act_without_networks(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", videos=2)
    texts = ["soft_nms.keep=3", "label_free.keep=20"]
    request = ProposeRequest(dataset=tmp_path / "set", out=tmp_path / "run")
    propose(replace(request, changes=read_changes(texts)))
    run = Run.load(tmp_path / "run")
    assert sorted(run.changes) == sorted(texts)
    assert {len(found) for found in run.proposals().values()} == {3}
    assert {len(part.proposals) for part in run.candidates()} == {20}


def test_changes_are_recorded(tmp_path: Path) -> None:
    request = made(tmp_path)
    propose(replace(request, changes=read_changes(SETTINGS)))
    info = Run.load(tmp_path / "run").info
    assert sorted(info["changes"]) == sorted([*SETTINGS[:3], "fusion.start=2.0"])
    assert info["pipeline"]["soft_nms"]["decay"] == 0.2
    propose(replace(request, out=tmp_path / "own"))
    assert "changes" not in Run.load(tmp_path / "own").info


class Stopped(LocalEngine):
    """Engine that stops after the first shard."""

    def run(self, *arguments: Any) -> Iterator[Any]:
        yield next(super().run(*arguments))
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ([], ["soft_nms.decay=0.2"], "changes was none, is soft_nms.decay=0.2"),
        (["soft_nms.decay=0.2"], [], "changes was soft_nms.decay=0.2, is none"),
        (["soft_nms.decay=0.2"], ["soft_nms.decay=0.3"], "is soft_nms.decay=0.3"),
    ],
)
def test_a_job_is_resumed_with_the_same_settings_only(
    tmp_path: Path, first: list[str], then: list[str], message: str
) -> None:
    request = replace(made(tmp_path), changes=read_changes(first))
    with pytest.raises(KeyboardInterrupt):
        propose(request, engine=Stopped)
    resumed = replace(request, resume=True)
    with pytest.raises(ResultError, match=message):
        propose(replace(resumed, changes=read_changes(then)))
    assert propose(resumed).kept == 2
    assert propose(resumed).kept == 5  # it is complete


def test_rescaling_has_no_effect_on_scores(tmp_path: Path) -> None:
    request = made(tmp_path)
    propose(request)
    again = replace(request, scores=request.out, out=tmp_path / "again.json")
    with pytest.raises(ConfigError, match=r"rescale.edge has no effect on boundary scores"):
        propose(replace(again, changes={"rescale": {"edge": "zero"}}))


def test_the_command(tmp_path: Path) -> None:
    made(tmp_path)
    line = ["propose", "--model", tmp_path / "bundle", "--dataset", tmp_path / "set"]
    line += ["--out", tmp_path / "run"]
    good = CliRunner().invoke(main, [*map(str, line), "--set", "soft_nms.keep=3"])
    assert good.exit_code == 0, good.output
    assert "15 proposals" in good.stderr
    bad = CliRunner().invoke(main, [*map(str, line), "--force", "--set", "tem.length=30"])
    assert bad.exit_code == 1
    assert "tem.length cannot be changed from 20 to 30" in bad.stderr
