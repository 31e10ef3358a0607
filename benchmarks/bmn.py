"""BMN's network: the published order of its layers against ActSpan's; memory of training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np
import torch

from actspan.bench import synthetic
from actspan.bench.machine import FIXED
from actspan.config.bmn import BmnConfig, BmnLossConfig
from actspan.core.types import Float32
from actspan.model.bmn.graph import build_bmn
from actspan.model.bmn.losses import bmn_loss
from actspan.model.bmn.networks import Bmn
from actspan.model.bmn.targets import fitting_proposals
from actspan.runtime.opening import open_session
from benchmarks.harness import (
    Row,
    benchmark,
    group,
    open_roof,
    peak_of_command,
    print_comparison,
    print_table,
    times_in_turn,
)
from benchmarks.published_bmn import PublishedBmn

PUBLISHED, TARGET = "published", "onnxruntime"
TOLERANCE = 1e-5  # of outputs, in [0, 1]

Run = Callable[[], list[Float32]]


def published(weights: dict[str, Float32], config: BmnConfig, video: Float32) -> Run:
    """Return a run of the published order in torch."""
    net, x = PublishedBmn(config).eval(), torch.from_numpy(video)
    net.load(weights)
    return torch.inference_mode()(lambda: [output.numpy() for output in net(x)])


def of_torch(weights: dict[str, Float32], config: BmnConfig, video: Float32) -> Run:
    """Return a run of ActSpan's network in torch."""
    net, x = Bmn(config).eval(), torch.from_numpy(video)
    net.load_weights(weights)
    return torch.inference_mode()(lambda: [output.numpy() for output in net(x)])


def of_graph(path: Path, backend: str, threads: int, video: Float32) -> Run:
    """Return a run of ActSpan's graph."""
    session = open_session(path, backend=backend, threads=threads)
    return lambda: list(session.run({"video": video}).values())


def check_agreement(runs: Mapping[str, Run]) -> None:
    """Raise if the outputs of the runs differ."""
    expected, *others = (run() for run in runs.values())
    for name, outputs in zip(list(runs)[1:], others, strict=True):
        pairs = zip(outputs, expected, strict=True)
        largest = max(float(np.abs(found - wanted).max()) for found, wanted in pairs)
        click.echo(f"{name}: outputs differ by at most {largest:.1e}")
        if largest > TOLERANCE:
            raise click.ClickException("different outputs: their speed cannot be compared")


@benchmark(rounds=5, seed=True)
@click.option("--batch", default=16, help="Videos per call.")
@click.option("--length", default=100, help="Cells of a video, T.")
@click.option("--threads", default=2, help="Threads of every contender.")
@click.option("--backends", default="onnxruntime,openvino,torch", help="Backends of ActSpan.")
def forward(
    folder: Path, batch: int, length: int, threads: int, backends: str, rounds: int, seed: int
) -> None:
    """Compare BMN's forward pass with the published order of its layers, in torch.

    All contenders alternate in one run. The published order needs about 0.7 GB per video.

    \b
    Example:
      python -m benchmarks.bmn forward
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    config = BmnConfig(length=length)
    weights = Bmn(config).weights()
    video = np.stack([synthetic.make_features(i, seed, snippets=length).T for i in range(batch)])
    path = folder / "bmn.onnx"
    path.write_bytes(build_bmn(weights, config).SerializeToString())
    runs = {PUBLISHED: published(weights, config, video)}
    for name in backends.split(","):
        is_torch = name == "torch"
        runs[name] = (
            of_torch(weights, config, video) if is_torch else of_graph(path, name, threads, video)
        )
    check_agreement(runs)
    with open_roof(FIXED) as roof:
        times = times_in_turn(runs, rounds, roof)
    click.echo(f"\nseconds per video, batches of {batch}, T = {length}, {threads} threads")
    each = {name: time.times(1 / batch) for name, time in times.items()}
    targets = {name: ">= 10x" if name == TARGET else "" for name in list(runs)[1:]}
    print_comparison([Row(name, each[PUBLISHED], each[name], t) for name, t in targets.items()])


def take_step(network: str, batch: int, length: int) -> None:
    """Take two steps of training on random features and targets."""
    torch.manual_seed(0)
    config = BmnConfig(length=length)
    net = PublishedBmn(config) if network == PUBLISHED else Bmn(config)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-4)
    x, (iou, start, end) = (
        torch.randn(batch, config.channels, length),
        (torch.rand(batch, *shape) for shape in ((length, length), (length,), (length,))),
    )
    proposals = torch.from_numpy(fitting_proposals(config))
    for _ in range(2):  # the second has the optimiser's state as well
        optimizer.zero_grad()
        loss = bmn_loss(net(x), (iou, start, end), BmnLossConfig(), proposals)
        loss.total.backward()
        optimizer.step()


@click.command(hidden=True)
@click.argument("network")
@click.argument("batch", type=int)
@click.argument("length", type=int)
def step(network: str, batch: int, length: int) -> None:
    """Take two steps of training, whose memory `training` measures.

    NETWORK is "published" or "actspan".

    \b
    Example:
      python -m benchmarks.bmn step actspan 16 100
    """
    take_step(network, batch, length)


@benchmark(rounds=1)
@click.option("--batch", default=16, help="Videos per step of ActSpan.")
@click.option("--published-batch", default=2, help="Videos per step of the published order.")
@click.option("--length", default=100, help="Cells of a video, T.")
def training(folder: Path, batch: int, published_batch: int, length: int, rounds: int) -> None:
    """Measure the peak memory of training, in a process of its own, with the published order too.

    Counted is everything that the process allocated: PyTorch, weights, the optimiser's state, and
    two steps.

    \b
    Example:
      python -m benchmarks.bmn training
    """
    lines = []
    for network, videos in ((PUBLISHED, published_batch), ("actspan", 1), ("actspan", batch)):
        line = [sys.executable, "-m", "benchmarks.bmn", "step", network, str(videos), str(length)]
        peaks = [peak_of_command(line) for _ in range(rounds)]
        peak = min(peaks, key=lambda taken: taken.memory)
        target = "< 1500 MB" if network != PUBLISHED and videos == batch else ""
        lines.append((network, str(videos), peak.megabytes, f"{peak.seconds:.1f} s", target))
    print_table(
        ("network", "videos per step", "peak memory", "start and two steps", "target"), lines
    )


main = group(
    "Compare BMN's network with the published one.", "bmn forward", forward, training, step
)

if __name__ == "__main__":
    main()
