"""Runs of a network over a stage's inputs, in place of a vendor's tool."""

from __future__ import annotations

import csv
import math
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from actspan.core.errors import DatasetError, StageError
from actspan.core.files import atomic_folder
from actspan.core.parallel import chunked, map_ordered
from actspan.core.problems import Problem
from actspan.deploy.staged.dumps import RECORD, SUFFIX, Dumps
from actspan.deploy.staged.stage import Stage, StagedNet
from actspan.deploy.staged.table import Item
from actspan.deploy.staged.work import Done, Report, Tally, write_array
from actspan.model.bundle import Bundle
from actspan.pipeline.core import BATCH, open_nets
from actspan.runtime.session import Session


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Settings of `run_net`.

    Attributes
    ----------
    stage, model : Path
        A stage, and the bundle that it was made with.
    net : "tem" or "pem"
    backend : str
        Any of `actspan.runtime`, or "auto".
    batch : int
        Inputs per call.
    threads : int, optional
        Concurrent calls. Default: the number of cores.
    out : Path, optional
        Folder for the dumps. Default: the one in the stage.
    overwrite : bool
        Replace existing dumps.
    """

    stage: Path
    model: Path
    net: StagedNet
    backend: str = "auto"
    batch: int = BATCH
    threads: int | None = None
    out: Path | None = None
    overwrite: bool = False


def run_net(request: RunRequest, report: Report | None = None) -> Done:
    """Run TEM or PEM over its inputs; dumps are `<input>_1.bin`, float32.

    Raises
    ------
    StageError
        The inputs do not exist yet, the model is a different one, or dumps already exist.
    DatasetError
        Inputs are missing or of a wrong size; nothing is written.
    BundleError, BackendError
        The model cannot be opened.
    """
    stage = Stage.load(request.stage)
    out = request.out or stage.outputs(request.net)
    _check_target(out, request.overwrite)
    bundle = Bundle.load(request.model)
    stage.check_model(bundle)
    items = stage.table(request.net).items
    _check_inputs(stage, request.net, items)
    threads = request.threads or os.cpu_count() or 1
    (session,) = open_nets(bundle, [request.net], request.backend, threads).values()
    with session, ThreadPoolExecutor(threads) as pool, atomic_folder(out) as folder:
        tally = Tally(f"run {request.net}", sum(item.ends_video for item in items), report)
        work = partial(_run_batch, stage, request.net, session, Dumps(folder))
        batches = chunked(items, request.batch)  # in the dataset's order, like `propose`
        with (folder / RECORD).open("w", newline="", encoding="utf-8") as stream:
            record = csv.writer(stream)
            record.writerow(["input", "crc32"])
            for answered in map_ordered(pool, work, batches, ahead=2 * threads):
                for item, crc32 in answered:
                    record.writerow([item.name, crc32])
                    tally.count(item)
    return tally.done(out)


def _check_target(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or any(not f.name.endswith((SUFFIX, RECORD)) for f in out.iterdir()):
        raise StageError(f"{out}: holds other things than dumps, so it is left alone")
    if not overwrite:
        raise StageError(f"{out}: there are dumps already: choose another folder, or use --force")


def _check_inputs(stage: Stage, net: StagedNet, items: Sequence[Item]) -> None:
    expected = 4 * math.prod(stage.shape(net))
    remedy = f"make it again: actspan staged {net}-inputs"
    problems = []
    for item in items:
        path = stage.inputs(net) / f"{item.name}.bin"
        try:
            size = path.stat().st_size
            what = "" if size == expected else f"{size} bytes, {expected} expected"
        except OSError as error:
            what = f"cannot be read: {error.strerror}"
        if what:
            problems.append(Problem(item.video, str(path), what, remedy))
    if problems:
        raise DatasetError(problems, "Fix them.")


def _run_batch(
    stage: Stage, net: StagedNet, session: Session, dumps: Dumps, items: Sequence[Item]
) -> list[tuple[Item, int]]:
    """Write the dumps of a batch; return its items with the CRC-32 of their inputs."""
    data = [(stage.inputs(net) / f"{item.name}.bin").read_bytes() for item in items]
    joined = bytearray().join(data)  # torch needs writable memory
    rows = np.frombuffer(joined, dtype=np.float32).reshape(-1, *stage.shape(net))
    if net == "tem":
        answers = session.run({"video": rows})["output"]  # (B, 3, T)
    else:
        flat = session.run({"video_feature": rows.reshape(-1, rows.shape[2])})["output"]
        answers = flat.reshape(len(items), -1)  # (B, candidates)
    for item, answer in zip(items, answers, strict=True):
        write_array(dumps.path(item), answer)
    return [(item, zlib.crc32(content)) for item, content in zip(items, data, strict=True)]
