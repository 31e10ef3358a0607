"""The process that fuzzes one target: `python -m fuzz.child TARGET FOLDER [libFuzzer's options]`.

An exception that no reader may raise is recorded once per place in the code, and fuzzing continues.
A crash, a hang or too much memory ends the process; the parent process starts it again.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

# In compiled code, reads beyond an array become exceptions.
os.environ["NUMBA_BOUNDSCHECK"] = "1"

_SOURCE = Path(__file__).resolve().parents[1] / "src"
# Memory that may be allocated after the imports; a larger allocation fails.
_ROOM = 1 << 30  # bytes
_LONGEST = 10.0  # seconds of processor time for an input


def compiled_modules() -> list[str]:
    """Return the modules that numba compiles: their bytecode must not be instrumented."""
    mark = "from actspan.core.kernels import"
    files = [f for f in sorted(_SOURCE.rglob("*.py")) if mark in f.read_text(encoding="utf-8")]
    files.append(_SOURCE / "actspan" / "core" / "kernels.py")
    return [".".join(f.relative_to(_SOURCE).with_suffix("").parts) for f in files]


def place_of(error: BaseException) -> str:
    """Return the type of an exception and the last line of our code that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if str(_SOURCE) in f.filename] or list(frames)
    file = Path(ours[-1].filename)
    return f"{type(error).__name__} at {file.name}:{ours[-1].lineno}"


class Findings:
    """Findings in a folder: an input and its traceback, one per place in the code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._seen = {
            f.read_text(encoding="utf-8").partition("\n")[0] for f in folder.glob("*.txt")
        }

    def add(self, data: bytes, error: BaseException) -> None:
        """Keep an input that raised an exception that is not allowed."""
        place = place_of(error)
        if place in self._seen:
            return
        self._seen.add(place)
        name = hashlib.sha256(data).hexdigest()[:12]
        (self._folder / f"{name}.bin").write_bytes(data)
        text = "".join(traceback.format_exception(error))
        (self._folder / f"{name}.txt").write_text(f"{place}\n{text}", encoding="utf-8")


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, size + _ROOM))


def main() -> None:
    """Fuzz until the time is over, or the process dies."""
    import atheris

    target, folder = sys.argv[1], Path(sys.argv[2])
    instrumented = partial(
        atheris.instrument_imports, include=["actspan"], exclude=compiled_modules()
    )
    with instrumented():
        from fuzz.targets import REFUSALS, read_input

    findings = Findings(folder / "findings")
    work = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
    (work / "scores").mkdir()

    def once(data: bytes) -> Any:
        begin = time.process_time()
        try:
            with suppress(*REFUSALS):
                read_input(target, data, work)
            if (seconds := time.process_time() - begin) > _LONGEST:
                raise TimeoutError(f"{seconds:.1f} s of processor time")
        except Exception as error:  # noqa: BLE001  (these are the findings)
            findings.add(data, error)

    with instrumented():
        for seed in sorted((folder / "seeds").iterdir()):
            once(seed.read_bytes())  # imports and compiles at first use
    _limit_memory()
    atheris.Setup([sys.argv[0], *sys.argv[3:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
