"""Repeat a finding, with its traceback: `python -m fuzz.again READER FILE`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from fuzz.targets import REFUSALS, read_input


def main() -> None:
    """Read one input, and print the result and how long it took."""
    target, file = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "scores").mkdir()
        begin = time.process_time()
        try:
            print(f"returned {read_input(target, file.read_bytes(), Path(name))!r}")
        except REFUSALS as error:
            print(f"refused: {type(error).__name__}: {error}")
        print(f"{time.process_time() - begin:.3f} s of the processor")


if __name__ == "__main__":
    main()
