"""Completion in a real bash, with the line that the documentation gives."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main
from tests.conftest import ROOT

LINES = {
    "bash": 'eval "$(actspan completion bash)"',
    "zsh": 'eval "$(actspan completion zsh)"',
    "fish": "actspan completion fish | source",
}
TYPED = {
    "actspan propo": "actspan propose ",
    "actspan staged tem-i": "actspan staged tem-inputs ",
    "actspan propose --min": "actspan propose --min-score ",
    "actspan propose --engine r": "actspan propose --engine ray ",
    "actspan propose --backend asc": "actspan propose --backend ascend ",
    "actspan completion z": "actspan completion zsh ",
    "actspan propose mat": "actspan propose match.mp4 ",
    "actspan evaluate result": "actspan evaluate result.json ",
    "actspan propose --model bund": "actspan propose --model bundle/",
    "actspan propose --clips bund": "actspan propose --clips bundle/",
}


def test_bash_completes(tmp_path: Path) -> None:
    """Type each line and a tab in an interactive bash, and print what became of the line."""
    pty = pytest.importorskip("pty", reason="needs a terminal of POSIX")
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    program = tmp_path / "bin" / "actspan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m actspan "$@"\n')
    program.chmod(0o755)
    for name in ("match.mp4", "result.json"):
        (tmp_path / name).touch()
    (tmp_path / "bundle").mkdir()
    start, end, tab = "\x01", "\x05", "\t"  # Ctrl-A and Ctrl-E move the cursor
    keys = "".join(f"{line}{tab}{start}echo '{end}' >> lines\n" for line in TYPED)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        os.execlp("bash", "bash", "--norc", "-i")
    os.write(terminal, f"{LINES['bash']}\n{keys}exit\n".encode())
    shown = b""
    while chunk := _read(terminal):
        shown += chunk
    os.waitpid(pid, 0)
    lines = tmp_path / "lines"
    assert lines.is_file(), shown.decode()
    assert lines.read_text().splitlines() == list(TYPED.values())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # of Linux, when the shell has ended
        return b""


@pytest.mark.parametrize("shell", LINES)
def test_scripts_and_their_lines_in_the_documentation(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "_ACTSPAN_COMPLETE" in done.output
    assert LINES[shell] in (ROOT / "docs" / "start" / "install.md").read_text(encoding="utf-8")
