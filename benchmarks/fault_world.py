"""A small dataset and model, commands that can be killed, and checks after each fault."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.examples import write_bundle, write_dataset
from tests.runs import contents

VIDEOS, SHARD = 24, 2
SAME, ERROR, AGAIN = "same bytes", "one error", "same bytes after --resume"
Setup = Callable[[], None]


class BrokenError(AssertionError):
    """A check failed after a fault."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise BrokenError(message)


@dataclass(frozen=True)
class Ended:
    """Exit code (or minus the signal) and output of a command."""

    code: int
    text: str

    def clear_error(self) -> str:
        """Require exit code 1 and one line that says what was wrong, without a traceback."""
        require(self.code == 1, f"exit code {self.code}: {self.text[-1500:]}")
        require("Traceback" not in self.text, self.text[-3000:])
        errors = [line for line in self.text.splitlines() if line.startswith("error:")]
        require(len(errors) == 1 and len(errors[0]) > 20, f"no clear error: {self.text!r}")
        return ERROR


class Command:
    """`actspan` in a process forked from this one, which has everything imported."""

    def __init__(self, arguments: list[str], log: Path, setup: Setup | None = None) -> None:
        self._log = log
        self.pid = os.fork()
        if self.pid == 0:
            _run_and_exit(arguments, log, setup)

    def wait(self) -> Ended:
        """Wait until the command ends; return its exit code and output."""
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, self._log.read_text(errors="replace") if self._log.exists() else "")


def _run_and_exit(arguments: list[str], log: Path, setup: Setup | None) -> None:
    code = 70
    try:
        handle = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if setup is not None:
            setup()
        from actspan.cli import main

        main(arguments, prog_name="actspan")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class World:
    """A small dataset (also as a store) and model, and the undisturbed run; never changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundle, self.dataset, self.store = (folder / n for n in ("bundle", "set", "store"))
        self.plain = folder / "plain"  # the bundle without ONNX files
        self.seconds = 0.0  # that an undisturbed run takes
        self.expected: dict[str, bytes] = {}  # its files
        self.undisturbed: dict[str, Any] = {}  # other commands, by name

    @classmethod
    def make(cls, folder: Path) -> World:
        """Write dataset, bundle and store, and make the undisturbed run."""
        world = cls(folder)
        if os.fork() == 0:  # so that this process never starts a thread
            write_dataset(folder / "set", videos=VIDEOS)
            write_bundle(folder / "bundle")
            write_tables(folder / "tables")
            os._exit(0)
        os.wait()
        case = Case(world, folder / "undisturbed", random.Random(0))
        case.folder.mkdir()
        case.run("pack", str(world.dataset), "--out", str(world.store))
        weights = (str(world.bundle / f"{net}.safetensors") for net in ("tem", "pem"))
        case.run("convert", *weights, "--out", str(world.plain))
        case.propose()
        shutil.rmtree(case.out)
        begin = time.perf_counter()
        require(case.propose().code == 0, "the undisturbed run fails")
        world.seconds = time.perf_counter() - begin
        world.expected = contents(case.out)
        return world


class Case:
    """One fault, with a folder and a source of random numbers of its own."""

    def __init__(self, world: World, folder: Path, random: random.Random) -> None:
        self.world, self.folder, self.random = world, folder, random
        self.out = folder / "run"
        self.bundle, self.dataset = world.bundle, world.dataset
        self.kills = 0  # processes that were killed

    def copy_dataset(self) -> Path:
        """Use a copy of the dataset, which may be damaged."""
        self.dataset = self.folder / "set"
        shutil.copytree(self.world.dataset, self.dataset)
        return self.dataset

    def copy_bundle(self) -> Path:
        """Use a copy of the bundle, which may be damaged."""
        self.bundle = self.folder / "bundle"
        shutil.copytree(self.world.bundle, self.bundle)
        return self.bundle

    @property
    def partial(self) -> Path:
        """Return the folder of the unfinished run."""
        return self.out.with_name(f"{self.out.name}.partial")

    def start(self, *arguments: str, setup: Setup | None = None) -> Command:
        """Start a command, with a folder of temporary files of its own."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        temporary.chmod(0o777)

        def prepare() -> None:
            os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
            if setup is not None:
                setup()

        return Command(list(arguments), self.folder / "log", prepare)

    def run(self, *arguments: str, setup: Setup | None = None) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, setup=setup).wait()

    def line(self, *options: str) -> list[str]:
        """Return the command line of the run."""
        return [
            "propose",
            *("--model", str(self.bundle)),
            *("--dataset", str(self.dataset)),
            *("--out", str(self.out)),
            *("--shard-size", str(SHARD)),
            *("--threads", "2", "--batch", "2", "--backend", "onnxruntime"),
            *options,
        ]

    def propose(self, *options: str, setup: Setup | None = None) -> Ended:
        """Run the command of the run."""
        return self.run(*self.line(*options), setup=setup)

    def propose_or_error(self, setup: Setup | None = None) -> bool:
        """Run the command; return whether it ended with the same bytes, not with a clear error."""
        ended = self.propose(setup=setup)
        if ended.code == 0:
            self.require_same()
        else:
            ended.clear_error()
        return ended.code == 0

    def wait_a_moment(self) -> None:
        """Wait for a random part of the time that an undisturbed run takes."""
        time.sleep(self.random.uniform(0, 1.1 * self.world.seconds))

    def stop_after(self, shards: int) -> None:
        """Kill a run once this number of shards is done."""
        self.propose("--resume", setup=lambda: kill_after_shards(shards))
        require(self.partial.is_dir(), "the run was not stopped")

    def require_complete_or_absent(self) -> None:
        """Require that the run is complete or does not exist."""
        if self.out.exists():
            self.require_same()

    def require_same(self) -> None:
        """Require that the run equals the undisturbed one."""
        found = contents(self.out)
        for name, data in self.world.expected.items():
            same = found.get(name) == data
            moved = name == "run.toml" and self.dataset != self.world.dataset
            require(same or moved, f"{name} differs from that of an undisturbed run")

    def resumed(self) -> str:
        """Resume the run and require the same bytes, with no other files left."""
        ended = self.propose("--resume")
        require(ended.code == 0, f"exit code {ended.code}: {ended.text[-2000:]}")
        self.require_same()
        require(not self.partial.exists(), f"{self.partial} is still there")
        return AGAIN


