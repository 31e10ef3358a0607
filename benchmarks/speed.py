"""The speed table of the front page, with AVX-512 and without, on one processor."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np

from actspan import Bundle, Features, Pipeline
from actspan.bench import synthetic
from actspan.bench.costs import products_of
from actspan.bench.records import LENGTH, Timing
from actspan.bench.roof import TOO_NOISY
from actspan.bench.timing import Rule, measure
from actspan.cli.doctor_machine import instructions
from actspan.config.stages import BATCH
from actspan.core.machine import core_count, processor_name
from actspan.runtime.opening import choose_backend
from benchmarks.commands import PUBLISHED, measure_propose
from benchmarks.harness import (
    AVX2,
    ROOF,
    benchmark,
    duration,
    open_roof,
    path_option,
    print_table,
    ratio,
    run_new,
)
from benchmarks.stages import AFTER, Pipelined, Tem, fastest_tem, times_of_stages

ONE_VIDEO = Rule(limit=6.0, least=400)

ROOFS = " of the roof"

Figures = dict[str, str]  # of a column: row to cell


def measure_stages(bundle: Bundle, videos: int, rounds: int, seed: int) -> Figures:
    """Measure TEM, what follows it, and one video at a time; features are in memory."""
    threads, backend = core_count(), choose_backend(bundle, "auto").name
    features = np.stack([synthetic.make_features(i, seed).T for i in range(videos)])  # (N, C, T)
    tem = Tem(bundle, features, backend, threads)
    assert bundle.config.tem is not None
    with (
        Pipeline.load(bundle, threads=threads, backend=backend) as pipeline,
        open_roof(products_of(bundle.config.tem, BATCH)) as roof,
    ):
        ours = Pipelined(pipeline, np.concatenate(tem.by_workers()))
        each = times_of_stages(tem, ours, rounds, roof)
        first = len(roof.rounds)
        strides = [synthetic.seconds_of(number) / LENGTH for number in range(videos)]
        inputs = [Features(x.T, s, s) for x, s in zip(features, strides, strict=True)]
        single = measure(
            lambda n: pipeline.propose(inputs[n % videos]), rule=ONE_VIDEO, between=roof.round
        )
        calm = roof.was_calm(slice(first, len(roof.rounds)))
        products = each[ROOF]
        name = f"{roof.gflops:,.0f} GFLOP/s, {roof.kernel}"
    taken, scored, after = Timing.of(single.seconds), fastest_tem(each), each[AFTER]
    assert taken.median is not None
    assert taken.p99 is not None
    spread = f"p99 {taken.p99 / taken.median:.2f}x" if calm else TOO_NOISY
    return {
        "matrix products of TEM's sizes (the roof)": f"{duration(products.minimum)} ({name})",
        "TEM, batches of 16": f"{duration(scored.minimum)}, {ratio(scored, products, ROOFS)}",
        "everything after TEM": f"{duration(after.minimum)}, {ratio(after, scored, ' of TEM')}",
        "one video at a time, in memory": f"p50 {duration(taken.median)}, {spread}",
    }


def measure_command(folder: Path, videos: int, sample: int, rounds: int, seed: int) -> Figures:
    """Measure `propose` from a packed store, and the published steps."""
    times = measure_propose(folder, ["packed"], videos, sample, rounds, seed)
    packed, published = times["packed"], times[PUBLISHED]
    return {
        f"`propose`, {videos:,} packed videos, start-up included": (
            f"{duration(packed.minimum)}, {ratio(packed, times[ROOF], ROOFS)}"
        ),
        "the published steps": (
            f"{duration(published.minimum)}, {ratio(published, packed, ' of propose')}"
        ),
    }


def columns_here() -> Mapping[str, tuple[str, ...]]:
    """Return the columns that this processor can fill, and the options of each."""
    limited = "AVX2 only, by the libraries' own variables"
    if instructions() == "AVX-512":
        return {limited: ("--instructions", "avx2"), "AVX-512": ()}
    return {instructions() or "without AVX-512": ()}


@benchmark(rounds=5, seed=True)
@click.option("--videos", default=4728, help="Videos of `propose`.")
@click.option("--sample", default=12, help="Videos on which the published steps are timed.")
@click.option("--in-memory", default=480, help="Videos in memory, for the stages.")
@path_option("--json", "target", help="Write the figures of one column, for this command's table.")
def main(
    folder: Path,
    videos: int,
    sample: int,
    in_memory: int,
    target: Path | None,
    rounds: int,
    seed: int,
) -> None:
    """Print the speed table of README.md: seconds per video, minima of interleaved rounds.

    A processor with AVX-512 is measured twice, in a process each: as it is, and with its libraries
    limited to AVX2 by the variables that each of them documents (OpenVINO, PyTorch, Numba, NumPy,
    OpenBLAS; ONNX Runtime has none). This is not a processor without AVX-512, whose caches and
    clock may differ. The roof has the same limit.

    \b
    Example:
      python -m benchmarks.speed
    """
    if target is not None:
        bundle = synthetic.make_bundle(folder / "bundle", seed)
        figures = measure_stages(bundle, in_memory, rounds, seed)
        figures |= measure_command(folder / "propose", videos, sample, rounds, seed)
        target.write_text(json.dumps(figures), encoding="utf-8")
        return
    sizes = ("--videos", videos, "--sample", sample, "--in-memory", in_memory)
    columns: dict[str, Figures] = {}
    for name, options in columns_here().items():
        file = folder / "column.json"
        click.echo(f"measuring: {name}", err=True)
        run_new(
            *(Path(sys.executable).name, "-m", "benchmarks.speed", *sizes, *options),
            *("--rounds", rounds, "--seed", seed, "--json", file),
        )
        columns[name] = json.loads(file.read_text(encoding="utf-8"))
    if any("--instructions" in options for options in columns_here().values()):
        click.echo(f"AVX2 only: {', '.join(f'{k}={v}' for k, v in AVX2.items())}\n")
    rows = list(next(iter(columns.values())))
    header = (f"{processor_name()}, {core_count()} cores; per video", *columns)
    print_table(header, [(row, *(column[row] for column in columns.values())) for row in rows])


if __name__ == "__main__":
    main()
