"""Memory that a training frees is returned to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from actspan.training.memory import return_freed_memory

def megabytes():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1000

if sys.argv[1] == "returned":
    return_freed_memory()
np.ones(3_500_000)  # 28 MB: glibc keeps blocks of up to this size from now on
before = megabytes()
blocks, between = [], []  # the heap cannot shrink below the small blocks
for _ in range(40):
    blocks.append(np.ones(1_000_000))
    between.append(np.ones(25_000))
del blocks
print(megabytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize(("choice", "is_kept"), [("kept", True), ("returned", False)])
def test_freed_blocks_are_returned(choice: str, is_kept: bool) -> None:
    command = [sys.executable, "-c", PROGRAM, choice]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (float(done.stdout) > 200) == is_kept
