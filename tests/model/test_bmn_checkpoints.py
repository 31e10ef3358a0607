from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from safetensors.numpy import save_file

from actspan import BmnConfig, Bundle
from actspan.config.bmn import BmnPreset
from actspan.config.bmn_presets import BMN_PIPELINES
from actspan.core.errors import BundleError, CheckpointError
from actspan.core.types import Float32
from actspan.model.bmn.sampling import sample_mask
from actspan.model.checkpoints import read_checkpoint
from actspan.model.conversion import convert_checkpoints
from actspan.model.forward import network_outputs
from actspan.model.weights import pack_weights
from tests.model.bmn_checkpoints import SMALL, State, jjboy_arrays, paddle_state, weights
from tests.model.test_checkpoints import pem_state, save, tem_state

SHEARED = replace(SMALL, axes="duration-start")


def tensors(arrays: dict[str, Float32]) -> State:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def jjboy(config: BmnConfig = SMALL, **options: Any) -> State:
    return {"epoch": 9, "state_dict": tensors(jjboy_arrays(config, **options))}


def openmmlab(config: BmnConfig = SHEARED, **options: Any) -> State:
    return {"meta": {}, "state_dict": tensors(jjboy_arrays(config, prefix="", **options))}


def bare(config: BmnConfig = SMALL, **options: Any) -> State:
    return {"state_dict": tensors(jjboy_arrays(config, prefix="", **options))}


def with_valid_cells(state: State, shape: tuple[int, int], prefix: str = "") -> State:
    durations, starts = np.indices(shape)
    valid = torch.from_numpy((durations + starts < shape[1]).astype(np.float32))
    state["state_dict"][f"{prefix}bm_mask"] = valid
    return state


@pytest.mark.parametrize(
    ("content", "given", "preset", "origin", "config"),
    [
        pytest.param(jjboy(), None, "jjboy2020", "jjboy", SMALL, id="jjboy"),
        pytest.param(jjboy(), "jjboy2020", "jjboy2020", "jjboy", SMALL, id="named"),
        pytest.param(jjboy(SHEARED), None, "jjboy2019", "jjboy", SHEARED, id="jjboy of 2019"),
        pytest.param(jjboy(SHEARED), "mmaction2", "mmaction2", "jjboy", SHEARED, id="as named"),
        pytest.param(
            jjboy(mask=False),
            "jjboy2020",
            "jjboy2020",
            "jjboy",
            replace(SMALL, length=100),
            id="jjboy without a mask",
        ),
        pytest.param(openmmlab(), None, "mmaction2", "openmmlab", SHEARED, id="openmmlab"),
        pytest.param(
            openmmlab(mask=False),
            None,
            "mmaction2",
            "openmmlab",
            replace(SHEARED, length=100),
            id="openmmlab without a mask",
        ),
        pytest.param(
            with_valid_cells(openmmlab(mask=False), (6, 6)),
            None,
            "mmaction2",
            "openmmlab",
            SHEARED,
            id="openmmlab with its valid cells",
        ),
        pytest.param(
            with_valid_cells(openmmlab(mask=False), (4, 6)),
            None,
            "mmaction2",
            "openmmlab",
            replace(SHEARED, durations=4),
            id="valid cells of short durations",
        ),
        pytest.param(
            openmmlab(replace(SHEARED, durations=4)),
            None,
            "mmaction2",
            "openmmlab",
            replace(SHEARED, durations=4),
            id="short durations",
        ),
        pytest.param(bare(), None, "jjboy2020", "pytorch", SMALL, id="told by the mask alone"),
        pytest.param(bare(SHEARED), "jjboy2019", "jjboy2019", "pytorch", SHEARED, id="bare"),
    ],
)
def test_the_preset_and_the_sizes_are_those_of_the_file(
    tmp_path: Path,
    content: State,
    given: BmnPreset | None,
    preset: BmnPreset,
    origin: str,
    config: BmnConfig,
) -> None:
    checkpoint = read_checkpoint(save(tmp_path / "x.pth", content), preset=given)
    assert (checkpoint.kind, checkpoint.preset, checkpoint.origin) == ("bmn", preset, origin)
    assert checkpoint.config == config
    expected = weights(config)
    assert checkpoint.weights.keys() == expected.keys()  # and no mask
    for name, array in checkpoint.weights.items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("numpy", ["numpy.core", "numpy._core"])
