from __future__ import annotations

import contextlib
import functools
import gzip
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from actspan import Bundle, PemConfig, TemConfig
from actspan.core.errors import BundleError, CheckpointError
from actspan.model.bsn.networks import Pem, Tem
from actspan.model.checkpoints import read_checkpoint
from actspan.model.conversion import convert_checkpoints

TEM, PEM = TemConfig(channels=5, hidden=4), PemConfig(hidden=6)
State = dict[str, Any]


def tem_state() -> State:
    return dict(Tem(TEM).state_dict())


def pem_state() -> State:
    return dict(Pem(PEM).state_dict())


def authors(state: State) -> State:
    return {"epoch": 7, "state_dict": {f"module.{k}": v for k, v in state.items()}}


def openmmlab(state: State) -> State:
    meta = {"epoch": 20, "iter": 4000, "mmcv_version": "1.0.5", "time": "Mon", "hook_msgs": {}}
    return {"meta": meta, "state_dict": state}


def save(path: Path, content: Any, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize(
    ("wrap", "origin"),
    [
        pytest.param(authors, "bsn", id="authors"),
        pytest.param(openmmlab, "openmmlab", id="openmmlab"),
        pytest.param(lambda state: state, "bsn", id="bare"),
        pytest.param(lambda state: authors(state)["state_dict"], "bsn", id="bare-prefixed"),
        pytest.param(lambda state: {"state_dict": state}, "bsn", id="no-prefix"),
    ],
)
@pytest.mark.parametrize(
    ("make", "kind", "config"),
    [
        pytest.param(tem_state, "tem", TEM, id="tem"),
        pytest.param(pem_state, "pem", PEM, id="pem"),
    ],
)
def test_every_form_is_read(
    tmp_path: Path,
    make: Callable[[], State],
    kind: str,
    config: Any,
    wrap: Callable[[State], State],
    origin: str,
    legacy: bool,
) -> None:
    state = make()
    checkpoint = read_checkpoint(save(tmp_path / "x.pth", wrap(state), legacy=legacy))
    assert (checkpoint.kind, checkpoint.origin, checkpoint.config) == (kind, origin, config)
    assert checkpoint.weights.keys() == state.keys()
    for name, array in checkpoint.weights.items():
        np.testing.assert_array_equal(array, state[name].numpy())
    assert checkpoint.parameters == sum(t.numel() for t in state.values())


def behind(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def trained(state: State) -> State:
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    return {
        "epoch": 3,
        "model_state_dict": state,
        "optimizer": optimizer,
        "loss": torch.tensor(1.0),
    }


@pytest.mark.parametrize(
    ("wrap", "ignored"),
    [
        pytest.param(trained, "epoch, optimizer, loss", id="tutorial"),
        *(
            pytest.param(lambda state, key=key: {key: state}, "", id=key)
            for key in ("model", "net", "network", "ema", "params", "ema_state_dict")
        ),
        *(
            pytest.param(behind(prefix), "", id=prefix)
            for prefix in ("model.", "_orig_mod.", "net.", "module.model.", "a.b.c.d.")
        ),
        pytest.param(lambda s: {"model": {"state_dict": behind("x.")(s)}}, "", id="both"),
        pytest.param(
            lambda s: {"state_dict": behind("model.")(s), "pytorch-lightning_version": "2.0"},
            "pytorch-lightning_version",
            id="lightning",
        ),
        pytest.param(
            lambda s: behind("module.")(s) | {"n_averaged": torch.tensor(3)},
            "n_averaged",
            id="averaged",
        ),
        pytest.param(
            lambda s: {"model": s, "ema": {k: v + 1 for k, v in s.items()}}, "ema", id="average"
        ),
        pytest.param(
            lambda s: behind("tem.")(s) | {"backbone.conv1.weight": torch.zeros(2, 3, 7, 7)},
            "backbone.conv1.weight",
            id="other-parts",
        ),
        pytest.param(authors, "epoch", id="authors"),
    ],
)
@pytest.mark.parametrize("make", [tem_state, pem_state])
def test_usual_prefixes_are_removed_and_other_entries_are_named(
    tmp_path: Path, make: Callable[[], State], wrap: Callable[[State], State], ignored: str
) -> None:
    state = make()
    checkpoint = read_checkpoint(save(tmp_path / "x.pth", wrap(state)))
    for name, array in checkpoint.weights.items():
        np.testing.assert_array_equal(array, state[name].numpy())
    assert checkpoint.notes == ((f"x.pth: ignored entries: {ignored}",) if ignored else ())
    assert checkpoint.origin == ("bsn" if ignored in ("epoch", "n_averaged") else "pytorch")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            lambda: {"tem": tem_state(), "pem": pem_state()}, "a TEM and of a PEM", id="levels"
        ),
        pytest.param(
            lambda: behind("tem.")(tem_state()) | behind("pem.")(pem_state()),
            "a TEM and of a PEM",
            id="prefixes",
        ),
        pytest.param(
            lambda: behind("a.")(pem_state()) | behind("b.")(pem_state()),
            r"2 networks of one kind \(a\., b\.\)",
            id="twice",
        ),
        pytest.param(
            lambda: behind("m.")(pem_state() | {"bn1.weight": torch.zeros(3)}),
            "unknown weights: bn1.weight",
            id="another-layer",
        ),
    ],
)
def test_no_network_is_chosen_by_guess(
    tmp_path: Path, content: Callable[[], State], message: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}"):
        read_checkpoint(save(tmp_path / "x.pth", content()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_safetensors_are_read(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    state = {f"module.{k}": v.to(dtype) for k, v in tem_state().items()}
    save_file(state | {"step": torch.tensor(3)}, tmp_path / name)
    checkpoint = read_checkpoint(tmp_path / name)
    assert (checkpoint.kind, checkpoint.origin, checkpoint.config) == ("tem", "safetensors", TEM)
    assert checkpoint.notes == (f"{name}: ignored entries: step",)
    for key, array in checkpoint.weights.items():
        np.testing.assert_array_equal(array, state[f"module.{key}"].float().numpy())


def test_safetensors_are_refused_as_others_are(tmp_path: Path) -> None:
    save_file(pem_state() | {"fc2.bias": torch.tensor([1])}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"fc2\.bias is not a plain tensor of floats"):
        read_checkpoint(tmp_path / "x.safetensors")
    data = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="damaged or truncated; copy it again"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_an_ensemble_of_a_bundle_is_read_and_its_settings_are_not(tmp_path: Path) -> None:
    config = TemConfig(channels=5, hidden=4, members=2, dilated=3)
    path = tmp_path / "tem.safetensors"
    save_file(dict(Tem(config).state_dict()), path)
    (tmp_path / "model.toml").touch()
    checkpoint = read_checkpoint(path)
    assert checkpoint.config == config
    assert "not those of the model.toml next to it" in checkpoint.notes[0]


def test_half_precision_and_parameters_are_read(tmp_path: Path) -> None:
    state = {k: torch.nn.Parameter(v.half()) for k, v in pem_state().items()}
    weights = read_checkpoint(save(tmp_path / "x.pth", state)).weights
    assert all(array.dtype == np.float32 for array in weights.values())


def test_the_authors_pem(data: Path) -> None:
    assert not zipfile.is_zipfile(data / "weights" / "pem_best.pth.tar")  # the old form
    checkpoint = read_checkpoint(data / "weights" / "pem_best.pth.tar")
    assert (checkpoint.kind, checkpoint.origin, checkpoint.config) == ("pem", "bsn", PemConfig())


def test_the_synthetic_tem(golden: Path) -> None:
    checkpoint = read_checkpoint(golden / "tem_made_up.pth.tar")
    assert (checkpoint.kind, checkpoint.origin, checkpoint.config) == ("tem", "bsn", TemConfig())
    assert checkpoint.parameters == 1_403_395


class Payload:
    """An object that runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


def legacy_bytes(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def zip_bytes(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "dump",
    [
        pytest.param(legacy_bytes, id="legacy"),
        pytest.param(zip_bytes, id="zip"),
        *(
            pytest.param(lambda c, p=p: pickle.dumps(c, protocol=p), id=f"pickle-{p}")
            for p in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
@pytest.mark.parametrize("hidden", [False, True], ids=["bare", "beside-weights"])
def test_code_in_a_checkpoint_is_never_run(
    tmp_path: Path, dump: Callable[[Any], bytes], hidden: bool
) -> None:
    proof, path = tmp_path / "proof", tmp_path / "evil.pth.tar"
    payload = Payload(proof)
    data = dump(authors(pem_state()) | {"optimizer": payload} if hidden else payload)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"evil\.pth\.tar: ") as caught:
        read_checkpoint(path)
    assert not proof.exists()
    assert "weights_only" not in str(caught.value)  # no advice to open it unsafely
    pickle.loads(pickle.dumps(payload))  # the payload does work where nobody looks
    assert proof.exists()


def test_the_error_names_what_a_refused_file_would_import(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", {"state_dict": pem_state(), "hook": Payload(tmp_path)})
    with pytest.raises(
        CheckpointError, match=r"it names posix\.system.*save its weights alone.*publish_model"
    ):
        read_checkpoint(path)
    path = save(tmp_path / "y.pth", Pem(PEM))
    with pytest.raises(CheckpointError, match=r"it names actspan\.model\.bsn\.networks\.Pem"):
        read_checkpoint(path)


def changed(**changes: Any) -> State:
    return pem_state() | changes


WRONG = [
    pytest.param([1, 2, 3], "no state_dict of named weights", id="list"),
    pytest.param(torch.zeros(3), "no state_dict of named weights", id="tensor"),
    pytest.param({"state_dict": 3}, "no state_dict of named weights", id="number"),
    pytest.param({}, r"neither TEM, PEM nor BMN \(nothing\)", id="empty"),
    pytest.param(
        {"epoch": 3, "model": {}}, r"neither TEM, PEM nor BMN \(epoch, model\)", id="other-keys"
    ),
    pytest.param({"layer.weight": torch.zeros(3)}, "neither TEM, PEM nor BMN", id="other-net"),
    pytest.param(tem_state() | pem_state(), "a TEM and of a PEM", id="both"),
    pytest.param({"fc1.weight": torch.zeros(6, 32)}, "missing weights: fc1.bias", id="missing"),
    pytest.param(changed(**{"bn.mean": torch.zeros(2)}), "unknown weights: bn.mean", id="extra"),
    pytest.param(changed(**{"fc2.bias": torch.zeros(3)}), "fc2.bias has shape", id="shape"),
    pytest.param(
        changed(**{"fc1.weight": torch.zeros(3)}),
        r"fc1.weight has shape \(3,\); two-dimensional weights are needed: \(hidden, inputs\)",
        id="rank",
    ),
    pytest.param(
        tem_state() | {"conv1.weight": torch.zeros(4, 5, 1, 3)},
        r"\(4, 5, 1, 3\); three-dimensional weights are needed: \(hidden, channels, 3\)",
        id="images",
    ),
    pytest.param(
        changed(**{"fc1.weight": torch.zeros(0, 32)}), "fc1.weight has shape", id="no-units"
    ),
    pytest.param(changed(**{"fc2.bias": torch.tensor([torch.nan])}), "contains NaN", id="nan"),
    pytest.param(changed(**{"fc2.bias": torch.tensor([1])}), "not a plain tensor", id="integers"),
    pytest.param(changed(**{"fc2.bias": [0.5]}), "not a plain tensor", id="no-tensor"),
    pytest.param(
        changed(**{"fc1.weight": torch.zeros(1).expand(10**6, 10**6)}),
        "fc1.weight is not a plain tensor",
        id="huge-by-strides",
    ),
]


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "x.pth", changed(**{"fc2.bias": torch.zeros(1).to_sparse()}))
    with pytest.raises(
        CheckpointError, match=r"x\.pth: .*_rebuild_sparse_tensor.*save its weights"
    ):
        read_checkpoint(file)


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_other_contents_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"x\.pth: .*{message}.*expected"):
        read_checkpoint(save(tmp_path / "x.pth", content))


def test_a_sparse_tensor_is_refused_by_what_makes_it(tmp_path: Path) -> None:
    file = save(tmp_path / "x.pth", changed(**{"fc2.bias": torch.zeros(1).to_sparse()}))
    with pytest.raises(CheckpointError, match=r"x\.pth: not opened: .*_rebuild_sparse_tensor"):
        read_checkpoint(file)


def npz_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"hello world\n" * 9, "it is text", id="text"),
        pytest.param(b"<!DOCTYPE html><html>", "it is a web page", id="page"),
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", id="lfs"
        ),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file", id="hdf5"),
        pytest.param(gzip.compress(bytes(99)), r"it is compressed \(gzip\)", id="gzip"),
        pytest.param(bytes(257) + b"ustar" + bytes(999), "it is a tar archive", id="tar"),
        pytest.param(npz_bytes(), "a zip archive that torch.save did not write", id="npz"),
        pytest.param(pickle.dumps(pem_state()), "a pickle that torch.save did not", id="pickle"),
        pytest.param(pickle.dumps(pem_state(), protocol=2), "a pickle that", id="old-pickle"),
        pytest.param(bytes(1000), "of an unknown kind, or damaged from", id="zeros"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"x\.pth: cannot be read: .*{message}") as caught:
        read_checkpoint(tmp_path / "x.pth")
    assert "copy it again" not in str(caught.value)


@pytest.mark.parametrize("size", [100, 2000, 20_000])
def test_a_checkpoint_that_was_cut_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.pth"
    torch.save({"state_dict": {"conv1.weight": torch.zeros(100, 100, 3)}}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="damaged or truncated; copy it again"):
        read_checkpoint(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x\.pth: does not exist"):
        read_checkpoint(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)


@functools.cache
def whole_checkpoint(legacy: bool) -> bytes:
    return (legacy_bytes if legacy else zip_bytes)(authors(pem_state()))


@given(share=st.floats(0, 1, exclude_max=True), legacy=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_checkpoint_that_is_cut_short_is_refused(
    tmp_path: Path, share: float, legacy: bool
) -> None:
    data = whole_checkpoint(legacy)
    (tmp_path / "x.pth").write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"cannot be read|not opened"):
        read_checkpoint(tmp_path / "x.pth")


@given(share=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), legacy=st.booleans())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_is_read_or_refused(
    tmp_path: Path, share: float, byte: int, legacy: bool
) -> None:
    data = bytearray(whole_checkpoint(legacy))
    data[int(share * len(data))] = byte
    (tmp_path / "x.pth").write_bytes(data)
    with contextlib.suppress(CheckpointError):
        assert read_checkpoint(tmp_path / "x.pth").kind == "pem"


@pytest.mark.parametrize("swap", [False, True])
def test_two_checkpoints_make_a_bundle(tmp_path: Path, swap: bool) -> None:
    paths = [
        save(tmp_path / "tem.pth.tar", authors(tem_state()), legacy=True),
        save(tmp_path / "pem.pth", openmmlab(pem_state())),
    ]
    paths = paths[::-1] if swap else paths
    bundle, found = convert_checkpoints(paths, tmp_path / "b", length=50)
    assert [c.path for c in found] == paths
    assert bundle.config.tem == TemConfig(channels=5, hidden=4, length=50)
    assert bundle.config.pem == PEM
    assert bundle.features.channels == 5
    assert [f.name for f in bundle.source.files] == [p.name for p in paths]
    assert "PEM: pem.pth, from OpenMMLab" in bundle.source.note
    assert bundle.weights("pem").keys() == pem_state().keys()


def test_one_checkpoint_makes_half_a_bundle(tmp_path: Path) -> None:
    bundle, _ = convert_checkpoints([save(tmp_path / "p.pth", pem_state())], tmp_path / "b")
    assert (bundle.nets, bundle.features.channels) == ({"pem"}, None)


@pytest.mark.parametrize("second", ["tem", "pem"])
def test_a_second_network_is_added_to_a_bundle(tmp_path: Path, second: str) -> None:
    states = {"tem": tem_state(), "pem": pem_state()}
    paths = {net: save(tmp_path / f"{net}.pth", state) for net, state in states.items()}
    first = "pem" if second == "tem" else "tem"
    before, _ = convert_checkpoints([paths[first]], tmp_path / "b", length=50)
    before.add_file(f"{first}.onnx", lambda path: path.touch())
    bundle, found = convert_checkpoints([paths[second]], tmp_path / "b", length=50)
    assert [checkpoint.kind for checkpoint in found] == [second]
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.config.tem == TemConfig(channels=5, hidden=4, length=50)
    assert (bundle.config.pem, bundle.features.channels) == (PEM, 5)
    for net, state in states.items():
        assert_same(bundle.weights("tem" if net == "tem" else "pem"), state)
    assert [file.name for file in bundle.source.files] == [f"{first}.pth", f"{second}.pth"]
    assert f"{first}.onnx" in bundle.files


def test_a_network_is_replaced_on_request_and_the_other_stays(tmp_path: Path) -> None:
    tem, pem = tem_state(), pem_state()
    old = [save(tmp_path / "tem.pth", tem), save(tmp_path / "pem.pth", pem)]
    convert_checkpoints(old, tmp_path / "b", length=50)
    for name in ("tem.onnx", "pem.onnx", "pem.scale.onnx"):
        Bundle.load(tmp_path / "b").add_file(name, lambda path: path.touch())
    new = dict(Pem(PEM).state_dict())
    path = save(tmp_path / "new.pth", new)
    with pytest.raises(BundleError, match=r"already exists, with a PEM; .*--force"):
        convert_checkpoints([path], tmp_path / "b")
    assert_same(Bundle.load(tmp_path / "b").weights("pem"), pem)
    convert_checkpoints([path], tmp_path / "b", overwrite=True)
    bundle = Bundle.load(tmp_path / "b")
    assert_same(bundle.weights("pem"), new)
    assert_same(bundle.weights("tem"), tem)
    assert set(bundle.files) == {"tem.safetensors", "tem.onnx", "pem.safetensors"}
    assert bundle.config.tem is not None
    assert bundle.config.tem.length == 50  # is not taken from the default


def test_a_network_that_does_not_fit_leaves_the_bundle_alone(tmp_path: Path) -> None:
    convert_checkpoints([save(tmp_path / "t.pth", tem_state())], tmp_path / "b")
    path = save(tmp_path / "p.pth", dict(Pem(PemConfig(inputs=20)).state_dict()))
    with pytest.raises(BundleError, match="gives 32 features, pem expects 20"):
        convert_checkpoints([path], tmp_path / "b")
    assert Bundle.load(tmp_path / "b").nets == {"tem"}


def assert_same(weights: dict[str, np.ndarray], state: State) -> None:
    assert weights.keys() == state.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, state[name].numpy())


def test_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.pth", pem_state()) for i in range(2)]
    with pytest.raises(CheckpointError, match=r"1\.pth: is a PEM, and so is .*0\.pth"):
        convert_checkpoints(paths, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_pem_of_other_features_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "p.pth", dict(Pem(PemConfig(inputs=20)).state_dict()))
    with pytest.raises(BundleError, match="gives 32 features, pem expects 20"):
        convert_checkpoints([path], tmp_path / "b")
