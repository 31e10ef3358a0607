"""The commands of docs/deploy/staged.md, run in order on small synthetic data."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import main
from tests.conftest import ROOT
from tests.examples import write_bundle, write_dataset

PAGE = (ROOT / "docs" / "deploy" / "staged.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- (runs|device: .*?) -->\n```sh\n(.*?)```", PAGE, flags=re.DOTALL)


def commands(block: str) -> Iterator[list[str]]:
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def run(words: list[str]) -> None:
    if words[0] == "python3":
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
        return
    assert words[0] == "actspan"
    answer = CliRunner().invoke(main, words[1:])
    assert answer.exit_code == 0, f"{shlex.join(words)}\n{answer.output}"


def stand_in(device: str, block: str) -> None:
    """Run the network in place of the vendor's tool of the page."""
    net, folder = device.split()
    assert Path(f"stage/{net}.info").is_file()
    assert f"-input_text_path=stage/{net}.info" in block
    Path(folder).parent.mkdir(exist_ok=True)
    words = ["staged", "run", "stage/", "--net", net, "--model", "bsn/", "--out", folder]
    run(["actspan", *words, "--backend", "onnxruntime"])


def test_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "bsn")
    write_dataset(tmp_path / "my-videos", videos=6)
    assert len(BLOCKS) == 8
    for kind, block in BLOCKS:
        if kind == "runs":
            for words in commands(block):
                run(words)
        else:
            stand_in(kind.removeprefix("device: "), block)
    assert Path("result.json").read_bytes() == Path("stage/result.json").read_bytes()


def test_the_page_names_every_subcommand() -> None:
    staged = main.get_command(None, "staged")  # type: ignore[arg-type]
    for name in staged.commands:  # type: ignore[union-attr]
        assert f"actspan staged {name}" in PAGE
