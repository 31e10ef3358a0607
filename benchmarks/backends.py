"""TEM's throughput on every backend, OpenVINO's own tool, and plain matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np

from actspan import Bundle
from actspan.bench import synthetic
from actspan.bench.costs import tem_products
from actspan.bench.logs import read_log
from actspan.bench.roof import AtBest, at_best
from actspan.bench.timing import Run
from actspan.deploy.variants import export_variants
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, choose_backend, open_net, open_session
from actspan.runtime.session import Session
from benchmarks.harness import (
    ROOF,
    benchmark,
    both,
    open_roof,
    print_table,
    ratio,
    run_new,
    times_in_turn,
)

BATCH = 16
VARIANTS = (["fold-scale", "fp16"], ["fold-scale", "int8"])
TOOL = "OpenVINO's benchmark_app"

Work = Callable[[], object]


def contenders(
    bundle: Bundle,
    backends: Sequence[str],
    batches: int,
    threads: int,
    seed: int,
    calibration: Path | None,
    stack: ExitStack,
) -> Iterator[tuple[str, Work]]:
    """Yield runs over the same batches by name; with a dataset for int8, of rewritten graphs too.

    A backend runs as the pipeline uses it, and with all threads on one batch.
    """
    videos = [synthetic.make_features(number, seed).T for number in range(BATCH)]
    batch = {"video": np.stack(videos)}  # (16, C, T)
    pool = stack.enter_context(ThreadPoolExecutor(threads))

    def at_once(session: Session) -> Work:
        stack.enter_context(session)
        return lambda: list(pool.map(lambda _: session.run(batch), range(batches)))

    def in_turn(session: Session) -> Work:
        stack.enter_context(session)
        return lambda: [session.run(batch) for _ in range(batches)]

    for name in backends:
        narrow = open_net(bundle, "tem", backend=name, threads=1, streams=threads)
        yield f"{name}, {threads} calls at once", at_once(narrow)
        wide = open_net(bundle, "tem", backend=name, threads=threads)
        yield f"{name}, all threads on a call", in_turn(wide)
        if name == "openvino":
            yield f"{name}, its own queue", openvino_queue(bundle, batch, batches, threads)
    for passes in VARIANTS if calibration is not None else ():
        given = calibration if "int8" in passes else None
        done = export_variants(bundle, passes, calibrate=given)
        file = done.bundle.file(done.file("tem"))
        session = open_session(file, backend="onnxruntime", streams=threads)
        yield f"{file.name} on onnxruntime", at_once(session)


def openvino_queue(bundle: Bundle, batch: dict[str, Any], batches: int, threads: int) -> Work:
    """Return a run through OpenVINO's asynchronous queue, with one stream per thread."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(str(bundle.file("tem.onnx")), "CPU", settings)
    queue = openvino.AsyncInferQueue(model, threads)

    def run() -> None:
        for _ in range(batches):
            queue.start_async(batch)
        queue.wait_all()

    return run


def benchmark_app(model: Path, folder: Path, seconds: int) -> float:
    """Return videos per second by OpenVINO's tool: all cores, throughput hint, float32."""
    run_new(
        "benchmark_app",
        *("-m", model, "-d", "CPU", "-hint", "throughput", "-infer_precision", "f32"),
        *("-shape", f"video[{BATCH},{synthetic.CHANNELS},{synthetic.LENGTH}]", "-t", seconds),
        *("-json_stats", "-report_type", "no_counters", "-report_folder", folder),
    )
    (report,) = folder.glob("benchmark_report*.json")
    rate = read_log(report).stages[0].samples_per_second
    report.unlink()
    assert rate is not None
    return float(rate)


def print_times(times: dict[str, AtBest], chosen: str) -> None:
    """Print one row per contender, seconds per video, fastest first, then the targets."""
    tool, roof = times.get(TOOL), times[ROOF]
    header = ("TEM, batch 16", "videos/s", "minimum (median)", "of benchmark_app", "of sgemm")
    lines = [
        (
            name,
            f"{1 / time.minimum:.0f}",
            both(time),
            "-" if tool is None else ratio(tool, time),
            ratio(roof, time),
        )
        for name, time in sorted(times.items(), key=lambda item: item[1].minimum)
    ]
    print_table(header, lines)
    exact = [b.name for b in BACKENDS.values() if b.precision == "float32"]  # as the yardsticks
    ours = {name: time for name, time in times.items() if name.partition(",")[0] in exact}
    best = min(ours, key=lambda name: ours[name].minimum)
    click.echo(f"\nbest in float32: {best}; --backend auto takes {chosen}")
    if tool is not None:
        click.echo(f"best / benchmark_app: {ratio(tool, ours[best])} (target >= 0.9x)")
    click.echo(f"best / sgemm of TEM's size: {ratio(roof, ours[best])} (target >= 0.85x)")


@benchmark(rounds=5, seed=True)
@click.option("--batches", default=24, help="Batches of 16 videos in a round.")
@click.option("--threads", default=2, help="Threads, or concurrent calls.")
@click.option("--seconds", default=3, help="Seconds of benchmark_app per round.")
@click.option("--backends", help="Comma-separated. [default: all that are usable]")
@click.option("--variants/--no-variants", default=True, help="Also time rewritten graphs.")
def main(
    folder: Path,
    batches: int,
    threads: int,
    rounds: int,
    seconds: int,
    backends: str | None,
    variants: bool,
    seed: int,
) -> None:
    """Compare the backends by the videos per second that TEM takes at batch 16.

    Each backend runs as the pipeline uses it (calls at once, one thread each) and with all
    threads on one call. Two yardsticks run in the same rounds: OpenVINO's benchmark_app on the
    same file, and TEM's layers as bare matrix products in NumPy (280 MFLOP per video), on all
    cores.

    \b
    Example:
      python -m benchmarks.backends
    """
    known = [row.name for row in BACKENDS.values() if not row.graph]  # of the graph as exported
    usable = [name for name in known if check_backend(name).usable]
    videos = BATCH * batches
    click.echo(
        f"TEM {synthetic.CHANNELS} x {synthetic.LENGTH}, {videos} videos per round, "
        f"{threads} threads\n"
    )
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    dataset = synthetic.make_dataset(folder / "dataset", 32, seed) if variants else None
    chosen = usable if backends is None else backends.split(",")
    assert bundle.config.tem is not None
    with ExitStack() as stack:
        roof = stack.enter_context(open_roof(tem_products(bundle.config.tem, BATCH)))
        runs = dict(contenders(bundle, chosen, batches, threads, seed, dataset, stack))
        reported: list[float] = []
        if check_backend("openvino").usable:
            model = bundle.file("tem.onnx")
            runs[TOOL] = lambda: reported.append(benchmark_app(model, folder, seconds))
        times = times_in_turn(runs, rounds, roof)
        click.echo(f"roof: {roof.kernel}, {roof.gflops:.0f} GFLOP/s\n")
        each = {name: time.times(1 / videos) for name, time in times.items()}
        each[ROOF] = times[ROOF].times(1 / (BATCH * roof.cores))
    if reported:  # by its own clock, without its start
        own = at_best([Run(1 / rate, 1 / rate) for rate in reported[1:]])
        each[TOOL] = own._replace(is_reached=own.is_reached and roof.is_reached)
    print_times(each, choose_backend(bundle).name)


if __name__ == "__main__":
    main()
