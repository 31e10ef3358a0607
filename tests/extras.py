"""Plugin for a suite without the extras: skip what needs a package that is not installed.

    python -m pytest -p tests.extras --doctest-ignore-import-errors

The full suite does not use it, so that a missing package fails there.
"""

from __future__ import annotations

import doctest
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from actspan.core.errors import MissingExtraError

_OURS = ("actspan", "benchmarks", "docs", "fuzz", "tests")


def _missing(error: BaseException | None) -> str | None:
    """Return the reason to skip a test after an error, or None if it is a failure."""
    if isinstance(error, doctest.UnexpectedException):
        error = error.exc_info[1]
    if isinstance(error, MissingExtraError):
        return str(error)
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition(".")[0]
    if package in _OURS or importlib.util.find_spec(package) is not None:
        return None
    return f"needs {package}, which is not installed"


class _Module(pytest.Module):
    """Test module that is skipped if it imports a package that is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            if (reason := _missing(error.__cause__)) is None:
                raise
            pytest.skip(reason)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Collect a test module."""
    return _Module.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Report a test that ended because a package is not installed as skipped."""
    error = None if call.excinfo is None else call.excinfo.value
    if error is not None and (reason := _missing(error)) is not None:
        skipped = pytest.skip.Exception(reason).with_traceback(error.__traceback__)
        call.excinfo = pytest.ExceptionInfo.from_exception(skipped)
    return (yield)
