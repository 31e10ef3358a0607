"""The HTTP service on loopback against the pipeline in memory, and what it does with bad requests.

The service runs in a process of its own. This process is the client, and between the requests it
runs `Pipeline.propose` on the same videos. Every answer is compared with that one's.
"""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from threading import local
from typing import NamedTuple

import click
import msgspec
import numpy as np

from actspan import Bundle, Features, Pipeline, Proposals
from actspan.bench import synthetic
from actspan.bench.timing import Run, anonymous_memory, interleave, timed
from benchmarks.harness import benchmark, median_run, path_option, print_table, program

BATCH = 16  # videos per request, as in a chunk of the pipeline
STRIDE = 0.5
INFER = "/v2/models/pipeline/infer"
HEAD = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Request:
    """A request that is ready to be sent, and a check of its status, header length and body."""

    path: str
    body: bytes
    check: Callable[[int, int, bytes], bool]
    headers: dict[str, str] = field(default_factory=dict)


class Sent(NamedTuple):
    """Results of requests; processor time is that of the service."""

    run: Run
    each: list[float]  # seconds
    statuses: list[int]
    wrong: int  # answers


@contextmanager
def running_service(*words: object) -> Iterator[tuple[str, int]]:
    """Run `actspan serve` in a new process; yield its address and its process id."""
    line = program("actspan", "serve", "--port", "0", *words)
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        greeting = process.stderr.readline()
        found = re.search(r"http://\S+", greeting)
        if found is None:
            raise click.ClickException(f"actspan serve did not start: {greeting}")
        yield found[0], process.pid
    finally:
        process.terminate()
        process.communicate(timeout=60)


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used so far, in seconds."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send_all(port: int, process: int, requests: Sequence[Request], connections: int) -> Sent:
    """Send requests over several connections; each sends its next one after an answer."""
    kept = local()

    def send(request: Request) -> tuple[float, int, bool]:
        if not hasattr(kept, "connection"):
            kept.connection = HTTPConnection("127.0.0.1", port, timeout=120)
        began = time.perf_counter()
        kept.connection.request("POST", request.path, request.body, request.headers)
        response = kept.connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - began
        head = int(response.headers.get(HEAD, 0))
        return seconds, response.status, request.check(response.status, head, content)

    used, began = processor_seconds(process), time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        taken = list(pool.map(send, requests))
    run = Run(time.perf_counter() - began, processor_seconds(process) - used)
    each, statuses, right = zip(*taken, strict=True)
    return Sent(run, list(each), list(statuses), right.count(False))


def infer_request(videos: Sequence[np.ndarray], wanted: Sequence[Proposals]) -> Request:
    """Build a request of the inference protocol, all tensors binary; answers must be bit-equal."""
    tensors = {
        "features": ("FP32", np.concatenate(videos)),
        "lengths": ("INT64", np.array([len(video) for video in videos])),
        "stride": ("FP64", np.array([STRIDE])),
    }
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, (datatype, array) in tensors.items()
    ]
    head = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    body = head + b"".join(array.tobytes() for _, array in tensors.values())
    arrays = (
        np.concatenate([np.stack([p.start, p.end], axis=1) for p in wanted]),
        np.concatenate([p.score for p in wanted]),
        np.array([len(p) for p in wanted]),
    )
    expected = b"".join(array.tobytes() for array in arrays)

    def check(status: int, head: int, content: bytes) -> bool:
        return status == 200 and content[head:] == expected

    return Request(INFER, body, check, {HEAD: str(len(head))})


def propose_request(video: np.ndarray, wanted: Proposals) -> Request:
    """Build a request to `/api/propose` with one video, as npy."""
    stream = io.BytesIO()
    np.save(stream, video)
    rows = zip(wanted.start.tolist(), wanted.end.tolist(), wanted.score.tolist(), strict=True)
    expected = [{"segment": [start, end], "score": score} for start, end, score in rows]

    def check(status: int, head: int, content: bytes) -> bool:
        return status == 200 and msgspec.json.decode(content)["proposals"] == expected

    return Request(f"/api/propose?stride={STRIDE}", stream.getvalue(), check)


