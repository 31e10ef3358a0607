"""Statements of pages that no command shows: they agree with the code."""

from __future__ import annotations

import re

from actspan.cli import main
from actspan.data.annotations.format_table import FORMATS
from tests.conftest import ROOT


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_form_is_in_the_table() -> None:
    for format in FORMATS.values():
        (row,) = re.findall(rf"^\| `{format.name}` \|.*$", page("how-to/datasets.md"), re.MULTILINE)
        assert row.split("|")[3].strip() == ("yes" if format.read is not None else "")
        assert row.split("|")[4].strip() == ("yes" if format.encode is not None else "")


def test_the_staged_page_names_every_subcommand() -> None:
    for name in main.get_command(None, "staged").commands:  # type: ignore[arg-type, union-attr]
        assert f"actspan staged {name}" in page("deploy/staged.md")


def test_the_lines_of_atc_are_those_that_are_written() -> None:
    for net, shape in (("tem", "video:16,400,100"), ("pem", "video_feature:16,1000,32")):
        line = (
            f"atc --framework=5 --model={net}.ascend.bs16.onnx --output={net}.fp16.bs16 "
            f'--input_format=ND --input_shape="{shape}" --log=debug --soc_version=Ascend310\n'
        )
        assert line in page("deploy/ascend.md")


def test_pages_that_the_source_names_exist() -> None:
    named = {
        (file.relative_to(ROOT).as_posix(), name)
        for folder in ("src", "tests", "benchmarks", ".ci")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert [(file, name) for file, name in sorted(named) if not (ROOT / name).is_file()] == []


def test_files_that_pages_outside_the_site_link_to_exist() -> None:
    """The build of the site checks the links of its own pages alone."""
    links = {
        (page.name, link.partition("#")[0])
        for page in ROOT.glob("*.md")
        for link in re.findall(r"\]\((?![a-z]+:|#)([^)]+)\)", page.read_text(encoding="utf-8"))
    }
    assert len(links) > 10
    assert [(page, link) for page, link in sorted(links) if not (ROOT / link).exists()] == []
