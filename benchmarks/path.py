"""Functions of ActSpan that `actspan propose --dataset` enters, up to the first `Session.run`.

    python -m benchmarks.path

The path is that of someone who reads the main job from the command on. A profiler records each
function when it is first entered, in all threads; generated methods and expressions do not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click

import actspan

PACKAGE = Path(actspan.__file__).parent
_TRACE = """
import json, sys, threading
package, *words = json.loads(sys.argv[1])
entered, before = {}, []

def record(frame, event, argument):
    code = frame.f_code
    if event != "call" or not code.co_filename.startswith(package):
        return
    if code.co_flags & 1 and not code.co_name.startswith("<"):  # a function, not a module
        entered[code.co_filename[len(package) + 1:], code.co_qualname] = None
        if code.co_name == "run" and "runtime" in code.co_filename and not before:
            before.append(len(entered))

import actspan.cli
threading.setprofile(record)
sys.setprofile(record)
sys.argv = ["actspan", *words]
from actspan.__main__ import run
try:
    run()
except SystemExit:
    pass
sys.setprofile(None)
print("PATH" + json.dumps([before[0], list(entered)]))
"""


class EnteredPath(NamedTuple):
    """Functions in the order in which they were first entered.

    Attributes
    ----------
    functions : list of (file, name)
    before_run : int
        Number of those up to and including the first `Session.run`.
    """

    functions: list[tuple[str, str]]
    before_run: int

    @property
    def first(self) -> list[tuple[str, str]]:
        """Return the functions up to and including the first `Session.run`."""
        return self.functions[: self.before_run]


def files_of(functions: Iterable[tuple[str, str]]) -> set[str]:
    """Return the files of some functions."""
    return {file for file, _ in functions}


def trace_path() -> EnteredPath:
    """Propose on the demo's data in another process, and record the functions that it enters."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, bundle = f"{folder}/demo/dataset", str(PACKAGE / "model" / "demo")
        demo = [sys.executable, "-m", "actspan", "demo", "--videos", "4", "--out", f"{folder}/demo"]
        subprocess.run(demo, capture_output=True, check=True)
        words = ["propose", "--model", bundle, "--dataset", dataset, "--out", f"{folder}/run"]
        words += ["--backend", "onnxruntime", "--threads", "1"]
        command = [sys.executable, "-c", _TRACE, json.dumps([str(PACKAGE), *words])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("PATH"))
    before, entered = json.loads(line.removeprefix("PATH"))
    return EnteredPath([(file, name) for file, name in entered], before)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """List the functions by file, and count them."""
    path = trace_path()
    for file in sorted(files_of(path.functions)):
        first = [name for where, name in path.first if where == file]
        later = [name for where, name in path.functions[path.before_run :] if where == file]
        click.echo(f"{file}: {', '.join(first)}" + (f"; then {', '.join(later)}" if later else ""))
    click.echo(
        f"{len(path.first)} functions in {len(files_of(path.first))} files to the first "
        f"Session.run, {len(path.functions)} in {len(files_of(path.functions))} in all"
    )


if __name__ == "__main__":
    main()
