"""Backbones on a hub, against a hub on loopback."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from actspan.config.base import read_toml
from actspan.core.files import sha256
from tests.model.loopback_hub import Client, LoopbackHub

pytest.importorskip("huggingface_hub", reason="needs huggingface_hub (extra 'hub')")
pytest.importorskip("av", reason="needs PyAV (extra 'video')")
pytest.importorskip("onnx", reason="needs onnx (extra 'export')")

from tests.streams.encoders import TOML, write_encoder
from tests.streams.example_videos import write_video

NAME = "someone/encoder"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Return files of an encoder that are as large as those that a hub stores apart."""
    path = write_encoder(tmp_path / "encoder.onnx", ["n", 3, 8, 8], channels=500)
    return {"encoder.onnx": path.read_bytes(), "encoder.toml": TOML.encode()}


def extract(client: Client, folder: Path, backbone: str, **environment: str) -> str:
    """Return the message of `actspan extract`; "" if it succeeds."""
    video = folder / "videos" / "a.avi"
    if not video.is_file():
        video.parent.mkdir()
        write_video(video, [0.04 * number for number in range(30)])
    shutil.rmtree(folder / "out", ignore_errors=True)
    done = client.actspan(
        "extract", video, "--backbone", backbone, "--out", folder / "out", **environment
    )
    return "" if done.returncode == 0 else done.stderr


def test_features_of_a_backbone_on_the_hub(
    hub: LoopbackHub, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    name = f"hf:{NAME}@{hub.add(NAME, files)}"
    assert extract(client, tmp_path, name) == ""
    found = (tmp_path / "out" / "features" / "a.npy").read_bytes()
    features = read_toml(tmp_path / "out" / "dataset.toml")["features"]
    assert features["backbone"] == name
    assert features["extraction"]["sha256"] == sha256(tmp_path / "encoder.onnx")
    hub.requests.clear()
    assert extract(client, tmp_path, name, HF_HUB_OFFLINE="1") == ""
    assert hub.requests == []
    assert extract(client, tmp_path, f"onnx:{tmp_path / 'encoder.onnx'}") == ""
    assert (tmp_path / "out" / "features" / "a.npy").read_bytes() == found


def test_one_of_several_files_is_named(
    hub: LoopbackHub, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    nested = {f"onnx/{name}": content for name, content in files.items()}
    commit = hub.add(NAME, nested | {"other.onnx": b"other"})
    message = extract(client, tmp_path, f"hf:{NAME}@{commit}")
    assert "has onnx/encoder.onnx, other.onnx: name one, as in hf:someone/encoder/FILE" in message
    assert extract(client, tmp_path, f"hf:{NAME}/onnx/encoder.onnx@{commit}") == ""


@pytest.mark.parametrize(
    ("revision", "changes", "expected"),
    [
        ("", {}, "the newest commit may change; name the commit, which is now: hf:.*@{commit}"),
        ("@main", {}, "main may change; name the commit, which is now: hf:.*@{commit}"),
        ("@{commit}", {"encoder.toml": None}, "has no encoder.toml, which says .*onnx:FILE"),
        ("@{commit}", {"encoder.onnx": None}, "has no ONNX file: name another"),
        ("@{commit}", {"encoder.toml": b"mean = 3"}, "encoder.toml: mean: a list is needed"),
    ],
)
def test_what_is_not_a_backbone_is_one_line(
    revision: str,
    changes: dict[str, bytes | None],
    expected: str,
    hub: LoopbackHub,
    client: Client,
    files: dict[str, bytes],
    tmp_path: Path,
) -> None:
    changed = {name: content for name, content in (files | changes).items() if content is not None}
    commit = hub.add(NAME, changed)
    message = extract(client, tmp_path, f"hf:{NAME}{revision}".replace("{commit}", commit))
    assert message.count("\n") == 1
    assert re.search(expected.replace("{commit}", commit), message)


def test_a_damaged_backbone_is_refused(
    hub: LoopbackHub, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    name = f"hf:{NAME}@{hub.add(NAME, files)}"
    hub.flipped = {f"{NAME}/encoder.onnx"}
    assert "encoder.onnx is damaged: its SHA-256" in extract(client, tmp_path, name)
    hub.flipped.clear()
    assert extract(client, tmp_path, name) == ""
    (cached,) = (tmp_path / "home").rglob("*.onnx")
    cached.write_bytes(b"changed")
    message = extract(client, tmp_path, name)
    assert re.search(r"is damaged: remove it, to download it again$", message)
    hub.sizes = {f"{NAME}/encoder.onnx": 3 * 2**30}
    shutil.rmtree(cached.parent)
    assert "3,221,225,472 bytes; the limit is" in extract(client, tmp_path, name)
