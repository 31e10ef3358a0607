from __future__ import annotations

import contextlib
import functools
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

from actspan import PemConfig, TemConfig
from actspan.errors import BundleError, CheckpointError
from actspan.nets.foreign import convert_checkpoints, read_checkpoint
from actspan.nets.pem import Pem
from actspan.nets.tem import Tem

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


def test_half_precision_and_parameters_are_read(tmp_path: Path) -> None:
    state = {k: torch.nn.Parameter(v.half()) for k, v in pem_state().items()}
    weights = read_checkpoint(save(tmp_path / "x.pth", state)).weights
    assert all(array.dtype == np.float32 for array in weights.values())


def test_the_authors_pem(data: Path) -> None:
    assert not zipfile.is_zipfile(data / "weights" / "pem_best.pth.tar")  # the old form
    checkpoint = read_checkpoint(data / "weights" / "pem_best.pth.tar")
    assert (checkpoint.kind, checkpoint.origin, checkpoint.config) == ("pem", "bsn", PemConfig())


def test_the_made_up_tem(golden: Path) -> None:
    checkpoint = read_checkpoint(golden / "tem_made_up.pth.tar")
    assert (checkpoint.kind, checkpoint.origin, checkpoint.config) == ("tem", "bsn", TemConfig())
    assert checkpoint.parameters == 1_403_395


class Payload:
    """Runs a command in whoever unpickles it."""

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


def test_what_a_refused_file_names_is_said(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", {"state_dict": pem_state(), "hook": Payload(tmp_path)})
    with pytest.raises(CheckpointError, match=r"it names posix\.system.*save its weights alone"):
        read_checkpoint(path)
    path = save(tmp_path / "y.pth", Pem(PEM))
    with pytest.raises(CheckpointError, match=r"it names actspan\.nets\.pem\.Pem"):
        read_checkpoint(path)


def changed(**changes: Any) -> State:
    return pem_state() | changes


WRONG = [
    pytest.param([1, 2, 3], "no state_dict of named weights", id="list"),
    pytest.param(torch.zeros(3), "no state_dict of named weights", id="tensor"),
    pytest.param({"state_dict": 3}, "no state_dict of named weights", id="number"),
    pytest.param({}, r"neither TEM nor PEM \(nothing\)", id="empty"),
    pytest.param(
        {"epoch": 3, "model": {}}, r"neither TEM nor PEM \(epoch, model\)", id="other-keys"
    ),
    pytest.param({"layer.weight": torch.zeros(3)}, "neither TEM nor PEM", id="other-net"),
    pytest.param(tem_state() | pem_state(), "a TEM and of a PEM", id="both"),
    pytest.param({"fc1.weight": torch.zeros(6, 32)}, "missing weights: fc1.bias", id="missing"),
    pytest.param(changed(**{"bn.mean": torch.zeros(2)}), "unknown weights: bn.mean", id="extra"),
    pytest.param(changed(**{"fc2.bias": torch.zeros(3)}), "fc2.bias has shape", id="shape"),
    pytest.param(changed(**{"fc1.weight": torch.zeros(3)}), "fc1.weight has shape", id="rank"),
    pytest.param(
        changed(**{"fc1.weight": torch.zeros(0, 32)}), "fc1.weight has shape", id="no-units"
    ),
    pytest.param(changed(**{"fc2.bias": torch.tensor([torch.nan])}), "holds NaN", id="nan"),
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
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello world\n" * 9, id="text"),
        pytest.param(bytes(1000), id="zeros"),
        pytest.param(npz_bytes(), id="npz"),
        pytest.param(pickle.dumps({"a": 1}), id="pickle"),
        pytest.param(pickle.dumps({"a": 1}, protocol=2), id="old-pickle"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pth: cannot be read: damaged, cut short"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("size", [100, 2000, 20_000])
def test_a_checkpoint_that_was_cut_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.pth"
    torch.save({"state_dict": {"conv1.weight": torch.zeros(100, 100, 3)}}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="damaged, cut short"):
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
    assert (bundle.has_tem, bundle.has_pem, bundle.features.channels) == (False, True, None)


def test_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.pth", pem_state()) for i in range(2)]
    with pytest.raises(CheckpointError, match=r"1\.pth: is a PEM, and so is .*0\.pth"):
        convert_checkpoints(paths, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_pem_of_other_features_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "p.pth", dict(Pem(PemConfig(inputs=20)).state_dict()))
    with pytest.raises(BundleError, match="gives 32 features, pem takes 20"):
        convert_checkpoints([path], tmp_path / "b")