def test_paddle_is_read_without_its_own_package(
    tmp_path: Path, protocol: int, numpy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(paddle_state(), protocol=protocol)
    here = b"numpy._core.multiarray" if b"numpy._core" in data else b"numpy.core.multiarray"
    there = f"{numpy}.multiarray".encode()
    data = data.replace(bytes([len(here)]) + here, bytes([len(there)]) + there)
    (tmp_path / "x.pdparams").write_bytes(_without_frames(data).replace(here, there))
    monkeypatch.setattr(torch, "load", None)
    checkpoint = read_checkpoint(tmp_path / "x.pdparams", length=6)
    assert (checkpoint.kind, checkpoint.preset, checkpoint.origin) == ("bmn", "paddle", "paddle")
    assert (checkpoint.config, checkpoint.notes) == (SHEARED, ())
    for name, array in checkpoint.weights.items():
        np.testing.assert_array_equal(array, weights()[name])


def _without_frames(data: bytes) -> bytes:
    """Remove the sizes that protocol 4 writes ahead, which a changed name makes wrong."""
    while (at := data.find(b"\x95")) == 2:
        data = data[:at] + data[at + 9 :]
    return data


NO_PRESET = "does not tell which code its BMN belongs to"


def damaged(state: State, change: float) -> State:
    state["state_dict"]["module.sample_mask"][2, 3] += change
    return state


def with_mask(mask: Float32) -> State:
    return jjboy(mask=False) | {
        "state_dict": jjboy(mask=False)["state_dict"]
        | {"module.sample_mask": torch.from_numpy(mask)}
    }


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        pytest.param(jjboy(mask=False), None, NO_PRESET + ".*jjboy2020 or jjboy2019", id="no mask"),
        pytest.param(bare(mask=False), None, NO_PRESET, id="no mask, no prefix"),
        pytest.param(bare(SHEARED), None, NO_PRESET + ".*jjboy2019 or mmaction2", id="no form"),
        pytest.param(
            jjboy(SHEARED),
            "jjboy2020",
            r"not of preset jjboy2020: its map has the axes \(duration, start\); --preset jjboy",
            id="mask of 2019 as 2020",
        ),
        pytest.param(jjboy(), "jjboy2019", r"the axes \(start, end\)", id="mask of 2020 as 2019"),
        pytest.param(openmmlab(), "jjboy2020", r"\(duration, start\)", id="openmmlab as 2020"),
        pytest.param(
            with_valid_cells(bare(mask=False), (6, 6)),
            "jjboy2020",
            r"\(duration, start\)",
            id="valid cells as 2020",
        ),
        pytest.param(
            with_valid_cells(jjboy(SHEARED), (6, 6), "module."),
            None,
            NO_PRESET + ".*jjboy2019 or mmaction2",
            id="valid cells behind a prefix",
        ),
        pytest.param(openmmlab(mask=False), "jjboy2020", r"\(duration, start\)", id="meta as 2020"),
        pytest.param(jjboy(SHEARED), "paddle", "not of preset paddle", id="2019 as paddle"),
        pytest.param(damaged(jjboy(), 0.1), None, "that of neither", id="damaged"),
        pytest.param(damaged(jjboy(), 1e-4), "jjboy2020", "that of neither", id="barely damaged"),
        pytest.param(damaged(jjboy(), float("nan")), None, "that of neither", id="NaN"),
        pytest.param(with_mask(np.zeros((6, 108), np.float32)), None, "neither", id="zeros"),
        pytest.param(
            with_mask(np.zeros((6, 100), np.float32)), None, r"has shape \(6, 100\)", id="shape"
        ),
        pytest.param(
            with_mask(np.zeros((1, 3 * 20_000), np.float32)), None, "length", id="one long cell"
        ),
        pytest.param(
            with_mask(np.zeros((0, 9), np.float32)),
            None,
            r"has shape \(0, 9\)",
            id="no mask's size",
        ),
        pytest.param(
            with_mask(sample_mask(SMALL, margin=0.25)), None, "a margin of 0.25", id="margin"
        ),
        pytest.param(
            with_mask(sample_mask(SMALL, points=4)), None, "4 points per sample", id="points"
        ),
    ],
)
def test_another_mask_or_preset_is_refused(
    tmp_path: Path, content: State, given: BmnPreset | None, message: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        read_checkpoint(save(tmp_path / "x.pth", content), preset=given)


@pytest.mark.parametrize("preset", ["jjboy2020", "jjboy2019", "mmaction2"])
def test_another_preset_for_paddle_is_refused(tmp_path: Path, preset: BmnPreset) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps(paddle_state(), protocol=4))
    with pytest.raises(CheckpointError, match=r"PaddleVideo's names; --preset paddle$"):
        read_checkpoint(tmp_path / "x", preset=preset)


