"""The HTTP service on loopback against the pipeline in memory, and what it does under bad requests.

The service runs in a process of its own. This process is the client, and between the requests it
runs `Pipeline.propose` on the very same videos. Every answer is compared with that one's.
"""

from __future__ import annotations

import io
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import numpy as np

from actspan import Bundle, Features, Pipeline, Proposals
from actspan.bench.timing import anonymous_memory
from benchmarks import made_up
from benchmarks.http_client import Ask, Taken, processor_seconds, running_service, send_all
from benchmarks.measure import print_machine, print_table

BATCH = 16  # videos a request, as in a chunk of the pipeline
STRIDE = 0.5
INFER = "/v2/models/pipeline/infer"


class Cost(NamedTuple):
    """Wall-clock and processor seconds of the process that computes, not of the client."""

    seconds: float
    processor: float


def infer_body(videos: Sequence[np.ndarray]) -> tuple[bytes, dict[str, str]]:
    """Build a request of the inference protocol, all tensors binary."""
    tensors = {
        "features": ("FP32", np.concatenate(videos)),
        "lengths": ("INT64", np.array([len(video) for video in videos])),
        "stride": ("FP64", np.array([STRIDE])),
    }
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, (datatype, array) in tensors.items()
    ]
    request = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    head = msgspec.json.encode(request)
    tail = b"".join(array.tobytes() for _, array in tensors.values())
    return head + tail, {"Inference-Header-Content-Length": str(len(head))}


def is_infer_answer(wanted: Sequence[Proposals], status: int, head: int, content: bytes) -> bool:
    """Check that segments, scores and counts equal those of the pipeline in memory, bit by bit."""
    segments = [np.stack([p.start, p.end], axis=1) for p in wanted]
    arrays = (
        np.concatenate(segments),
        np.concatenate([p.score for p in wanted]),
        np.array([len(p) for p in wanted]),
    )
    return status == 200 and content[head:] == b"".join(array.tobytes() for array in arrays)


def propose_ask(video: np.ndarray, wanted: Proposals) -> Ask:
    """Build a request to `/api/propose` with one video, as npy."""
    stream = io.BytesIO()
    np.save(stream, video)
    return Ask(
        f"/api/propose?stride={STRIDE}", stream.getvalue(), partial(is_propose_answer, wanted)
    )


def is_propose_answer(wanted: Proposals, status: int, head: int, content: bytes) -> bool:
    """Check that segments and scores equal those of the pipeline in memory."""
    if status != 200:
        return False
    found = msgspec.json.decode(content)["proposals"]
    rows = zip(wanted.start.tolist(), wanted.end.tolist(), wanted.score.tolist(), strict=True)
    return found == [{"segment": [start, end], "score": score} for start, end, score in rows]


def made_asks(
    videos: Sequence[Features], wanted: Sequence[Proposals]
) -> tuple[list[Ask], list[Ask]]:
    """Build requests for the same videos: protocol batches, and single ones to `/api/propose`."""
    batches = []
    for first in range(0, len(videos), BATCH):
        part = slice(first, first + BATCH)
        body, headers = infer_body([video.values for video in videos[part]])
        batches.append(Ask(INFER, body, partial(is_infer_answer, wanted[part]), headers))
    singles = [propose_ask(v.values, w) for v, w in zip(videos, wanted, strict=True)]
    return batches, singles


