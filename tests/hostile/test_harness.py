"""Parts of the fuzzer: seeds are valid files, every reader has some, findings are kept once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.child import Findings, compiled_modules
from fuzz.seeds import write_seeds
from fuzz.targets import TARGETS, read_input


@pytest.mark.parametrize("target", TARGETS)
def test_every_reader_has_a_valid_seed(target: str, tmp_path: Path) -> None:
    write_seeds(target, tmp_path / "seeds")
    work = tmp_path / "work"
    (work / "scores").mkdir(parents=True)
    good = set()
    for seed in (tmp_path / "seeds").iterdir():
        data = seed.read_bytes()
        read_input(target, data, work)
        good.add(data[0])
    assert good == set(range(len(TARGETS[target])))


def test_a_finding_is_kept_once(tmp_path: Path) -> None:
    findings = Findings(tmp_path)
    for data in (b"a", b"b"):
        try:
            raise KeyError(data)
        except KeyError as error:
            findings.add(data, error)
    (text,) = tmp_path.glob("*.txt")
    assert text.read_text().startswith("KeyError at test_harness.py:")
    assert text.with_suffix(".bin").read_bytes() == b"a"


def test_compiled_modules_are_not_instrumented() -> None:
    assert "actspan.data.csv_features" in compiled_modules()
