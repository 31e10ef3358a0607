"""Runs of a network over a stage's inputs: here, or by a list and a script on a device's host."""

from __future__ import annotations

import csv
import math
import os
import re
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from actspan.core.errors import DatasetError, StageError
from actspan.core.files import atomic_file
from actspan.core.folders import atomic_folder, is_free
from actspan.core.parallel import chunked, map_ordered
from actspan.core.progress import Progress, no_progress
from actspan.deploy.deploy_requests import RunRequest, StagedNet
from actspan.deploy.staged.dumps import RECORD, Dumps
from actspan.deploy.staged.stage import Item, Stage
from actspan.deploy.staged.step_files import StepReport, size_problem, videos_of, write_array
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS
from actspan.runtime.opening import open_nets
from actspan.runtime.session import Session

_SCRIPT = Path(__file__).with_name("standalone.py")


def run_net(request: RunRequest, progress: Progress = no_progress) -> StepReport:
    """Run a network over its inputs; dumps are `<input>_1.bin`, `_2.bin`, ... by output, float32.

    Raise StageError if the step before is not done, dumps already exist, or the model is another
    one, DatasetError if inputs are missing or of a wrong size; nothing is written then.
    """
    stage, net = Stage.load(request.stage), request.net
    out = request.out or stage.outputs(net)
    _check_target(Dumps(out), net, request.overwrite)
    bundle = Bundle.load(request.model)
    stage.check_model(bundle)
    items = stage.table(net).items
    size, remedy = 4 * math.prod(stage.shape(net)), f"make it again: actspan staged {net}-inputs"
    checked = (size_problem(item, stage.input_file(net, item), size, remedy) for item in items)
    if problems := [problem for problem in checked if problem]:
        raise DatasetError(problems, "Fix them.")
    threads = request.threads or os.cpu_count() or 1
    (session,) = open_nets(bundle, [net], request.backend, threads).values()
    with session, ThreadPoolExecutor(threads) as pool, atomic_folder(out) as folder:
        report = StepReport(f"run {net}", videos_of(items), out, progress)
        work = partial(_run_batch, stage, net, session, Dumps(folder))
        batches = chunked(items, request.batch)  # in the dataset's order, like `propose`
        with (folder / RECORD).open("w", newline="", encoding="utf-8") as stream:
            record = csv.writer(stream)
            record.writerow(["input", "crc32"])
            for answered in map_ordered(pool, work, batches, ahead=2 * threads):
                for item, crc32 in answered:
                    record.writerow([item.name, crc32])
                    report.count(item)
    return report


def _check_target(dumps: Dumps, net: StagedNet, overwrite: bool) -> None:
    out, suffixes = dumps.folder, tuple(map(dumps.suffix_of, range(len(FORMS[net].outputs))))
    if is_free(out):
        return
    if not out.is_dir() or any(not f.name.endswith((*suffixes, RECORD)) for f in out.iterdir()):
        raise StageError(f"{out}: contains files that are not dumps, and is not changed")
    if not overwrite:
        raise StageError(f"{out}: dumps already exist: choose another folder, or use --force")


def _run_batch(
    stage: Stage, net: StagedNet, session: Session, dumps: Dumps, items: Sequence[Item]
) -> list[tuple[Item, int]]:
    """Write the dumps of a batch; return its items with the CRC-32 of their inputs."""
    data = [stage.input_file(net, item).read_bytes() for item in items]
    joined = bytearray().join(data)  # torch needs writable memory
    height, width = stage.shape(net)
    form = FORMS[net]
    shape = (len(items), height, width) if form.sees_video else (len(items) * height, width)
    answers = session.run({form.input: np.frombuffer(joined, dtype=np.float32).reshape(shape)})
    for output, name in enumerate(form.outputs):
        for item, values in zip(items, answers[name].reshape(len(items), -1), strict=True):
            write_array(dumps.path(item, output), values)
    return [(item, zlib.crc32(content)) for item, content in zip(items, data, strict=True)]


def write_list(
    stage: Stage, net: StagedNet, out: Path | None = None, prefix: str | None = None
) -> tuple[Path, int]:
    """Write the `.info` list of a network's inputs, with lines `index path height width`.

    `out` is by default `<net>.info` in the stage. `prefix` is the folder of the inputs on the
    device's host, as the runner opens it, by default their present one. Return the list, and its
    number of inputs. Raise StageError if the inputs do not exist yet, or a folder's name contains
    blanks.
    """
    out = stage.path / f"{net}.info" if out is None else out
    folder = str(stage.path / net / "input") if prefix is None else prefix
    if re.search(r"\s", folder):
        raise StageError(
            f"{folder}: a list is split at blanks, so its folder can have none: rename it, or say "
            "where the inputs will lie (--prefix)"
        )
    names = sorted(f"{item.name}.bin" for item in stage.table(net).items)
    height, width = stage.shape(net)
    with atomic_file(out) as stream:
        for index, name in enumerate(names):
            stream.write(f"{index} {folder.rstrip('/')}/{name} {height} {width}\n".encode())
    return out, len(names)


def write_script(out: Path) -> None:
    """Write the runner for hosts without ActSpan: one file that needs Python 3.7 and numpy."""
    with atomic_file(out) as stream:
        stream.write(_SCRIPT.read_bytes())
