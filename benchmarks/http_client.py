"""A client of a service on loopback with little overhead: bodies are made in advance."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import local


@dataclass(frozen=True)
class Ask:
    """A request that is ready to be sent, and a check of its answer.

    `check` gets the status, the headers' `Inference-Header-Content-Length` and the body.
    """

    path: str
    body: bytes
    check: Callable[[int, int, bytes], bool]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    """Results of requests: seconds each, statuses, and the number of wrong answers."""

    seconds: float
    each: list[float]
    statuses: list[int]
    wrong: int


@contextmanager
def running_service(bundle: Path, data: Path, *words: str) -> Iterator[tuple[int, int]]:
    """Run a service in a new process; yield its port and its process id.

    Raises
    ------
    RuntimeError
        The service did not start; the message contains its output.
    """
    program = str(Path(sys.executable).with_name("actspan"))
    line = [program, "serve", "--model", str(bundle), "--data", str(data), "--port", "0", *words]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        greeting = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", greeting)
        if found is None:
            raise RuntimeError(greeting + process.stderr.read())
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=60)


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used so far, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send_all(port: int, asks: Sequence[Ask], connections: int) -> Taken:
    """Send requests over several connections; each sends its next one after an answer."""
    kept = local()

    def send(ask: Ask) -> tuple[float, int, bool]:
        if not hasattr(kept, "connection"):
            kept.connection = HTTPConnection("127.0.0.1", port, timeout=120)
        began = time.perf_counter()
        kept.connection.request("POST", ask.path, ask.body, ask.headers)
        response = kept.connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - began
        head = int(response.headers.get("Inference-Header-Content-Length", 0))
        return seconds, response.status, ask.check(response.status, head, content)

    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        taken = list(pool.map(send, asks))
    seconds = time.perf_counter() - began
    each, statuses, right = zip(*taken, strict=True)
    return Taken(seconds, list(each), list(statuses), right.count(False))
