"""Test the files of the page: modules, types, inline code, documented keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import actspan.server
from tests.conftest import ROOT

VIEWER = Path(actspan.server.__file__).parent / "viewer"
MODULES = sorted(VIEWER.rglob("*.js"))
INDEX = (VIEWER / "index.html").read_text(encoding="utf-8")


def test_every_module_is_loaded_at_once() -> None:
    preloaded = set(re.findall(r'modulepreload" href="([\w./]+)"', INDEX))
    modules = {str(module.relative_to(VIEWER)) for module in MODULES}
    assert preloaded == modules - {"main.js", "theme.js"}


def test_nothing_is_inline() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", INDEX)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_says_what_it_is_for_and_is_short(module: Path) -> None:
    lines = module.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("// ")
    assert lines[0].endswith(".")
    assert len(lines) <= 300


def test_only_two_modules_send_requests() -> None:
    sending = {module.name for module in MODULES if "fetch(" in module.read_text(encoding="utf-8")}
    assert sending == {"request.js", "connection.js"}


def test_the_documented_keys_are_those_of_the_page() -> None:
    scripts = [(VIEWER / name).read_text(encoding="utf-8") for name in ("keys.js", "review_tab.js")]
    known = re.findall(r'\["([^"]+)", "([^"]+)", "\w+"\]', "".join(scripts))
    page = (ROOT / "docs/how-to/viewer.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| (`.*`) \| (.*) \|$", page, re.MULTILINE)
    assert [(keys.replace("`", ""), what) for keys, what in written] == known
