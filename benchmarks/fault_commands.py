"""Commands that are killed at random: what is left is whole, blocks nothing, and is cleaned."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from actspan.model.bundle import Bundle
from benchmarks.fault_kinds import KINDS
from benchmarks.fault_world import Case, World, at_operation, count_operations, require

_KILLS = 3  # at most, one after the other, before a command may end
_VOLATILE = (".toml", ".log", ".md", ".sh")  # have dates, times or paths
_KILLED = "same bytes after the next run"


@dataclass(frozen=True)
class Killable:
    """A command that writes a folder, `out` of a case.

    Attributes
    ----------
    words : function
        Returns the arguments of a case.
    again : str
        Option that resumes it, if it has one.
    changes : bool
        Whether it adds to a bundle that exists, instead of writing a new folder.
    grows : bool
        Whether it writes a bundle first, and then adds to it.
    older : tuple of str
        Options of an older output that it replaces; none are replaced if there are none.
    needs : str
        Package without which it is left out.
    """

    words: Callable[[Case], list[str]]
    again: str = ""
    changes: bool = False
    grows: bool = False
    older: tuple[str, ...] = ()
    needs: str = ""


def _words(text: str, case: Case) -> list[str]:
    """Return arguments in which NAME is a file of the world, and OUT the output."""
    world = case.world
    known = {"SET": world.dataset, "BUNDLE": world.bundle, "PLAIN": world.plain, "OUT": case.out}
    words = (word.partition("/") for word in text.split())
    return [f"{known.get(word, word)}{mark}{rest}" for word, mark, rest in words]


def _killable(text: str, **options: object) -> Killable:
    return Killable(partial(_words, text), **options)  # type: ignore[arg-type]


COMMANDS: Mapping[str, Killable] = {
    "propose": Killable(lambda case: case.line(), again="--resume", older=("--subset", "training")),
    "pack": _killable("pack SET --out OUT", older=("--subset", "training")),
    "extract": _killable("extract SET/../tables --out OUT"),
    "train": _killable(
        "train --dataset SET --out OUT --epochs 2 --length 20 --tem-hidden 8 --device cpu",
        older=("--seed", "1"),
        needs="torch",
    ),
    "convert": _killable("convert BUNDLE/tem.safetensors BUNDLE/pem.safetensors --out OUT"),
    "export": _killable("export OUT", changes=True),
    "compile": _killable("compile OUT --target openvino", changes=True, needs="openvino"),
    "deploy": _killable("deploy PLAIN --target openvino --out OUT", grows=True, needs="openvino"),
}


def import_commands() -> None:
    """Import what the commands need, without starting a thread."""
    import actspan.cli.compile
    import actspan.cli.deploy
    import actspan.cli.export
    import actspan.cli.models
    import actspan.cli.train
    import actspan.deploy.deployment
    import actspan.streams.extraction  # noqa: F401

    for package in ("openvino", "torch"):
        if importlib.util.find_spec(package) is not None:
            importlib.import_module(package)


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the files of an output that are the same whenever it is made, by name.

    Raises BundleError if a bundle's files do not match their records.
    """
    if (folder / "model.toml").is_file():
        bundle = Bundle.load(folder)
        for name in bundle.files:
            bundle.file(name)
    found = {}
    for file in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = str(file.relative_to(folder))
        if name.startswith("logs/"):  # their names have times
            continue
        data = b"" if file.suffix in _VOLATILE else file.read_bytes()
        if file.suffix == ".jsonl":  # in the order in which videos were finished
            data = b"\n".join(sorted(set(data.splitlines())))
        found[name] = data
    return found


def kill_command(name: str, case: Case) -> str:
    """Kill a command some times, then let it end; require that nothing is lost, blocked or left."""
    command, random = COMMANDS[name], case.random
    facts = case.world.undisturbed.get(name)
    if facts is None:
        return f"left out: needs {command.needs}"
    place = "ordinary"
    if command.changes:
        shutil.copytree(case.world.plain, case.out)
    elif random.random() < 0.25:
        place = "volume"
        _mount(case)
    try:
        older = facts.older if random.random() < 0.5 else {}
        if older and place == "ordinary":
            shutil.copytree(facts.folder / "older", case.out)
        for _ in range(random.randint(1, _KILLS)):
            _kill(case, command, facts.operations, facts.seconds)
            _require_old_or_new(case, command, place, [older, facts.expected])
        _require_next_run(case, command, facts.expected)
    finally:
        if place == "volume":
            subprocess.run(["umount", "--lazy", str(case.out)], check=True)
    return _KILLED


