"""The main job stays short enough to read."""

from __future__ import annotations

from benchmarks.path import files_of, trace_path

# The aim is 120 functions in 25 files to the first `Session.run`, and 160 functions in all.
FUNCTIONS, FILES, IN_ALL = 177, 47, 248


def test_the_main_job_enters_few_functions() -> None:
    path = trace_path()
    assert len(path.first) <= FUNCTIONS
    assert len(files_of(path.first)) <= FILES
    assert len(path.functions) <= IN_ALL
