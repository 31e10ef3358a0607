"""Main jobs of this package under limits of Windows, in a process of their own.

`python -X warn_default_encoding -m tests.windows FOLDER [limited]` writes the results of the jobs
to FOLDER. The limits are those that can be imposed elsewhere: modules, functions and signals that
Windows lacks are absent, folders cannot be opened, files that are open cannot be replaced, moved or
removed, and text without a named encoding is an error. Paths with backslashes, drives and other
rules of names are not simulated.
"""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import shutil
import signal
import subprocess  # before the limits: its Linux branch needs what they remove
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
_FUNCTIONS = (
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "wait"),
    *("nice", "getloadavg", "mkfifo", "mknod", "statvfs", "sync", "chown", "pread", "pwrite"),
    *("sched_getaffinity", "sched_yield", "posix_fadvise"),
    *("O_DIRECTORY", "WNOHANG"),
)
_SIGNALS = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class _Absent:
    """Finder that refuses modules which Windows lacks to the modules of this package."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] in _MODULES and _importer().startswith("actspan"):
            raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)


def _importer() -> str:
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__", "").startswith("importlib"):
        assert frame.f_back is not None
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _open_files() -> Iterator[str]:
    """Yield the paths of the files that this process has open or mapped."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        yield from (line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "/" in line)


def _refusing(function: Callable[..., Any], paths: int) -> Callable[..., Any]:
    """Return a function that refuses open files among its first arguments, or in a folder."""

    def guarded(*arguments: Any, **options: Any) -> Any:
        for path in arguments[:paths]:
            real = os.path.realpath(os.fsdecode(path))
            if any(file == real or file.startswith(f"{real}/") for file in _open_files()):
                raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))
        return function(*arguments, **options)

    return guarded


def impose_limits() -> None:
    """Impose limits of Windows on this process."""
    assert subprocess.Popen  # is imported
    for name in _MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Absent())  # type: ignore[arg-type]
    for name in _FUNCTIONS:
        if hasattr(os, name):
            delattr(os, name)
    for name in _SIGNALS:
        delattr(signal, name)
    open_file = os.open

    def open_no_folder(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if isinstance(path, str | bytes | os.PathLike) and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_file(path, flags, *arguments, **options)

    os.open = open_no_folder
    for name, paths in {"replace": 2, "rename": 2, "unlink": 1, "remove": 1, "rmdir": 1}.items():
        setattr(os, name, _refusing(getattr(os, name), paths))
    shutil._use_fd_functions = False  # type: ignore[attr-defined]  # as there, without os.fwalk
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[misc,assignment]
    warnings.filterwarnings("error", category=EncodingWarning, module=r"actspan(\.|$)")


def import_all() -> int:
    """Import every module of the package whose requirements are installed; return their number."""
    import actspan
    from actspan.core.errors import MissingExtraError

    count = 0
    for module in pkgutil.walk_packages(actspan.__path__, "actspan."):
        if module.name == "actspan.__main__":
            continue
        try:
            importlib.import_module(module.name)
            count += 1
        except (MissingExtraError, ModuleNotFoundError) as error:
            if "on Windows" in str(error):
                raise
    return count


def run(*words: str | Path) -> None:
    """Run a command of actspan."""
    from actspan.cli import main

    main([str(word) for word in words], standalone_mode=False)


def run_jobs(folder: Path) -> None:
    """Run the main jobs, and write their results to a folder; match.mp4 may be in it."""
    import actspan
    from actspan.data.synthetic_dataset import write_synthetic_dataset
    from actspan.jobs.driver import propose
    from actspan.jobs.propose_request import ProposeRequest
    from actspan.jobs.sinks import Sink
    from actspan.pipeline.outcomes import Outcome

    model = Path(shutil.copytree(Path(actspan.__file__).parent / "model" / "demo", folder / "bsn"))
    dataset = folder / "dataset"
    write_synthetic_dataset(dataset, validation=4)
    (folder / "ünïcode").mkdir()
    run("propose", "--model", model, "--dataset", dataset, "--out", folder / "ünïcode" / "run")
    run("propose", "--model", model, "--dataset", dataset, "--out", folder / "result.json")
    run("propose", "--model", model, "--dataset", dataset, "--out", folder / "result.json")
    run("evaluate", folder / "result.json", "--ground-truth", dataset, "--json")

    class Interrupted(Sink):
        left = 3

        def add(self, outcome: Outcome) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    out, partial = folder / "resumed", folder / "resumed.partial"
    request = ProposeRequest(model, dataset, out, shard_size=1, backend="onnxruntime")
    with suppress(KeyboardInterrupt):
        propose(request, sinks=[Interrupted()])
    assert "000000.shard" in {file.name for file in partial.iterdir()}
    words = ("--model", model, "--dataset", dataset, "--out", out, "--backend", request.backend)
    run("propose", *words, "--resume")
    assert not partial.exists()
    if (folder / "match.mp4").is_file():
        run("propose", folder / "match.mp4", "--out", folder / "moments.json")


def main() -> None:
    """Run the jobs, with limits if they are asked for."""
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["limited"]:
        impose_limits()
        print(import_all(), "modules")
    run_jobs(folder)


if __name__ == "__main__":
    main()
