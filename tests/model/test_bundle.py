from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actspan import ActSpanError, Bundle, PemConfig, PipelineConfig, TemConfig
from actspan.config.stages import BspConfig, FeatureSpec
from actspan.core.errors import BundleError, ShapeError
from actspan.model.manifest import Source, writing_command
from actspan.model.weights import check_weights, weight_shapes

TEM = TemConfig(channels=5, hidden=4, length=20)
PEM = PemConfig(hidden=6)


def random_weights(config: TemConfig | PemConfig, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape, dtype=np.float32)
        for name, shape in weight_shapes(config).items()
    }


def create(path: Path, **changes: Any) -> Bundle:
    settings = {
        "config": PipelineConfig(tem=TEM, pem=PEM),
        "features": FeatureSpec(channels=5, stride_seconds=0.5),
        "source": Source(note="synthetic"),
    }
    nets = {"tem": random_weights(TEM), "pem": random_weights(PEM)}
    nets |= {net: changes.pop(net) for net in ("tem", "pem") if net in changes}
    settings["weights"] = {net: weights for net, weights in nets.items() if weights is not None}
    return Bundle.create(path, **(settings | changes))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return create(tmp_path / "b", training={"seed": 3, "losses": [0.5, 0.25]})


def files_of(path: Path) -> list[str]:
    return sorted(f.name for f in path.iterdir())


def test_a_bundle_is_loaded_as_it_was_written(bundle: Bundle) -> None:
    again = Bundle.load(bundle.path)
    assert again == bundle
    assert again.config == PipelineConfig(tem=TEM, pem=PEM)
    assert again.features == FeatureSpec(channels=5, stride_seconds=0.5)
    assert again.source.note == "synthetic"
    assert again.training == {"seed": 3, "losses": [0.5, 0.25]}
    assert again.nets == {"tem", "pem"}
    for net, config in (("tem", TEM), ("pem", PEM)):
        read = again.weights(net)
        assert read.keys() == weight_shapes(config).keys()
        for name, array in random_weights(config).items():
            np.testing.assert_array_equal(read[name], array)
            assert read[name].dtype == np.float32


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = create(tmp_path / "one"), create(tmp_path / "two")
    assert files_of(one.path) == ["model.toml", "pem.safetensors", "tem.safetensors"]
    for name in files_of(one.path):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


def test_source_names_files_and_checksums(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"abc")
    (record,) = Source.of([tmp_path / "x.pth"]).files
    assert record.name == "x.pth"
    assert record.sha256.startswith("ba7816bf")


@pytest.mark.parametrize(
    ("net", "remedy"),
    [
        pytest.param("tem", "no TEM; .*--scores", id="tem"),
        pytest.param("pem", "no PEM; .*convert PEM --out", id="pem"),
    ],
)
def test_a_missing_network_is_named(tmp_path: Path, net: str, remedy: str) -> None:
    bundle = create(tmp_path / "b", **{net: None})
    assert bundle.nets == {"tem", "pem"} - {net}
    with pytest.raises(BundleError, match=remedy):
        bundle.weights(net)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=remedy):
        bundle.file(f"{net}.onnx")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("tem.xml", "compile b --target openvino"),
        ("tem.int8.xml", "compile b --target openvino --precision int8 --calibrate DATASET"),
        ("pem.fp16.bs16.om", "compile b --target ascend"),
        ("tem.engine", "compile b --target tensorrt"),
        ("tem.fp16.onnx", "export b"),
    ],
)
def test_the_command_that_writes_a_file(name: str, command: str) -> None:
    assert writing_command(Path("b") / name) == f"actspan {command}"


def test_a_network_that_is_not_exported_says_so(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"has no tem\.onnx; write it: actspan export"):
        bundle.file("tem.onnx")


def test_standardisation_is_kept_with_the_weights(tmp_path: Path) -> None:
    tem = random_weights(TEM) | {"input.mean": np.arange(5), "input.scale": np.ones(5)}
    read = create(tmp_path / "b", tem=tem).weights("tem")
    np.testing.assert_array_equal(read["input.mean"], np.arange(5, dtype=np.float32))


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {k: v for k, v in weights.items() if k != name}


