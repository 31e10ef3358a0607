"""Ids of videos that would lead outside the folder if they were used as file names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.data_requests import PackRequest
from actspan.data.pack import pack_dataset
from actspan.deploy.deploy_requests import StageRequest
from actspan.deploy.staged.video_inputs import write_video_inputs
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import CHANNELS, write_bundle

IDS = ["../../x", "/tmp/actspan-x", "a/b", "..", "con", "x\ny", "-rf", "\u202egpj", "%2e%2e%2fx"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("hostile") / "bundle").path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "er" / "set"
    folder.mkdir(parents=True)
    rows = np.random.default_rng(0).normal(size=(30, CHANNELS)).astype(np.float32)
    np.savez(folder / "features.npz", **dict.fromkeys(IDS, rows))
    (folder / "dataset.toml").write_text(
        f"[features]\nchannels = {CHANNELS}\nstride_seconds = 0.5\n"
    )
    segments = [{"segment": [1.0, 4.0], "label": "../../label"}]
    entry = {"subset": "test", "duration": 15.0, "annotations": segments}
    document = {"database": dict.fromkeys(IDS, entry)}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def packed(dataset: Path, bundle: Path, out: Path) -> None:
    assert pack_dataset(PackRequest(dataset, out)).manifest.videos == len(IDS)


def proposed(dataset: Path, bundle: Path, out: Path) -> None:
    propose(ProposeRequest(model=bundle, dataset=dataset, out=out, backend="onnxruntime"))
    assert (out / "result.json").is_file()


def staged(dataset: Path, bundle: Path, out: Path) -> None:
    write_video_inputs("tem", StageRequest(dataset=dataset, model=bundle, out=out))
    assert len(list((out / "tem" / "input").iterdir())) == len(IDS)


def converted(format: str) -> Callable[[Path, Path, Path], None]:
    def write(dataset: Path, bundle: Path, out: Path) -> None:
        written = write_annotations(out, read_annotations(dataset).videos, format=format)
        assert all(file.parent == out for file in written)

    return write


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(packed, id="pack"),
        pytest.param(proposed, id="propose"),
        pytest.param(staged, id="staged"),
        pytest.param(converted("elan"), id="elan"),
        pytest.param(converted("vtt"), id="vtt"),
    ],
)
def test_nothing_is_written_elsewhere(
    work: Callable[[Path, Path, Path], None], dataset: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "er" / "out"
    before = set(tmp_path.rglob("*"))
    work(dataset, bundle, out)
    new = set(tmp_path.rglob("*")) - before
    assert new
    assert all(out == path or out in path.parents for path in new)
    assert not Path("/tmp/actspan-x").exists()
    assert not list(Path("/tmp").glob("actspan-x.*"))