def test_the_length_is_that_of_the_mask(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", jjboy())
    assert read_checkpoint(path, length=6).config == SMALL
    with pytest.raises(CheckpointError, match="its map is of temporal scale 6, not of --length 9"):
        read_checkpoint(path, length=9)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        pytest.param("x_2d_p.6.bias", None, "missing weights: x_2d_p.6.bias", id="missing"),
        pytest.param("x_2d_p.8.bias", np.zeros(2), "unknown weights: x_2d_p.8.bias", id="unknown"),
        pytest.param("x_1d_e.0.bias", np.zeros(3), "end.conv1.bias has shape", id="shape"),
        pytest.param("x_3d_p.0.weight", np.zeros((6, 5, 3, 3, 3)), "matched.conv.weight", id="3-D"),
        pytest.param("x_1d_b.0.weight", np.zeros((4, 0, 3)), "base.conv1.weight", id="empty"),
    ],
)
def test_weights_that_are_not_a_whole_bmn_are_refused(
    tmp_path: Path, name: str, array: Any, message: str
) -> None:
    state = jjboy_arrays()
    del state["module.sample_mask"]
    state.pop(f"module.{name}", None)
    if array is not None:
        state[f"module.{name}"] = np.asarray(array, np.float32)
    with pytest.raises(CheckpointError, match=rf"x\.pth: not a whole BMN: {message}"):
        read_checkpoint(
            save(tmp_path / "x.pth", {"state_dict": tensors(state)}), preset="jjboy2020"
        )


@pytest.mark.parametrize("extra", [{}, weights()], ids=["alone", "beside a BMN"])
def test_opentad_is_named(tmp_path: Path, extra: dict[str, Float32]) -> None:
    parts = ("projection.conv", "rpn_head.tem", "roi_head.proposal_roi_extractor.p_conv3d")
    state = {f"module.{part}.weight": torch.zeros(2, 3, 4) for part in parts}
    with pytest.raises(CheckpointError, match="a network of OpenTAD, whose BMN differs"):
        read_checkpoint(save(tmp_path / "x.pth", {"epoch": 3, "state_dict": state}))


def test_the_weights_of_a_bundle_are_read(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "bmn.safetensors")
    with pytest.raises(CheckpointError, match=NO_PRESET + ".*mmaction2 or paddle"):
        read_checkpoint(tmp_path / "bmn.safetensors")
    checkpoint = read_checkpoint(tmp_path / "bmn.safetensors", preset="paddle", length=6)
    assert (checkpoint.kind, checkpoint.config) == ("bmn", SHEARED)


def test_settings_in_the_weights_of_a_bundle_are_used(tmp_path: Path) -> None:
    config = replace(SHEARED, durations=4)
    (tmp_path / "x.safetensors").write_bytes(pack_weights(weights(), config))
    checkpoint = read_checkpoint(tmp_path / "x.safetensors", preset="mmaction2")
    assert checkpoint.config == config
    with pytest.raises(CheckpointError, match=r"its map has the axes \(duration, start\)"):
        read_checkpoint(tmp_path / "x.safetensors", preset="jjboy2020")


def test_a_bundle_of_a_preset(tmp_path: Path) -> None:
    path = save(tmp_path / "bmn.pth.tar", jjboy(), legacy=True)
    bundle, (found,) = convert_checkpoints([path], tmp_path / "b", preset="jjboy2020")
    assert found.preset == "jjboy2020"
    assert bundle.config == replace(BMN_PIPELINES["jjboy2020"], bmn=SMALL)
    assert (bundle.nets, bundle.features.channels) == ({"bmn"}, 8)
    assert bundle.files.keys() == {"bmn.safetensors"}
    assert bundle.source.note == "BMN: bmn.pth.tar, from JJBOY's code, preset jjboy2020"
    with pytest.raises(BundleError, match="already exists, with a BMN"):
        convert_checkpoints([path], tmp_path / "b")
    sheared = save(tmp_path / "2019.pth.tar", jjboy(SHEARED))
    bundle, _ = convert_checkpoints([sheared], tmp_path / "b", overwrite=True)
    assert bundle.config == replace(BMN_PIPELINES["jjboy2019"], bmn=SHEARED)


