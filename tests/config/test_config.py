from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import PgmConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.config.base import dump_toml, from_dict, read_toml, to_dict
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ConfigError


@given(
    peak_ratio=st.floats(0, 1),
    keep=st.integers(1, 5000),
    channels=st.integers(1, 4096),
    decay=st.floats(0.01, 10),
)
def test_settings_survive_toml(
    tmp_path_factory: pytest.TempPathFactory,
    peak_ratio: float,
    keep: int,
    channels: int,
    decay: float,
) -> None:
    config = PipelineConfig(
        tem=TemConfig(channels=channels),
        pgm=PgmConfig(peak_ratio=peak_ratio, keep=keep),
        soft_nms=SoftNmsConfig(decay=decay),
    )
    file = tmp_path_factory.getbasetemp() / "config.toml"
    file.write_text(dump_toml(to_dict(config)))
    assert from_dict(PipelineConfig, read_toml(file), where="test") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            {"pgm": {"kep": 1}},
            r"unknown key 'kep' in pgm \(did you mean 'keep'\?\); known are: .*keep",
            id="unknown-key",
        ),
        pytest.param({"pem ": {}}, "unknown key 'pem '.*; known are: mode, tem, pem", id="table"),
        pytest.param(
            {"pgm": {"keep": "many"}},
            "pgm.keep: a whole number is needed, not a text",
            id="wrong-type",
        ),
        pytest.param({"tem": 3}, "tem: a table is needed, not a whole number", id="no-table"),
        pytest.param(
            {"classifier": {"labels": ["a", 2], "channels": 4}},
            r"classifier.labels\[1\]: a text is needed, not a whole number",
            id="in-a-list",
        ),
        pytest.param(
            {"classifier": {"labels": ["a"]}}, "key 'channels' is missing in classifier", id="lack"
        ),
        pytest.param(
            {"rescale": {"edge": "clam"}},
            "rescale.edge: 'clam' is not allowed; allowed are: 'auto', 'clamp', 'zero'",
            id="choice",
        ),
        pytest.param({"pgm": {"peak_ratio": 2.0}}, "peak_ratio", id="out-of-range"),
    ],
)
def test_bad_settings_name_place_and_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"model.toml.*{message}"):
        from_dict(PipelineConfig, values, where="model.toml")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"stride_frames": 16, "stride_seconds": 0.5}, id="two-units"),
        pytest.param({"length_frames": 16}, id="length-without-stride"),
        pytest.param({"stride_seconds": -1}, id="negative"),
    ],
)
def test_grids_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        from_dict(FeatureSpec, values, where="dataset.toml")


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.toml"
    file.write_text("a = ")
    with pytest.raises(ConfigError, match=r"model\.toml"):
        read_toml(file)
