"""Changes of a model's settings: `--set KEY=VALUE` and files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import FusionConfig, PemConfig, PgmConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.config.base import dump_toml, read_toml, to_dict
from actspan.config.bmn import BmnConfig, MatchingConfig
from actspan.config.changes import (
    changeable,
    changes_between,
    read_changes,
    settings_file,
    settings_text,
    with_changes,
)
from actspan.config.stages import LabelFreeConfig, RescaleConfig
from actspan.core.errors import ConfigError

MODEL = PipelineConfig(tem=TemConfig(), pem=PemConfig())
exponents = st.floats(0, 100)
configs = st.builds(
    PipelineConfig,
    tem=st.just(MODEL.tem),
    pem=st.just(MODEL.pem),
    rescale=st.builds(RescaleConfig, edge=st.sampled_from(["auto", "clamp", "zero"])),
    pgm=st.builds(PgmConfig, peak_ratio=st.floats(0, 1), keep=st.integers(1, 5000)),
    fusion=st.builds(FusionConfig, start=exponents, end=exponents, confidence=exponents),
    soft_nms=st.builds(
        SoftNmsConfig,
        threshold_short=st.floats(-2, 2),
        threshold_long=st.floats(-2, 2),
        decay=st.floats(0.01, 10),
        picks=st.integers(1, 500),
        keep=st.integers(1, 500),
        union=st.sampled_from(["pick-first", "neighbour-first"]),
        leave_last=st.booleans(),
    ),
)


@given(old=configs, new=configs)
def test_differences_are_changes(
    tmp_path_factory: pytest.TempPathFactory, old: PipelineConfig, new: PipelineConfig
) -> None:
    # Options and a file with the differences lead from one config to the other.
    changes = changes_between(old, new)
    assert with_changes(old, read_changes(settings_text(changes))) == new
    file = tmp_path_factory.getbasetemp() / "settings.toml"
    file.write_text(settings_file(changes))
    if old != new:
        assert with_changes(old, read_changes(file=file)) == new


def test_options_have_precedence_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[pipeline.soft_nms]\ndecay = 0.4\nkeep = 50\n")
    found = with_changes(MODEL, read_changes(["soft_nms.decay=0.5", "pgm.keep=7"], file))
    assert settings_text(changes_between(MODEL, found)) == [
        "pgm.keep=7",
        "soft_nms.decay=0.5",
        "soft_nms.keep=50",
    ]


def test_the_settings_of_a_bundle_are_a_file_of_settings(tmp_path: Path) -> None:
    other = with_changes(MODEL, {"soft_nms": {"decay": 0.4}})
    file = tmp_path / "model.toml"
    file.write_text(dump_toml({"pipeline": to_dict(other)}))
    assert read_toml(file)["pipeline"]["tem"]["length"] == 100
    assert with_changes(MODEL, read_changes(file=file)) == other


def test_label_free_proposals_have_no_weight_of_label_free_support() -> None:
    alone = PipelineConfig(label_free=LabelFreeConfig())
    assert "fusion.confidence" in changeable(alone)
    with pytest.raises(ConfigError, match="no effect without networks"):
        with_changes(alone, {"fusion": {"label_free": 1.0}})


def test_all_changeable_settings_exist() -> None:
    assert changeable() == [
        *("rescale.edge", "pgm.peak_ratio", "pgm.keep"),
        *("fusion.start", "fusion.end", "fusion.confidence", "fusion.label_free"),
        *("soft_nms.threshold_short", "soft_nms.threshold_long", "soft_nms.decay"),
        *("soft_nms.picks", "soft_nms.keep", "soft_nms.union", "soft_nms.leave_last"),
    ]


def test_a_model_has_the_settings_of_its_candidates() -> None:
    bmn = PipelineConfig(bmn=BmnConfig())
    changed = with_changes(bmn, read_changes(["matching.keep=500", "matching.end=next"]))
    assert changed.matching == MatchingConfig(keep=500, end="next")
    with pytest.raises(ConfigError, match=r"pgm.keep has no effect on BMN; .*matching.peak_ratio"):
        with_changes(bmn, {"pgm": {"keep": 500}})
    with pytest.raises(ConfigError, match=r"matching.keep has no effect on TEM and PEM"):
        with_changes(MODEL, {"matching": {"keep": 500}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "soft_nms.decy=1",
            r"--set soft_nms.decy=1: unknown key 'decy' in soft_nms \(did you mean",
        ),
        ("sof_nms.decay=1", r"unknown key 'sof_nms' \(did you mean 'soft_nms'"),
        ("soft_nms.decay=high", "soft_nms.decay: a number is needed, not a text"),
        ("soft_nms.decay=0", "soft_nms: decay must be above 0, not 0"),
        ("soft_nms.threshold_long=nan", "a finite number is needed"),
        ("soft_nms=0.5", "soft_nms: a table is needed, not a number"),
        ("rescale.edge=clam", "'clam' is not allowed; allowed are: 'auto', 'clamp', 'zero'"),
        ("soft_nms.decay", "KEY=VALUE is needed, as in soft_nms.decay=0.4"),
        ("=3", "KEY=VALUE is needed"),
        ("soft_nms.decay=0.4\npgm.keep=3", "a number is needed, not a text"),
    ],
)
def test_bad_options_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_changes([text])


def test_two_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set pgm.keep: two values, 3 and 4; give one"):
        read_changes(["pgm.keep=3", "pgm.keep=4"])
    assert read_changes(["pgm.keep=3", "pgm.keep=3"]) == {"pgm": {"keep": 3}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"settings.toml: is empty; a file of settings has the table \[pipeline\]"),
        ("[soft_nms]\ndecay = 0.4", "settings.toml: contains soft_nms; .*as in .pipeline.soft_nms"),
        ("[pipeline.soft_nms]\ndecay = 'x'", "settings.toml: soft_nms.decay: a number is needed"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_changes(file=file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tem.length=50", "tem.length cannot be changed from 100 to 50 .*networks depend on it"),
        ("bsp.boundary_ratio=0.3", "bsp.boundary_ratio cannot be changed from 0.2 to 0.3"),
        ("mode=window", "mode cannot be changed from rescale to window"),
        ("pgm.keep_training=9", "pgm.keep_training cannot .*acts on training only. .*pgm.keep,"),
    ],
)
def test_contradictions_of_the_networks_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_changes(MODEL, read_changes([text]))
    assert with_changes(MODEL, read_changes(["tem.length=100"])) == MODEL


def test_rescaling_has_no_effect_on_windows() -> None:
    with pytest.raises(ConfigError, match=r"rescale.edge has no effect on this model"):
        with_changes(PipelineConfig(mode="window"), {"rescale": {"edge": "zero"}})


def test_changes_of_a_label_free_model() -> None:
    config = PipelineConfig(mode="window", label_free=LabelFreeConfig())
    assert with_changes(config, read_changes(["label_free.contrast=1"])).label_free == (
        LabelFreeConfig(contrast=1.0)
    )
    for change in ("pgm.keep=10", "fusion.start=0.25", "fusion.end=2", "rescale.edge=zero"):
        key = change.partition("=")[0]
        with pytest.raises(ConfigError, match=f"{key} has no effect without networks"):
            with_changes(config, read_changes([change]))
