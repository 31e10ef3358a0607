"""The kinds of fault: each injects one, checks the result, and returns how it ended."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fault_world import ERROR, SAME, VIDEOS, Case, at_operation, require
from tests.runs import contents

Kind = Callable[[Case], str]
KINDS: dict[Kind, int] = {}  # with the usual number of faults


def usual(number: int) -> Callable[[Kind], Kind]:
    """Return a decorator that adds a kind of fault, of which its docstring is the title."""

    def add(kind: Kind) -> Kind:
        KINDS[kind] = number
        return kind

    return add


@usual(50)
def kill_at_a_moment(case: Case) -> str:
    """Kill the driver (SIGKILL) at random times"""
    for _ in range(case.random.randint(1, 3)):
        driver = case.start(*case.line("--resume"))
        case.wait_a_moment()
        os.kill(driver.pid, signal.SIGKILL)
        case.kills += 1
        driver.wait()
        case.require_complete_or_absent()
    return case.resumed()


@usual(50)
def kill_at_an_operation(case: Case) -> str:
    """Kill the driver (SIGKILL) at its n-th operation on the disk"""
    number = case.random.randint(1, 70)
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    case.propose(setup=lambda: at_operation(number, kill))
    case.kills += 1
    case.require_complete_or_absent()
    return case.resumed()


def _stopped(case: Case, number: int, code: int) -> str:
    """Stop the driver by a signal; it must say what is saved."""
    driver = case.start(*case.line())
    case.wait_a_moment()
    os.kill(driver.pid, number)
    ended = driver.wait()
    require(ended.code in (code, 0, -number), f"exit code {ended.code}: {ended.text[-2000:]}")
    require("Traceback" not in ended.text, ended.text[-2000:])
    case.require_complete_or_absent()
    if any(case.partial.glob("*.shard")):
        require("saved: " in ended.text, f"no word of what is kept: {ended.text}")
    return case.resumed()


@usual(12)
def terminate(case: Case) -> str:
    """Terminate the driver (SIGTERM) at random times"""
    return _stopped(case, signal.SIGTERM, 143)


@usual(12)
def interrupt(case: Case) -> str:
    """Interrupt the driver (Ctrl-C) at random times"""
    return _stopped(case, signal.SIGINT, 130)


@usual(25)
def full_disk(case: Case) -> str:
    """Fill the disk: a small tmpfs, then a larger one"""
    case.out = case.folder / "disk" / "run"
    disk = case.out.parent
    disk.mkdir()
    size = case.random.randint(8, 700)  # KiB
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], check=True)
    try:
        if case.propose_or_error():
            return SAME
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        return case.resumed()
    finally:
        subprocess.run(["umount", disk], check=True)


@usual(10)
def large_files(case: Case) -> str:
    """Limit the size of files (RLIMIT_FSIZE)"""
    size = case.random.randint(100, 200_000)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    return SAME if case.propose_or_error(limit) else case.resumed()


@usual(12)
def little_memory(case: Case) -> str:
    """Limit the memory (RLIMIT_AS)"""
    spare = case.random.randint(1, 120) << 20

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * os.sysconf("SC_PAGE_SIZE") + spare
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    ended = case.propose(setup=limit)
    case.require_complete_or_absent()
    if ended.code > 0:
        ended.clear_error()
    again = case.resumed()
    return SAME if ended.code == 0 else again


def _damage(files: Iterable[Path], random: Random) -> Path:
    """Flip a bit of one of the files, or cut it short; return the file."""
    file = random.choice(sorted(files))
    data = bytearray(file.read_bytes())
    if random.random() < 0.3 or not data:
        del data[random.randint(0, max(len(data) - 1, 0)) :]
    else:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    file.write_bytes(data)
    return file


@usual(25)
def damaged_shard(case: Case) -> str:
    """Damage a shard or the plan of an unfinished run"""
    case.stop_after(case.random.randint(1, 11))
    file = _damage((f for f in case.partial.iterdir() if f.name[0] != "."), case.random)
    if file.suffix == ".shard":
        return case.resumed()
    case.propose("--resume").clear_error()
    require(case.propose("--force").code == 0, "--force does not start again")
    case.require_same()
    return ERROR


@usual(12)
def damaged_run(case: Case) -> str:
    """Damage a file of a finished run"""
    case.propose()
    _damage((f for f in case.out.iterdir() if f.name != "run.toml"), case.random)
    return case.propose("--resume").clear_error()


@usual(8)
def features_of_a_run_change(case: Case) -> str:
    """Change or remove features of a finished run"""
    features = case.copy_dataset() / "features"
    case.propose()
    file = features / f"video{case.random.randrange(VIDEOS)}.npy"
    if case.random.random() < 0.5:
        file.unlink()
    else:
        np.save(file, np.load(file) + 1)
    ended = case.propose("--resume").clear_error()
    kept = case.propose("--resume", "--on-error", "skip")
    require(kept.code == 0 and file.stem in kept.text, f"the change is not named: {kept.text}")
    return ended


@usual(8)
def edited_result(case: Case) -> str:
    """Edit the result of a finished run, and evaluate or report it"""
    case.propose()
    result = case.out / "result.json"
    result.write_bytes(result.read_bytes().replace(b"0.", b"0.1", 1))
    truth = ("--ground-truth", str(case.dataset), "--subset", "")
    lines = (("evaluate", str(case.out), *truth), ("report", str(case.out), "--out", "x.html"))
    return case.run(*case.random.choice(lines)).clear_error()


@usual(15)
def damaged_bundle(case: Case) -> str:
    """Damage a file of a bundle"""
    file = _damage(case.copy_bundle().iterdir(), case.random)
    ended = case.propose()
    if ended.code == 0:  # weights are not read where there is a graph
        found = contents(case.out, "run.toml")
        same = all(case.world.expected[name] == data for name, data in found.items())
        require(same, f"{file.name} is damaged, and the results are others")
        return SAME
    return ended.clear_error()


@usual(10)
def damaged_store(case: Case) -> str:
    """Damage a file of a store (pack --verify must report it; propose may only fail clearly)"""
    case.dataset = case.folder / "store"
    shutil.copytree(case.world.store, case.dataset)
    _damage(case.dataset.glob("*.arrow"), case.random)
    reported = case.run("pack", str(case.dataset), "--verify").clear_error()
    if (ended := case.propose()).code != 0:
        ended.clear_error()
    return reported


def _spoil(case: Case) -> tuple[Path, bytes, Callable[[], None]]:
    """Damage the features of a video right after the check."""
    file = case.copy_dataset() / "features" / f"video{case.random.randrange(VIDEOS)}.npy"
    good = file.read_bytes()
    way = case.random.choice(["deleted", "cut", "empty", "nan"])

    def spoil() -> None:
        if way == "deleted":
            file.unlink()
        elif way == "nan":
            np.save(file, np.full_like(np.load(file), np.nan))
        else:
            file.write_bytes(good[: len(good) // 2] if way == "cut" else b"")

    def setup() -> None:
        from actspan.jobs.checkpoint import Plan
        from actspan.jobs.feature_source import FeatureSource

        check = FeatureSource.check

        def checked(source: FeatureSource, *arguments: Any) -> Plan:
            plan = check(source, *arguments)
            spoil()
            return plan

        FeatureSource.check = checked  # type: ignore[method-assign]

    return file, good, setup


@usual(8)
def features_turn_bad(case: Case) -> str:
    """Damage features after the check, with --on-error fail"""
    file, good, setup = _spoil(case)
    case.propose(setup=setup).clear_error()
    file.write_bytes(good)
    return case.resumed()


@usual(8)
def features_are_skipped(case: Case) -> str:
    """Damage features after the check, with --on-error skip"""
    file, _, setup = _spoil(case)
    ended = case.propose("--on-error", "skip", setup=setup)
    require(ended.code == 0, ended.text[-2000:])
    require(file.stem in (case.out / "run.toml").read_text(), "the run does not list it")
    found = (case.out / "result.json").read_bytes()
    require(found.count(b'"video') == VIDEOS - 1, "another number of videos than all but one")
    return "listed as skipped, others computed"


@usual(6)
def no_permission(case: Case) -> str:
    """Deny permission: to the output folder, a feature file or the bundle"""
    os.chmod(case.folder, 0o777)
    which = case.random.randrange(3)
    if which == 0:
        (case.folder / "closed").mkdir(mode=0o500)
        case.out = case.folder / "closed" / "run"
    elif which == 1:
        (case.copy_dataset() / "features" / "video3.npy").chmod(0)
    else:
        (case.copy_bundle() / "tem.onnx").chmod(0)
    return case.propose(setup=lambda: os.setuid(65534)).clear_error()


@usual(4)
def repeated_ids(case: Case) -> str:
    """Repeat an id: in annotations or in features"""
    dataset = case.copy_dataset()
    number = case.random.randrange(VIDEOS)
    if case.random.random() < 0.5:
        features = dataset / "features"
        shutil.copy(features / f"video{number}.npy", features / f"v_video{number}.npy")
    else:
        file = dataset / "annotations.json"
        name = f'"video{number}":'
        file.write_text(file.read_text().replace(name, f'"v_video{(number + 1) % VIDEOS}":'))
    return case.propose().clear_error()


@usual(4)
def two_drivers(case: Case) -> str:
    """Start two drivers of one run at once"""
    first = case.start(*case.line("--resume"))
    time.sleep(case.random.uniform(0, 0.5 * case.world.seconds))
    second = case.propose("--resume")
    ended = first.wait()
    require(0 in (ended.code, second.code), f"none ended well: {second.text[-1000:]}")
    if ended.code != second.code:
        require(1 in (ended.code, second.code), f"codes {ended.code}, {second.code}")
    case.require_same()
    case.resumed()
    return SAME
