"""Rules of the package: a light import, listed public names, rooms that import upwards only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actspan
from tests.conftest import ROOT

SOURCE = Path(actspan.__file__).parent


def rooms() -> list[str]:
    """Return the rooms in import order, as the table in docs/project/architecture.md lists them."""
    text = (ROOT / "docs" / "project" / "architecture.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)


ROOMS = rooms()


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_light() -> None:
    heavy = [
        "torch",
        "onnx",
        "numba",
        "numpy",
        "pandas",
        "matplotlib",
        "pyarrow",
        "onnxruntime",
        "ray",
    ]
    loaded = f"import sys, actspan; print([m for m in {heavy} if m in sys.modules])"
    assert run_python(loaded) == "[]"


def test_the_main_job_never_imports_torch() -> None:
    loaded = "actspan.jobs.driver, actspan.evaluation.recall"
    code = f"import sys, {loaded}; print('torch' in sys.modules)"
    assert run_python(code) == "False"


@pytest.mark.parametrize("name", actspan.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    assert getattr(actspan, name).__doc__


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'detect'"):
        actspan.detect  # noqa: B018


def test_the_package_lists_public_names_only() -> None:
    assert dir(actspan) == sorted(["__version__", *actspan.__all__])
    assert (SOURCE / "py.typed").is_file()


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(line for line in changelog.splitlines() if line.startswith("## "))
    assert newest.split()[1] == actspan.__version__


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("actspan."):
            found.add(room_of(str(node.module)))
        elif isinstance(node, ast.Import):
            found |= {room_of(a.name) for a in node.names if a.name.startswith("actspan.")}
    return found


@pytest.mark.parametrize(
    "file",
    [
        f
        for f in sorted(SOURCE.rglob("*.py"))
        if f.parent != SOURCE or f.stem not in ("__init__", "__main__")
    ],
    ids=lambda f: str(f.relative_to(SOURCE)),
)
def test_rooms_import_upwards_only(file: Path) -> None:
    room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert room in ROOMS, f"{room} has no place in the house: add it to ROOMS and to the docs"
    below = set(ROOMS[ROOMS.index(room) + 1 :])
    assert not imports_of(file) & below
