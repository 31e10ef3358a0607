"""A vendor's compiler as a program: its lines are passed on, and kept in a log."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from actspan.errors import CompileError
from actspan.export.compile.plan import Report

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
        The program and its arguments; no shell sees them.
    folder : Path
        Where it runs.
    log : Path
        Everything that it prints, after a line with the command.
    report : callable
        Told every line as it comes.
    env : mapping, optional
        Its environment; ours unless given.

    Returns
    -------
    int, str
        Its exit code (negative: the signal that ended it), and all that it printed.

    Raises
    ------
    CompileError
        It does not start.
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
        except BaseException:  # interrupted: leave no compiler behind
            process.kill()
            raise
    return process.wait(), "".join(printed)
