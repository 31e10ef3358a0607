"""Runs a vendor's compiler as a program; reports its output and keeps it in a log."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from actspan.core.errors import CompileError
from actspan.deploy.compile.plan import Report

__all__ = ["run_program"]


def run_program(
    words: Sequence[str],
    *,
    folder: Path,
    log: Path,
    report: Report,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a program, and keep what it prints on both streams.

    Parameters
    ----------
    words : sequence of str
        The program and its arguments, run without a shell.
    folder : Path
        Working directory.
    log : Path
        Log file: a line with the command, then the output.
    report : callable
        Called with every line as it is printed.
    env : mapping, optional
        Environment of the program; by default that of this process.

    Returns
    -------
    int, str
        Exit code (negative: the signal that ended the program), and the whole output.

    Raises
    ------
    CompileError
        The program does not start.
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
    with process, log.open("w", encoding="utf-8") as stream:
        stream.write(f"$ {shlex.join(words)}\n")
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                printed.append(line)
                report(line.rstrip())
        except BaseException:  # after an interruption no compiler must keep running
            process.kill()
            raise
    return process.wait(), "".join(printed)
