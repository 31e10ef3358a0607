"""The service under mixed clients, malformed requests, full disks and locks of its database.

It runs with its data on a disk of 64 MiB. From time to time that disk is filled, or this process
takes the lock of the database. No answer may be wrong, 503 and 507 are the only server errors and
only while the service cannot work, and every accepted job must end with the right result.
"""

from __future__ import annotations

import io
import json
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from threading import Event
from typing import NamedTuple

import click
import numpy as np

from actspan import Features, Pipeline
from actspan.bench import synthetic
from actspan.server.database import FILE
from benchmarks.harness import benchmark, print_table
from benchmarks.serve import STRIDE, infer_request, propose_request, running_service
from benchmarks.serve_clients import Client, Record
from tests.small_disk import full_disk, small_disk

_DISK = 64  # MiB
_VIDEOS = 32
_GROWTH = 1.25  # most memory at the end, relative to that after a quarter of the time


class Sample(NamedTuple):
    """State of the service: seconds since the start, memory in bytes, open files."""

    seconds: float
    memory: int
    files: int


class Faults:
    """Faults of the disk and of the database, and what they did to the service."""

    def __init__(self, data: Path, port: int, seed: int) -> None:
        self._data, self._port = data, port
        self._random = random.Random(seed)
        self.is_active = False
        self.seconds: dict[str, list[float]] = {"full disk": [], "lock": []}
        self.recoveries: list[float] = []

    def run(self, stop: Event) -> None:
        """Make the service unable to work for seconds, with pauses, until `stop`."""
        while not stop.wait(self._random.uniform(6, 14)):
            kind = self._random.choice(list(self.seconds))
            duration = self._random.uniform(1.5, 13)
            self.is_active = True
            with self._full() if kind == "full disk" else self._locked() as again:
                end = time.monotonic() + duration
                while time.monotonic() < end and not stop.wait(0.1):
                    again()
            begun = time.monotonic()
            while self._ready() != 200:
                time.sleep(0.1)
            self.recoveries.append(time.monotonic() - begun)
            self.seconds[kind].append(duration)
            self.is_active = False

    def _full(self) -> Iterator[Callable[[], None]]:
        return full_disk(self._data.parent)

    @contextmanager
    def _locked(self) -> Iterator[Callable[[], None]]:
        file = self._data / FILE
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield lambda: None
            other.execute("ROLLBACK")

    def _ready(self) -> int:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request("GET", "/readyz")
            return connection.getresponse().status


def watch(process: int, stop: Event) -> list[Sample]:
    """Return samples of a process, one every two seconds until `stop`."""
    samples, begun = [], time.monotonic()
    while not stop.wait(2):
        status = Path(f"/proc/{process}/status").read_text()
        memory = int(status.partition("RssAnon:")[2].split()[0]) * 1024
        files = len(list(Path(f"/proc/{process}/fd").iterdir()))
        samples.append(Sample(time.monotonic() - begun, memory, files))
    return samples


def report(record: Record, faults: Faults, samples: list[Sample], minutes: float) -> bool:
    """Print what happened; return whether everything was right."""
    early, late = samples[len(samples) // 4], samples[-1]
    statuses = record.statuses
    ended = {kind: f"{len(one)}, {sum(one):.0f} s" for kind, one in faults.seconds.items()}
    classes = [sum(n for code, n in statuses.items() if code // 100 == c) for c in (2, 4)]
    others = sum(n for code, n in statuses.items() if code >= 500 and code not in (503, 507))
    memory = [f"{one.memory / 2**20:.0f} MB, {one.files} files" for one in (early, late)]
    rows = [
        ("minutes", f"{minutes:g}"),
        ("requests", f"{record.sent:,}"),
        ("of these or beside them, malformed", f"{record.malformed:,}"),
        ("full disks, in all", ended["full disk"]),
        ("locks of the database, in all", ended["lock"]),
        ("2xx, 4xx", f"{classes[0]:,}, {classes[1]:,} ({statuses[429]:,} of them 429)"),
        ("503, 507", f"{statuses[503]:,}, {statuses[507]:,}"),
        ("503 or 507 while it could work", f"{record.unexpected}"),
        ("other 5xx", f"{others}"),
        ("wrong answers", f"{len(record.wrong)}"),
        ("jobs accepted, done with the right result", f"{record.accepted:,}, {record.done:,}"),
        ("corrections stored, all found again", f"{record.corrected:,}"),
        ("slowest recovery", f"{max(faults.recoveries, default=0):.1f} s"),
        ("slowest /healthz", f"{record.slowest_probe:.2f} s"),
        ("after a quarter of the time", memory[0]),
        ("at the end", memory[1]),
    ]
    print_table(("what", "count"), rows)
    for line in record.wrong[:20]:
        click.echo(f"wrong: {line}")
    is_flat = late.memory <= _GROWTH * early.memory
    is_right = not (record.wrong or record.unexpected or others)
    return is_flat and is_right and record.done == record.accepted


@benchmark(seed=True)
@click.option("--minutes", default=3.0, help="Time in which requests are sent.")
@click.option("--clients", default=64, help="Clients, each with a request at a time.")
def main(folder: Path, seed: int, minutes: float, clients: int) -> None:
    """Serve many clients while the disk is full and the database is locked now and then.

    It needs Linux, and the right to mount a tmpfs.

    \b
    Example:
      python -m benchmarks.serve_faults --minutes 60
    """
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    videos = [synthetic.make_features(n, seed, snippets=60 + n % 81) for n in range(_VIDEOS)]
    with Pipeline.load(bundle) as pipeline:
        wanted = list(pipeline.propose(Features(v, STRIDE, STRIDE) for v in videos))
    direct = [propose_request(v, w) for v, w in zip(videos, wanted, strict=True)]
    direct += [infer_request(videos[n : n + 4], wanted[n : n + 4]) for n in range(0, _VIDEOS, 4)]
    jobs = [(_npy(v), _rows(w)) for v, w in zip(videos, wanted, strict=True)]
    database = {f"video{n}": {"duration": 9.0, "annotations": []} for n in range(clients)}
    (folder / "truth.json").write_text(json.dumps({"database": database}))
    try:
        opened = small_disk(folder / "disk", _DISK)
    except PermissionError as error:
        raise click.ClickException(str(error)) from error
    with opened as disk:
        words = ("--model", bundle.path, "--ground-truth", folder / "truth.json")
        with running_service(*words, "--data", disk / "data") as (url, process):
            port = int(url.rstrip("/").rpartition(":")[2])
            record, stop, ended = Record(), Event(), Event()
            faults = Faults(disk / "data", port, seed)
            make = partial(Client, port=port, record=record, direct=direct, jobs=jobs)
            with ThreadPoolExecutor(clients + 2) as pool:
                samples = pool.submit(watch, process, ended)
                injected = pool.submit(faults.run, stop)
                running = [
                    pool.submit(make(n, in_fault=lambda: faults.is_active).run, stop)
                    for n in range(clients)
                ]
                time.sleep(60 * minutes)
                stop.set()
                for future in (injected, *running):
                    future.result()
                ended.set()
    if not report(record, faults, samples.result(), minutes):
        raise click.ClickException("the service did not keep its promises")


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _rows(proposals: object) -> list[dict[str, object]]:
    """Return proposals as an answer contains them."""
    columns = (getattr(proposals, name).tolist() for name in ("start", "end", "score"))
    return [{"segment": [s, e], "score": x} for s, e, x in zip(*columns, strict=True)]


if __name__ == "__main__":
    main()