def test_one_kind_of_model_in_a_bundle(tmp_path: Path) -> None:
    tem = save(tmp_path / "tem.pth", tem_state())
    pem = save(tmp_path / "pem.pth", pem_state())
    bmn = save(tmp_path / "bmn.pth", jjboy())
    for paths in ([tem, bmn], [bmn, pem]):
        with pytest.raises(CheckpointError, match="of another kind of model; convert each to"):
            convert_checkpoints(paths, tmp_path / "b")
    with pytest.raises(CheckpointError, match=r"bmn\.pth: is a BMN, and so is .*bmn\.pth"):
        convert_checkpoints([bmn, bmn], tmp_path / "b")
    with pytest.raises(CheckpointError, match=r"tem\.pth: is a TEM; --preset is only for a BMN"):
        convert_checkpoints([tem], tmp_path / "b", preset="paddle")
    assert not (tmp_path / "b").exists()
    convert_checkpoints([tem, pem], tmp_path / "b")
    with pytest.raises(BundleError, match="with a PEM and a TEM, which no BMN fits"):
        convert_checkpoints([bmn], tmp_path / "b", overwrite=True)
    convert_checkpoints([bmn], tmp_path / "bmn")
    with pytest.raises(BundleError, match="with a BMN, which no TEM fits; choose another folder"):
        convert_checkpoints([tem], tmp_path / "bmn", overwrite=True)


def small_paddle() -> bytes:
    return pickle.dumps(paddle_state(), protocol=4)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_paddle_file_that_is_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    data = small_paddle()
    (tmp_path / "x.pdparams").write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "x.pdparams")


@given(share=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_a_paddle_file_is_read_or_refused(
    tmp_path: Path, share: float, byte: int
) -> None:
    data = bytearray(small_paddle())
    data[int(share * len(data))] = byte
    (tmp_path / "x.pdparams").write_bytes(data)
    with contextlib.suppress(CheckpointError):
        assert read_checkpoint(tmp_path / "x.pdparams").kind == "bmn"


@pytest.mark.parametrize(
    ("file", "preset", "sizes"),
    [
        ("jjboy.pth.tar", "jjboy2020", (256, 256, 512, 128)),
        ("mmaction2.pth", "mmaction2", (64, 64, 96, 32)),
        ("paddle.pdparams", "paddle", (256, 128, 512, 128)),
    ],
)
def test_files_of_the_published_codes(
    data: Path, tmp_path: Path, file: str, preset: BmnPreset, sizes: tuple[int, ...]
) -> None:
    length = 20 if preset == "paddle" else None
    path = data / "bmn" / "small" / file
    bundle, _ = convert_checkpoints([path], tmp_path / "b", length=length)
    config = bundle.config.bmn
    assert config is not None
    assert bundle.config == replace(BMN_PIPELINES[preset], bmn=config)
    assert (config.channels, config.length, config.samples) == (32, 20, 4)
    assert (config.base, config.sampled, config.matched, config.hidden) == sizes
    check_outputs(data, bundle, file.split(".")[0])


def test_a_file_of_2019(data: Path, tmp_path: Path) -> None:
    small = data / "bmn" / "small"
    content = torch.load(small / "jjboy.pth.tar", weights_only=True)
    with np.load(small / "outputs.npz") as outputs:
        mask = torch.from_numpy(outputs["jjboy2019/sample_mask"])
    content["state_dict"]["module.sample_mask"] = mask
    path = save(tmp_path / "2019.pth.tar", content, legacy=True)
    with pytest.raises(CheckpointError, match="not of preset jjboy2020"):
        read_checkpoint(path, preset="jjboy2020")
    bundle, (found,) = convert_checkpoints([path], tmp_path / "b")
    assert (found.preset, found.origin) == ("jjboy2019", "jjboy")
    check_outputs(data, bundle, "jjboy2019")


def check_outputs(data: Path, bundle: Bundle, code: str) -> None:
    """Compare the outputs of a converted network with the recorded ones."""
    config = bundle.config.bmn
    assert config is not None
    with np.load(data / "bmn" / "small" / "outputs.npz") as recorded:
        video = recorded["features"].transpose(0, 2, 1)
        found = network_outputs(config, bundle.weights("bmn"), video)
        for output, name in zip(found, ("map", "start", "end"), strict=True):
            tolerance = 1e-5 if name == "map" else 1e-6
            expected = recorded[f"{code}/{name}"]
            np.testing.assert_allclose(output.probabilities, expected, rtol=0, atol=tolerance)
