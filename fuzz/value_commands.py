"""Commands that a fuzzed file is passed to, beyond its reader: what they make of odd values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from actspan.cli import main
from actspan.core.errors import ActSpanError
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.data.annotations.formats import write_annotations
from actspan.data.result_writers import write_result

_FORMATS = ("csv", "elan", "vtt", "textgrid", "boris", "edl", "otio", "losslesscut", "audacity")


def evaluated_result(path: Path) -> None:
    """Evaluate a result, label it, and export it to every tool."""
    truth, scores = _truth(path), _scores(path)
    out = path.with_name("out")
    _run_all(
        out,
        [
            ("evaluate", path, "--ground-truth", truth),
            ("label", path, "--labels-from", scores, "--out", out / "labelled.json"),
            *_exports(path, out),
        ],
    )


def evaluated_truth(path: Path) -> None:
    """Evaluate against annotations, convert them, and export them to every tool."""
    out = path.with_name("out")
    result = ("evaluate", _result(path), "--ground-truth", path)
    convert = ("annotate", "convert", path, out / "converted.json", "--fps", 25)
    options = ("--on-error", "skip")
    lines = [result, convert, *_exports(path, out)]
    _run_all(out, [*lines, *((*line, *options) for line in lines[:2])])


def label_scores(path: Path) -> None:
    """Label a result with the scores of a file."""
    out = path.with_name("out")
    line = ("label", _result(path), "--labels-from", path, "--out", out / "labelled.json")
    _run_all(out, [line, (*line, "--on-error", "skip", "--force")])


def read_run(path: Path) -> None:
    """Evaluate and export a run with this `run.toml`."""
    shutil.copyfile(_result(path), path.with_name("result.json"))
    out, run = path.with_name("out"), path.parent
    evaluate = ("evaluate", run, "--ground-truth", _truth(path))
    _run_all(out, [evaluate, (*evaluate, "--diagnose"), *_exports(run, out)[:1]])


def _exports(source: Path, out: Path) -> list[Sequence[object]]:
    return [
        ("annotate", "export", source, out / name, "--to", name, "--fps", 25, "--on-error", "skip")
        for name in _FORMATS
    ]


def _run_all(out: Path, lines: Sequence[Sequence[object]]) -> None:
    """Run commands; raise what one raises, or ActSpanError if all refuse the file."""
    out.mkdir()
    try:
        refusals = []
        for line in lines:
            done = CliRunner().invoke(main, list(map(str, line)))
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                raise done.exception
            if done.exit_code:
                refusals.append(done.output)
        if len(refusals) == len(lines):
            raise ActSpanError(refusals[0])
    finally:
        shutil.rmtree(out)


def _truth(path: Path) -> Path:
    file = path.with_name("truth.json")
    if not file.is_file():
        video = Video("a", 12.0, "validation", [[1.0, 4.0], [6.0, 9.0]], ("x", "y"), fps=25.0)
        write_annotations(file, [video])
    return file


def _result(path: Path) -> Path:
    file = path.with_name("found.json")
    if not file.is_file():
        found = Proposals([0.5, 2.0], [4.0, 9.5], [0.9, 0.25], unit="seconds")
        write_result(file, {"a": found})
    return file


def _scores(path: Path) -> Path:
    file = path.with_name("scores-of-a.json")
    file.write_text(json.dumps({"a": [{"label": "x", "score": 0.5}]}))
    return file