def kill_after_shards(shards: int) -> None:
    """Prepare this process to kill itself (SIGKILL) when it starts a shard after this number."""
    on_event(
        shards + 1,
        lambda event, words: event == "os.rename" and str(words[1]).endswith(".shard"),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
    )


def at_operation(number: int, act: Callable[[], None]) -> None:
    """Prepare this process to call a function at its `number`th operation that changes the disk."""
    on_event(number, _is_change, act)


def count_operations(file: Path) -> None:
    """Prepare this process to append a byte to a file at each operation that changes the disk."""
    handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def hook(event: str, words: tuple[object, ...]) -> None:
        if _is_change(event, words):
            os.write(handle, b".")

    sys.addaudithook(hook)


def _is_change(event: str, words: tuple[object, ...]) -> bool:
    if event == "open":
        flags = words[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
    return event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")


def write_tables(folder: Path) -> None:
    """Write recordings of sensors, for `extract`."""
    folder.mkdir()
    for number in range(6):
        rows = "".join(f"{0.1 * step:.1f},{(step * number) % 7}\n" for step in range(400))
        (folder / f"table{number}.csv").write_text(f"time,x\n{rows}")


def on_event(
    number: int, counts: Callable[[str, tuple[object, ...]], bool], act: Callable[[], None]
) -> None:
    """Call a function at the `number`th audit event that counts."""
    left = number

    def hook(event: str, words: tuple[object, ...]) -> None:
        nonlocal left
        if counts(event, words):
            left -= 1
            if left == 0:
                act()

    sys.addaudithook(hook)