def malformed(ask: Ask, kind: int) -> Ask:
    """Build a malformed request, which must be answered 4xx with an explanation."""
    bodies = (ask.body[: len(ask.body) // 2], b"\x80" + ask.body[1:], b"", ask.body + b"more")
    return Ask(ask.path, bodies[kind % len(bodies)], is_refused, ask.headers)


def is_refused(status: int, head: int, content: bytes) -> bool:
    """Check that the answer is a client error with an explanation."""
    return 400 <= status < 500 and bool(msgspec.json.decode(content)["detail"])


def propose_all(pipeline: Pipeline, videos: Sequence[Features]) -> Cost:
    """Measure the cost of proposing on the videos in memory."""
    began, used = time.perf_counter(), time.process_time()
    for _ in pipeline.propose(iter(videos)):
        pass
    return Cost(time.perf_counter() - began, time.process_time() - used)


def send_counted(port: int, process: int, asks: Sequence[Ask], streams: int) -> tuple[Cost, Taken]:
    """Send requests; return what they cost the service, and their results."""
    used = processor_seconds(process)
    taken = send_all(port, asks, streams)
    return Cost(taken.seconds, processor_seconds(process) - used), taken


def percentile(seconds: Sequence[float], share: float) -> str:
    return f"{1e3 * float(np.quantile(seconds, share)):.1f} ms"


def compare(
    port: int,
    process: int,
    pipeline: Pipeline,
    videos: Sequence[Features],
    rounds: int,
    connections: int,
) -> tuple[list[Ask], list[Ask]]:
    """Time the same videos in memory, in batches and one by one, in turn; print a table."""
    wanted = list(pipeline.propose(iter(videos)))
    batches, singles = made_asks(videos, wanted)
    memory: list[Cost] = []
    ways: dict[str, tuple[list[Ask], int, list[tuple[Cost, Taken]]]] = {
        f"v2, binary, {BATCH} videos a request": (batches, connections, []),
        "/api/propose, npy, 1 video a request": (singles, 2 * BATCH, []),
    }
    for asks, streams, _ in ways.values():  # the first round does not count
        send_all(port, asks, streams)
    for _ in range(rounds):
        memory.append(propose_all(pipeline, videos))
        for asks, streams, taken in ways.values():
            taken.append(send_counted(port, process, asks, streams))
    base = middle(memory)
    lines = [row("Pipeline.propose in memory", base, base, len(videos))]
    for name, (_, streams, taken) in ways.items():
        each = [seconds for _, t in taken for seconds in t.each]
        wrong = sum(t.wrong for _, t in taken)
        times = percentile(each, 0.5), percentile(each, 0.99)
        cost = middle([cost for cost, _ in taken])
        lines.append(row(name, cost, base, len(videos), *times, str(streams), str(wrong)))
    print_table(HEADER, lines)
    return batches, singles


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the medians of wall-clock and processor seconds."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


HEADER = (
    "way",
    "videos/s",
    "of in memory",
    "processor time a video",
    "in memory, of that",
    "p50",
    "p99",
    "connections",
    "wrong answers",
)


def row(what: str, cost: Cost, base: Cost, videos: int, *others: str) -> tuple[str, ...]:
    """Return one table row; both shares are 100 % if the service has no overhead."""
    figures = (
        f"{videos / cost.seconds:.0f}",
        f"{base.seconds / cost.seconds:.0%}",
        f"{1e3 * cost.processor / videos:.2f} ms",
        f"{base.processor / cost.processor:.0%}",
    )
    return (what, *figures, *(others or ("-",) * 4))


def mix(port: int, process: int, good: Sequence[Ask], requests: int, seed: int) -> None:
    """Send good and bad requests in random order; print a table with memory before and after."""
    draw = random.Random(seed)
    bad = requests // 10
    asks = [draw.choice(good) for _ in range(requests - bad)]
    asks += [malformed(draw.choice(good), kind) for kind in range(bad)]
    draw.shuffle(asks)
    send_all(port, asks[: requests // 2], 8)  # memory that is held from then on is taken
    before = anonymous_memory(process)
    taken = send_all(port, asks, 8)
    after = anonymous_memory(process)
    classes = [f"{sum(s // 100 == c for s in taken.statuses)}" for c in (2, 4, 5)]
    held = [f"{held / 2**20:.0f} MB" for held in (before, after)]
    header = ("requests", "malformed", "2xx", "4xx", "5xx", "wrong answers", "before", "after")
    click.echo()
    print_table(header, [(f"{requests:,}", str(bad), *classes, str(taken.wrong), *held)])


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--videos", type=click.IntRange(BATCH), default=256, help="Of each round.")
@click.option("--rounds", type=click.IntRange(1), default=5)
@click.option("--requests", type=click.IntRange(10), default=1000, help="Good and bad ones.")
@click.option("--connections", type=click.IntRange(1), default=4, help="For requests of 16.")
@click.option("--seed", type=int, default=0)
@click.option("--model", type=click.Path(path_type=Path), help="A bundle, not a made-up one.")
def main(
    videos: int, rounds: int, requests: int, connections: int, seed: int, model: Path | None
) -> None:
    """Throughput and latency of the service, and 1,000 requests of which 10 % are malformed."""
    print_machine()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        bundle = (
            made_up.make_bundle(folder / "bundle", seed) if model is None else Bundle.load(model)
        )
        channels = bundle.config.tem.channels if bundle.config.tem else made_up.CHANNELS
        made = [
            Features(made_up_video(number, seed, channels), STRIDE, STRIDE)
            for number in range(videos)
        ]
        with (
            running_service(bundle.path, folder / "data") as (port, process),
            Pipeline.load(bundle) as pipeline,
        ):
            batches, singles = compare(port, process, pipeline, made, rounds, connections)
            mix(port, process, [*batches, *singles], requests, seed)


def made_up_video(number: int, seed: int, channels: int) -> np.ndarray:
    """Make features of 60 to 140 snippets."""
    from actspan.bench.synthetic import make_features

    return make_features(number, seed, snippets=60 + number % 81, channels=channels)


if __name__ == "__main__":
    main()