def _require_next_run(case: Case, command: Killable, expected: dict[str, bytes]) -> None:
    """Require that the next run ends well, with the same content and nothing else."""
    ended = case.run(*_line(case, command))
    require(ended.code == 0, f"the next run: exit code {ended.code}: {ended.text[-2000:]}")
    _require_equal(content_of(case.out), expected)
    left = {path.name for path in case.folder.iterdir()} - {case.out.name, "log", "tmp"}
    require(not left, f"left next to the output: {sorted(left)}")
    temporary = {path.name for path in (case.folder / "tmp").iterdir()}
    temporary = {name for name in temporary if not name.startswith("torchinductor")}  # its cache
    require(not temporary, f"left in the folder of temporary files: {sorted(temporary)}")


def _require_equal(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    names = found.keys() ^ expected.keys()
    require(not names, f"files that are missing or left: {sorted(names)}")
    other = [name for name, data in found.items() if expected[name] != data]
    require(not other, f"differ from an undisturbed run: {other}")


def _require_old_or_new(
    case: Case, command: Killable, place: str, whole: list[dict[str, bytes]]
) -> None:
    """Require that what a reader sees is the old output, the new one or, if allowed, none."""
    marked = any((case.out / name).exists() for name in ("run.toml", "store.toml", "model.toml"))
    if not marked:
        lost = whole[0] and place == "ordinary" and not command.changes
        require(not lost, "the older output is lost")
        return
    found = content_of(case.out)
    if command.changes or command.grows:
        return  # the bundle is valid, as its files match their records
    if place == "volume":  # the rest is removed by the next run
        found = {n: d for n, d in found.items() if not n.startswith((".actspan-", ".lock"))}
    require(found in whole, f"neither the old nor the new output: {sorted(found)}")


def _kill(case: Case, command: Killable, operations: int, seconds: float) -> None:
    """Start a command, and kill it at a random time, or at a random change of the disk."""
    line, random = _line(case, command), case.random
    case.kills += 1
    if random.random() < 0.5:
        started = case.start(*line)
        time.sleep(random.uniform(0, 1.1 * seconds))
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
        return
    number = random.randint(1, operations)
    case.run(*line, setup=lambda: at_operation(number, _kill_self))


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _line(case: Case, command: Killable) -> list[str]:
    line = command.words(case)
    if command.again:
        line.append(command.again)
    if not command.changes and line[0] != "extract":
        line.append("--force")
    return line


def _mount(case: Case) -> None:
    """Make the output a mount point, such as a volume in a container."""
    case.out.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(case.out)]
    subprocess.run(line, check=True)


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed command: its folder, content, time, and number of changes of the disk."""

    folder: Path
    expected: dict[str, bytes]
    older: dict[str, bytes]
    seconds: float
    operations: int


def prepare(world: World, kinds: Iterable[str]) -> None:
    """Run the commands of these kinds of fault undisturbed, where they can run."""
    for name, command in COMMANDS.items():
        is_here = not command.needs or importlib.util.find_spec(command.needs) is not None
        if f"kill_{name}" in kinds and is_here:
            world.undisturbed[name] = _run_undisturbed(name, command, world)


def _run_undisturbed(name: str, command: Killable, world: World) -> Undisturbed:
    case = Case(world, world.folder / f"undisturbed-{name}", Random(0))
    case.folder.mkdir()
    if command.older:
        ended = case.run(*command.words(case), *command.older)
        require(ended.code == 0, f"{name} fails: {ended.text[-2000:]}")
        case.out.rename(case.folder / "older")
    if command.changes:
        shutil.copytree(world.plain, case.out)
    counted = case.folder / "operations"
    begin = time.perf_counter()
    ended = case.run(*command.words(case), setup=lambda: count_operations(counted))
    require(ended.code == 0, f"{name} fails: {ended.text[-2000:]}")
    seconds = time.perf_counter() - begin
    older = content_of(case.folder / "older") if command.older else {}
    operations = counted.stat().st_size
    return Undisturbed(case.folder, content_of(case.out), older, seconds, operations)


def _add(name: str) -> None:
    def kind(case: Case) -> str:
        return kill_command(name, case)

    kind.__name__, kind.__doc__ = f"kill_{name}", f"Kill `{name}` (SIGKILL), up to 3 times in a row"
    KINDS[kind] = 56


for _name in COMMANDS:
    _add(_name)