def malformed(request: Request, kind: int) -> Request:
    """Build a malformed request, which must be answered 4xx with an explanation."""
    body = request.body
    bodies = (body[: len(body) // 2], b"\x80" + body[1:], b"", body + b"more")

    def check(status: int, head: int, content: bytes) -> bool:
        return 400 <= status < 500 and bool(msgspec.json.decode(content)["detail"])

    return Request(request.path, bodies[kind % len(bodies)], check, request.headers)


def compare(
    send: Callable[[Sequence[Request], int], Sent],
    pipeline: Pipeline,
    videos: Sequence[Features],
    rounds: int,
    connections: int,
) -> list[Request]:
    """Time the same videos in memory, in batches and one by one, in turn; print a table.

    Return the requests.
    """
    wanted = list(pipeline.propose(iter(videos)))
    parts = [slice(first, first + BATCH) for first in range(0, len(videos), BATCH)]
    batches = [infer_request([v.values for v in videos[part]], wanted[part]) for part in parts]
    singles = [propose_request(v.values, w) for v, w in zip(videos, wanted, strict=True)]
    ways = {
        f"v2, binary, {BATCH} videos per request": (batches, connections),
        "/api/propose, npy, 1 video per request": (singles, 2 * BATCH),
    }
    taken: dict[str, list[Sent]] = {name: [] for name in ways}

    def sent(name: str) -> Run:
        taken[name].append(send(*ways[name]))
        return taken[name][-1].run

    memory = "Pipeline.propose in memory"
    contenders = {memory: lambda: timed(lambda: list(pipeline.propose(iter(videos))))}
    runs = interleave(contenders | {name: partial(sent, name) for name in ways}, rounds)
    costs = {name: median_run(own) for name, own in runs.items()}
    lines = [row(memory, costs[memory], costs[memory], len(videos))]
    for name, (_, streams) in ways.items():
        counted = taken[name][1:]  # the first round does not count
        each = 1e3 * np.array([seconds for sent in counted for seconds in sent.each])
        times = [f"{np.quantile(each, share):.1f} ms" for share in (0.5, 0.99)]
        wrong = sum(sent.wrong for sent in counted)
        figures = (*times, str(streams), str(wrong))
        lines.append(row(name, costs[name], costs[memory], len(videos), *figures))
    header = ("way", "videos/s", "of in-memory speed", "CPU time per video", "of it in memory")
    print_table((*header, "p50", "p99", "connections", "wrong responses"), lines)
    return [*batches, *singles]


def row(what: str, cost: Run, base: Run, videos: int, *others: str) -> tuple[str, ...]:
    """Return one table row; both shares are 100 % if the service has no overhead."""
    figures = (
        f"{videos / cost.seconds:.0f}",
        f"{base.seconds / cost.seconds:.0%}",
        f"{1e3 * cost.cpu_seconds / videos:.2f} ms",
        f"{base.cpu_seconds / cost.cpu_seconds:.0%}",
    )
    return (what, *figures, *(others or ("-",) * 4))


def mix(
    send: Callable[[Sequence[Request], int], Sent],
    memory: Callable[[], int],
    good: Sequence[Request],
    count: int,
    seed: int,
) -> None:
    """Send good and bad requests in random order; print a table with memory before and after."""
    draw = random.Random(seed)
    bad = count // 10
    requests = [draw.choice(good) for _ in range(count - bad)]
    requests += [malformed(draw.choice(good), kind) for kind in range(bad)]
    draw.shuffle(requests)
    send(requests[: count // 2], 8)  # memory that is held from then on is taken
    before = memory()
    sent = send(requests, 8)
    held = [f"{size / 2**20:.0f} MB" for size in (before, memory())]
    classes = [f"{sum(s // 100 == c for s in sent.statuses)}" for c in (2, 4, 5)]
    header = ("requests", "malformed", "2xx", "4xx", "5xx", "wrong responses", "before", "after")
    click.echo()
    print_table(header, [(f"{count:,}", str(bad), *classes, str(sent.wrong), *held)])


@benchmark(rounds=5, seed=True)
@click.option("--videos", type=click.IntRange(BATCH), default=256, help="Videos per round.")
@click.option("--requests", type=click.IntRange(10), default=1000, help="Good and bad ones.")
@click.option("--connections", default=4, help="Connections for requests of 16 videos.")
@path_option("--model", help="A bundle, not a synthetic one.")
def main(
    folder: Path,
    videos: int,
    rounds: int,
    requests: int,
    connections: int,
    seed: int,
    model: Path | None,
) -> None:
    """Measure the service: throughput and latency, and 1,000 requests of which 10 % are malformed.

    \b
    Example:
      python -m benchmarks.serve --model bsn/
    """
    bundle = synthetic.make_bundle(folder / "bundle", seed) if model is None else Bundle.load(model)
    channels = bundle.config.tem.channels if bundle.config.tem else synthetic.CHANNELS
    made = [
        synthetic.make_features(number, seed, snippets=60 + number % 81, channels=channels)
        for number in range(videos)
    ]
    features = [Features(values, STRIDE, STRIDE) for values in made]
    service = running_service("--model", bundle.path, "--data", folder / "data")
    with service as (url, process), Pipeline.load(bundle) as pipeline:
        port = int(url.rstrip("/").rpartition(":")[2])
        send = partial(send_all, port, process)
        good = compare(send, pipeline, features, rounds, connections)
        mix(send, partial(anonymous_memory, process), good, requests, seed)


if __name__ == "__main__":
    main()
