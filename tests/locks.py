"""Another process that holds a lock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDER = """
import sys
from pathlib import Path
from actspan.core.locks import lock_target
with lock_target(Path(sys.argv[1]), inside=sys.argv[2] == "True"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def locked_elsewhere(target: Path, *, inside: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Lock a target in another process until the block ends."""
    line = [sys.executable, "-c", _HOLDER, str(target), str(inside)]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.stdin.close()