BAD_WEIGHTS = [
    pytest.param(without("conv2.bias"), "missing weights: conv2.bias", id="missing"),
    pytest.param(lambda w: w | {"bn.mean": np.zeros(4)}, "unknown weights: bn.mean", id="unknown"),
    pytest.param(
        lambda w: w | {"conv3.bias": np.zeros(4)}, r"conv3.bias has shape \(4,\)", id="shape"
    ),
    pytest.param(lambda w: w | {"conv3.bias": [0, 0, np.nan]}, "conv3.bias contains NaN", id="nan"),
    pytest.param(
        lambda w: w | {"input.mean": np.zeros(5)}, "missing weights: input.scale", id="half"
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_WEIGHTS)
def test_weights_that_do_not_fit_leave_nothing_behind(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        check_weights(change(random_weights(TEM)), TEM)
    with pytest.raises(BundleError, match=f"tem weights do not fit its config: {message}"):
        create(tmp_path / "b", tem=change(random_weights(TEM)))
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"tem": None, "pem": None}, "needs the weights", id="no-network"),
        pytest.param({"config": PipelineConfig(pem=PEM)}, "no config of tem", id="no-config"),
        pytest.param(
            {"features": FeatureSpec(channels=7)}, "7 channels, tem expects 5", id="channels"
        ),
        pytest.param(
            {"config": PipelineConfig(tem=TEM, pem=PEM, bsp=BspConfig(action_samples=8))},
            "gives 24 features, pem expects 32",
            id="bsp-size",
        ),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        create(tmp_path / "b", **changes)
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("error", [OSError("disk on fire"), OSError(28, "No space left")])
def test_a_failing_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    bundle = create(tmp_path / "whole")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(BundleError, match=str(error.args[-1])):
        create(tmp_path / "b")
    with pytest.raises(BundleError, match=str(error.args[-1])):
        bundle.add_file("x.bin", lambda path: path.touch())
    assert files_of(tmp_path) == ["whole"]
    assert Bundle.load(bundle.path) == bundle
    assert len(files_of(bundle.path)) == 3


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(BundleError, match="not a bundle; choose another folder"):
            create(tmp_path, overwrite=overwrite)
        with pytest.raises(BundleError, match="not a bundle; choose another folder"):
            create(tmp_path / "notes.txt", overwrite=overwrite)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert "tem" in create(tmp_path / "b").nets


def test_a_bundle_is_replaced_only_on_request(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="a bundle already exists"):
        create(bundle.path, tem=None)
    assert create(bundle.path, tem=None, overwrite=True).nets == {"pem"}
    assert files_of(bundle.path.parent) == ["b"]
    assert files_of(bundle.path) == ["model.toml", "pem.safetensors"]


def test_a_link_to_a_bundle_stays_a_link(bundle: Bundle, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundle.path)
    create(link, tem=None, overwrite=True)
    assert link.is_symlink()
    assert "tem" not in Bundle.load(bundle.path).nets


def test_added_files_are_recorded_and_verified(bundle: Bundle) -> None:
    after = bundle.add_file("tem.onnx", lambda path: path.write_bytes(b"graph") and None)
    assert after.file("tem.onnx").read_bytes() == b"graph"
    assert after == Bundle.load(bundle.path)
    assert "tem.onnx" not in bundle.files
    after = after.add_file("tem.onnx", lambda path: path.write_bytes(b"other") and None)
    assert after.file("tem.onnx").read_bytes() == b"other"
    assert len(files_of(bundle.path)) == 4


def test_a_record_that_another_process_added_survives(bundle: Bundle) -> None:
    bundle.add_file("a.bin", lambda path: path.write_bytes(b"a") and None)
    assert {"a.bin", "b.bin"} <= bundle.add_file("b.bin", lambda p: p.touch()).files.keys()


def test_a_writer_that_fails_changes_nothing(bundle: Bundle) -> None:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("stop")

    before = files_of(bundle.path)
    with pytest.raises(RuntimeError, match="stop"):
        bundle.add_file("tem.onnx", write)
    assert files_of(bundle.path) == before
    assert Bundle.load(bundle.path) == bundle


