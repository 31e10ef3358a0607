"""From published checkpoints of BMN and features to the published results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from actspan import Features
from actspan.config.bmn import BmnPreset
from actspan.model.conversion import convert_checkpoints
from actspan.runtime.opening import open_net
from tests.bmn_data import CODES, result_seconds
from tests.bmn_sessions import outcomes_of

pytest.importorskip("torch", reason="needs the extra 'train'")

FILES: dict[BmnPreset, str] = {
    "jjboy2020": "bmn_made_up.pth.tar",
    "mmaction2": "bmn_made_up_mmaction2.pth",
}


@pytest.mark.parametrize("preset", FILES)
def test_a_converted_checkpoint_gives_the_published_result(
    preset: BmnPreset, data: Path, tmp_path: Path
) -> None:
    folder = data / "bmn"
    path = folder / FILES[preset]
    bundle, _ = convert_checkpoints([path], tmp_path / "bmn", preset=preset)
    videos = json.loads((folder / "videos.json").read_text())
    expected = json.loads((folder / CODES[preset][1]).read_text())["results"]
    names, features = [], []
    with np.load(folder / "stages.npz") as stages:
        for name, info in videos.items():
            if f"{name}/feature" in stages:  # the other two are maps without features
                names.append(name.removeprefix("v_"))
                stride = info["duration_second"] / 100
                seconds = result_seconds(name, info, preset)
                features.append(Features(stages[f"{name}/feature"], stride, stride, seconds))
    assert len(names) == 8
    outcomes = outcomes_of(open_net(bundle, "bmn", backend="torch"), bundle.config, features)
    for name, outcome in zip(names, outcomes, strict=True):
        found, rows = outcome.proposals, expected[name]
        assert found is not None
        segments = [row["segment"] for row in rows]
        np.testing.assert_allclose(np.c_[found.start, found.end], segments, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.score, [row["score"] for row in rows], rtol=1e-4)
