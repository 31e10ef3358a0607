"""Jobs of a vendor's compiler, its report, and running it as a program."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.core.errors import CompileError
from actspan.deploy.deploy_requests import CompileRequest
from actspan.model.bundle import Bundle
from actspan.model.weights import Net

Sizes = tuple[int | None, ...]  # None: any size
Log = Callable[[str], None]  # called with every line that a vendor's compiler prints


def no_log(line: str) -> None:
    """Ignore a line; the default of every function that logs."""


@dataclass(frozen=True, slots=True)
class CompileJob:
    """One network to compile."""

    net: Net
    source: str  # ONNX file in the bundle
    outputs: tuple[str, ...]  # files to create in the bundle; a runtime opens the last one
    input: str  # name of the network's input
    least: Sizes  # smallest shape of the input
    most: Sizes  # largest shape
    notes: tuple[str, ...] = ()  # lines about what was skipped when its graph was made

    @property
    def output(self) -> str:
        """File that a runtime opens."""
        return self.outputs[-1]

    @property
    def stem(self) -> str:
        """Name of the output without its suffix."""
        return self.output.rpartition(".")[0]

    @property
    def shapes(self) -> str:
        """Shapes for messages: `1x400x100 to 16x400x100`."""
        texts = ["x".join("?" if n is None else str(n) for n in s) for s in (self.least, self.most)]
        return " to ".join(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True)
class CompilePlan:
    """A bundle with every graph to compile, and the jobs."""

    bundle: Bundle
    request: CompileRequest
    jobs: tuple[CompileJob, ...]


@dataclass(frozen=True, slots=True)
class CompilerReport:
    """Report of a compiler on one job."""

    command: Sequence[str] = ()  # that created the outputs; empty if there was none
    notes: tuple[str, ...] = ()  # lines about what was skipped


@dataclass(frozen=True, slots=True)
class Compiler:
    """A vendor's compiler that is available."""

    version: str  # for messages and for the record: `atc of /usr/local/Ascend/...`
    # Compiles a job in a folder of its own, which contains its ONNX file; raises CompileError.
    compile: Callable[[CompileJob, CompilePlan, Path, Log], CompilerReport]
    key: str = ""  # part of the names of files that run only on this machine


def run_program(
    words: Sequence[str],
    job: CompileJob,
    folder: Path,
    log: Log,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a vendor's compiler in a folder, without a shell, and keep its output as a log there.

    Return its exit code (negative: the signal that ended it), and the output of both streams.
    Raise CompileError if it does not start.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  no shell
            list(words),
            cwd=folder,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise CompileError(f"{words[0]} does not start: {error.strerror}") from error
    printed = []
    with process, (folder / f"{job.stem}.log").open("w", encoding="utf-8") as stream:
        stream.write(f"$ {shlex.join(words)}\n")
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                printed.append(line)
                log(line.rstrip())
        except BaseException:  # after an interruption no compiler must keep running
            process.kill()
            raise
    return process.wait(), "".join(printed)
