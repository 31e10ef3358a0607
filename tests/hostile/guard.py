"""A process with limited memory that reads the files of tests: `python -m tests.hostile.guard`.

It takes one line of JSON per file and answers with one. A process that died or does not answer in
time is an answer too.
"""

from __future__ import annotations

import json
import resource
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

ROOM = 1 << 30  # bytes above what the process has after its imports
TIMEOUT = 20.0  # seconds, enough on a busy machine


@dataclass(frozen=True)
class Answer:
    """Outcome of a read: success, an error of ours, or an outcome that is not allowed."""

    error: str = ""
    message: str = ""
    ours: bool = True
    seconds: float = 0.0


class Guard:
    """The process; started when it is first needed, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, target: str, file: str, path: Path) -> Answer:
        """Let a reader of `fuzz.targets` read a file."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([target, file, str(path)]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], TIMEOUT)
        line = process.stdout.readline() if ready else ""
        if line:
            return Answer(**json.loads(line))
        self.close()
        code = process.returncode
        return Answer("death", f"signal {-code}" if ready else "hangs", ours=False)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _answer(read: Any, path: Path) -> dict[str, Any]:
    from fuzz.targets import REFUSALS

    began = time.perf_counter()
    try:
        read(path)
    except REFUSALS as error:
        found = {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # noqa: BLE001  (the test checks which)
        found = {"error": type(error).__name__, "message": repr(error)[:500], "ours": False}
    else:
        found = {}
    return {**found, "seconds": time.perf_counter() - began}


def _warm_up() -> None:
    """Import and compile everything that readers need, before memory is limited."""
    import tempfile

    from fuzz.seeds import write_seeds
    from fuzz.targets import TARGETS, read_input

    with tempfile.TemporaryDirectory() as name:
        for target in TARGETS:
            folder, work = Path(name, target), Path(name, f"{target}.read")
            (work / "scores").mkdir(parents=True)
            write_seeds(target, folder)
            for seed in folder.iterdir():
                _answer(lambda path, t=target, w=work: read_input(t, path.read_bytes(), w), seed)


def main() -> None:
    from fuzz.targets import TARGETS

    answers, sys.stdout = sys.stdout, sys.stderr  # keeps the output of native libraries apart
    _warm_up()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        target, file, path = json.loads(line)
        (reader,) = (r for r in TARGETS[target] if r.file == file)
        print(json.dumps(_answer(reader.read, Path(path))), file=answers, flush=True)


if __name__ == "__main__":
    main()
