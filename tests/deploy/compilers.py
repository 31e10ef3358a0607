"""Fakes of vendors' compilers on PATH, which record their calls and compile nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actspan import Bundle, PemConfig, PipelineConfig, TemConfig
from actspan.config.stages import FeatureSpec
from actspan.model.manifest import Source
from actspan.model.weights import weight_shapes

# writes its arguments where the compiled file would be; says and returns what the test asks for
_ATC = """#!/bin/sh
for word in "$@"; do
  case "$word" in
    --model=*) model=${word#--model=} ;;
    --output=*) output=${word#--output=} ;;
  esac
done
echo "ATC start working now, please wait for a moment."
test -f "$model" || exit 9
if [ -n "$SAYS" ]; then printf '%s\\n' "$SAYS" >&2; exit "$CODE"; fi
printf '%s\\n' "$@" > "$output$SYSTEM.om"
echo "ATC run success, welcome to the next use."
"""

_TRTEXEC = """#!/bin/sh
echo "&&&& RUNNING TensorRT.trtexec [TensorRT v$VERSION] # trtexec $*"
for word in "$@"; do
  case "$word" in
    --help) exit 0 ;;
    --saveEngine=*) output=${word#--saveEngine=} ;;
  esac
done
if [ -n "$SAYS" ]; then printf '%s\\n' "$SAYS"; exit "$CODE"; fi
printf '%s\\n' "$@" > "$output"
"""

_SMI = """#!/bin/sh
test "$*" = "--query-gpu=name --format=csv,noheader" || exit 9
echo "$GPU"
"""


def put(folder: Path, name: str, text: str) -> Path:
    """Write a program to a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Set PATH to these folders and the system's, and unset all variables of vendors."""
    monkeypatch.setenv("PATH", ":".join([*map(str, folders), "/usr/bin", "/bin"]))
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "SAYS", "SYSTEM"):
        monkeypatch.delenv(name, raising=False)


def atc_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    only(monkeypatch, folder)
    return put(folder, "atc", _ATC)


def set_env(folder: Path) -> Path:
    """Write a CANN folder whose set_env.sh adds the fake to PATH."""
    put(folder / "latest" / "bin", "atc", _ATC)
    path = folder / "set_env.sh"
    path.write_text('export PATH="$(dirname "${BASH_SOURCE[0]}")/latest/bin:$PATH"\n')
    return path


def trtexec_on_path(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, version: str, gpu: str = "Tesla T4"
) -> None:
    only(monkeypatch, folder)
    monkeypatch.setenv("VERSION", version)
    monkeypatch.setenv("GPU", gpu)
    put(folder, "trtexec", _TRTEXEC)
    put(folder, "nvidia-smi", _SMI)


def published_sizes(folder: Path) -> Bundle:
    """Return a bundle of random weights with inputs and outputs of the published sizes."""
    rng = np.random.default_rng(0)
    tem, pem = TemConfig(hidden=8), PemConfig(hidden=8)

    def weights(config: TemConfig | PemConfig) -> dict[str, np.ndarray]:
        shapes = weight_shapes(config).items()
        return {name: rng.normal(size=shape, scale=0.1) for name, shape in shapes}

    return Bundle.create(
        folder,
        config=PipelineConfig(tem=tem, pem=pem),
        features=FeatureSpec(channels=tem.channels),
        source=Source(note="synthetic for tests"),
        weights={"tem": weights(tem), "pem": weights(pem)},
    )
