"""Run the blocks of a page in order, as a reader who types them.

Commands of `actspan` alone run in this process, other lines in a shell, Python in one namespace per
page. Trainings, measurements and the demo get options that make them small. A service runs until
the page starts another one. The service, the camera and the web site of a page are on loopback.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import time
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from click.testing import CliRunner

from actspan.cli import main
from tests.conftest import ROOT
from tests.docs.loopback import Loopback
from tests.docs.material import Material
from tests.docs.pages import Block

_SPECIAL = re.compile(r"[|&;<>$`*]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"$`]*\"|(?<=\s)#.*")
_NOT_A_COMMAND_HERE = ("pip ", "make ")


class Reader:
    """Reader who follows one page, in folders of their own."""

    def __init__(self, folder: Path, material: Material) -> None:
        self._folder, self._material = folder, material
        self._folders = 0
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        self._variables = dict(os.environ)
        self._service: subprocess.Popen[bytes] | None = None
        self._place = Loopback(material)
        self._check = True
        self._new_folder("")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_service()
        self._place.close()

    def follow(self, block: Block) -> None:
        """Run or check a block; raise AssertionError with the page and the line if it fails."""
        try:
            self._follow(block)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error

    def _follow(self, block: Block) -> None:
        if "runs on" in block.marks:
            self._new_folder(block.marks["runs on"])
        if "not run" in block.marks:
            _, _, instead = block.marks["not run"].partition("; instead: ")
            return self._run_lines(instead)
        if "file" in block.marks:
            Path(block.marks["file"]).write_text(block.text)
        vary = block.marks.get("output") == "numbers vary"
        if block.language == "sh":
            self._run_lines(block.text)
        elif block.language == "console":
            for command, shown in console(block.text):
                self._run_lines(command, check=False)  # its output is checked
                compare(shown, self._printed, vary=vary)
        elif block.language == "python":
            self._run_python(block)
        elif "output" in block.marks:
            compare(block.text, self._printed, vary=vary)
        elif block.language in READERS:
            READERS[block.language](block.text)
        return None

    def _new_folder(self, names: str) -> None:
        self._end_service()
        self._folders += 1
        folder = self._folder / str(self._folders)
        folder.mkdir()
        os.chdir(folder)
        self._material.place(names, folder)

    def _run_python(self, block: Block) -> None:
        # the empty lines give a traceback the lines of the page
        source = "\n" * block.line + self._place.adapt(block.text)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(source, str(block.page), "exec"), self._names)
        self._printed = printed.getvalue()

    def _run_lines(self, text: str, *, check: bool = True) -> None:
        self._check = check
        lines = commands(self._place.adapt(text))
        in_shell = any(map(needs_a_shell, lines))
        self._printed = ""
        for kind, group in groupby(lines, key=lambda line: kind_of(line, in_shell=in_shell)):
            getattr(self, f"_run_{kind}")(list(group))

    def _run_installation(self, lines: list[str]) -> None:
        """Check that targets of make exist; tests/test_package.py checks what pip installs."""
        for line in lines:
            if line.startswith("make "):
                words = ["make", "-n", *shlex.split(line, comments=True)[1:]]
                subprocess.run(words, cwd=ROOT, check=True, capture_output=True)

    def _run_service(self, lines: list[str]) -> None:
        for line in lines:
            self._end_service()
            words = ["bash", "-c", f"exec {line.split(' #')[0]} --port {self._place.port}"]
            variables = self._variables | self._place.variables
            log = self._folder / "service.log"
            with log.open("w") as output:
                self._service = subprocess.Popen(
                    words, env=variables, stdout=output, stderr=subprocess.STDOUT
                )
            wait_for(self._service, f"http://127.0.0.1:{self._place.port}/readyz", log)

    def _run_here(self, lines: list[str]) -> None:
        for line in lines:
            done = CliRunner().invoke(main, shlex.split(line, comments=True)[1:])
            wrong = done.exit_code != 0 and (self._check or done.exit_code != 1)
            assert not wrong, f"{line}\n{done.output}{done.exception or ''}"
            self._printed += done.stdout

    def _run_shell(self, lines: list[str]) -> None:
        """Run lines in bash; variables that they set are kept for later blocks."""
        kept = Path(self._folder / "variables")
        script = "\n".join(["set -aeuo pipefail", *lines, f"env -0 > '{kept}'"])
        variables = self._variables | self._place.variables
        words = ["bash", "-c", script]
        done = subprocess.run(words, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        pairs = (pair.split("=", 1) for pair in kept.read_text().split("\0") if "=" in pair)
        self._variables = dict(pairs)
        self._printed += done.stdout

    def _end_service(self) -> None:
        service, self._service = self._service, None
        if service is not None and service.poll() is None:
            service.terminate()
            log = (self._folder / "service.log").read_text()
            assert service.wait(timeout=30) == 0, log


def commands(text: str) -> list[str]:
    """Return the commands of a block: its lines, of which those that end in \\ go on."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def needs_a_shell(line: str) -> bool:
    if line.startswith((*_NOT_A_COMMAND_HERE, "actspan serve ")):
        return False
    return (
        not line.startswith("actspan ")
        or "OWNER/" in line
        or bool(_SPECIAL.search(_QUOTED.sub("", line)))
    )


def kind_of(line: str, *, in_shell: bool) -> str:
    if line.startswith(_NOT_A_COMMAND_HERE):
        return "installation"
    if line.startswith("actspan serve "):
        return "service"
    return "shell" if in_shell else "here"


def console(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a session, which follow `$ `, with the output of each."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def compare(shown: str, printed: str, *, vary: bool) -> None:
    """Raise AssertionError if the output of a page is not what was printed.

    Spaces and rules of tables may differ, and numbers if they vary. `...` stands for any text.
    """

    def plain(text: str) -> str:
        text = " ".join(re.sub("─+", "─", text).split())
        return re.sub(r"\d[\d.,:]*", "#", text) if vary else text

    pattern = re.escape(plain(shown)).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, plain(printed)), f"the page shows\n{shown}\nbut it is\n{printed}"


def wait_for(service: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until a service answers; raise AssertionError with its output if it ends."""
    for _ in range(1200):
        assert service.poll() is None, log.read_text()
        with contextlib.suppress(URLError), urlopen(address, timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"{address} does not answer")


READERS = {"json": json.loads, "toml": tomllib.loads}
