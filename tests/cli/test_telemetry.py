"""ONNX Runtime writes nothing for its vendor when a command runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_command_leaves_no_files_of_telemetry(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "actspan", "backends"], env=kept | home, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*Microsoft*"))