def test_stopping_between_file_and_record_leaves_a_whole_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle.add_file("tem.onnx", lambda path: path.write_bytes(b"old") and None)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("actspan.core.files.sync", stop)
    with pytest.raises(KeyboardInterrupt):
        bundle.add_file("tem.onnx", lambda path: path.write_bytes(b"new") and None)
    assert "tem.onnx" not in Bundle.load(bundle.path).files


@pytest.mark.parametrize("name", ["", "..", "model.toml", "a/b.onnx", "../x"])
def test_added_files_have_plain_names(bundle: Bundle, name: str) -> None:
    with pytest.raises(BundleError, match="cannot be the name"):
        bundle.add_file(name, lambda path: path.touch())


def damage_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(damage_bytes, "SHA-256 is not the recorded one", id="bit"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:-9]), "bytes where", id="truncated"),
        pytest.param(lambda p: p.write_bytes(b""), "0 bytes where", id="empty"),
        pytest.param(lambda p: p.unlink(), "cannot be read: No such file", id="missing"),
    ],
)
@pytest.mark.parametrize("name", ["tem.safetensors", "pem.safetensors", "tem.onnx"])
def test_damage_names_the_file(
    bundle: Bundle, name: str, damage: Callable[[Path], None], message: str
) -> None:
    bundle = bundle.add_file("tem.onnx", lambda path: path.write_bytes(b"0123456789") and None)
    damage(bundle.path / name)
    remedy = "actspan export" if name == "tem.onnx" else "make it again from its checkpoints"
    with pytest.raises(BundleError, match=f"{name}: damaged: .*{message}.*{remedy}"):
        bundle.file(name)
    if name.endswith(".safetensors"):
        with pytest.raises(BundleError, match=f"{name}: damaged: .*{message}"):
            bundle.weights(name[:3])  # type: ignore[arg-type]


def test_weights_and_settings_must_agree(bundle: Bundle) -> None:
    toml = bundle.path / "model.toml"
    toml.write_text(toml.read_text().replace("hidden = 4", "hidden = 8"))
    with pytest.raises(BundleError, match=r"tem\.safetensors: does not fit model\.toml: conv1"):
        Bundle.load(bundle.path).weights("tem")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "format_version = 1", "format_version = 9", "version 9 is not known", id="newer"
        ),
        pytest.param("format_version = 1", "", "version None is not known", id="no-version"),
        pytest.param("hidden = 4", "hidden = ", "not valid TOML", id="not-toml"),
        pytest.param(
            "hidden = 4", "hiden = 4", "unknown key 'hiden' in pipeline.tem", id="unknown-key"
        ),
        pytest.param(
            "hidden = 4",
            "hidden = 0",
            r"hidden must be in \[1, 1,000,000\], not 0",
            id="out-of-range",
        ),
        pytest.param("[pipeline.tem]", "[training.tem]", r"no \[pipeline.tem\]", id="no-config"),
        pytest.param('"tem.saf', '"../tem.saf', "not a plain file name", id="outside"),
    ],
)
def test_bad_settings_name_file_and_place(bundle: Bundle, old: str, new: str, message: str) -> None:
    toml = bundle.path / "model.toml"
    assert old in toml.read_text()
    toml.write_text(toml.read_text().replace(old, new))
    with pytest.raises(BundleError, match=rf"model\.toml.*{message}"):
        Bundle.load(bundle.path)


def test_a_folder_without_model_toml_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"not a bundle: .* actspan convert"):
        Bundle.load(tmp_path)


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_of_model_toml_is_read_or_refused(
    bundle: Bundle, position: int, byte: int
) -> None:
    toml = bundle.path / "model.toml"
    whole = toml.read_bytes()
    data = bytearray(whole)
    data[position % len(data)] = byte
    toml.write_bytes(data)
    try:
        tomllib.loads(data.decode())
        Bundle.load(bundle.path)
    except (ActSpanError, ValueError):
        with pytest.raises(BundleError):
            Bundle.load(bundle.path)
    finally:
        toml.write_bytes(whole)
