"""TEM's throughput on every backend, OpenVINO's own tool, and plain matrix products."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from actspan import Bundle
from actspan.bench import synthetic
from actspan.bench.logs import read_log
from actspan.bench.machine import matrix_products, tem_products
from actspan.deploy.variants import export_variants
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, choose_backend, open_net, open_session
from actspan.runtime.session import Session
from benchmarks.harness import benchmark, median_seconds, print_table, run_new

BATCH = 16
VARIANTS = (["fold-scale", "fp16"], ["fold-scale", "int8"])
TOOL, PRODUCT = "OpenVINO's benchmark_app", "matrix products (sgemm)"

Runs = Iterator[tuple[str, Callable[[], object]]]


class Contenders:
    """Runs over the same number of videos, by name."""

    def __init__(
        self, bundle: Bundle, batches: int, threads: int, seed: int, stack: ExitStack
    ) -> None:
        videos = [synthetic.make_features(number, seed).T for number in range(BATCH)]
        self.batch = {"video": np.stack(videos)}  # (16, C, T)
        self.bundle, self.batches, self.threads, self._stack = bundle, batches, threads, stack
        self._pool = stack.enter_context(ThreadPoolExecutor(threads))

    def of_backend(self, name: str) -> Runs:
        """Yield a backend as the pipeline uses it, and with all threads on one batch."""
        wide = self._kept(open_net(self.bundle, "tem", backend=name, threads=self.threads))
        narrow = self._kept(
            open_net(self.bundle, "tem", backend=name, threads=1, streams=self.threads)
        )
        yield f"{name}, {self.threads} calls at once", lambda: self._at_once(narrow)
        yield f"{name}, all threads on a call", lambda: self._in_turn(wide)
        if name == "openvino":
            yield f"{name}, its own queue", self._queue()

    def of_variants(self, dataset: Path) -> Runs:
        """Yield rewritten graphs on ONNX Runtime; int8 is calibrated on the dataset."""
        for passes in VARIANTS:
            given = dataset if "int8" in passes else None
            done = export_variants(self.bundle, passes, calibrate=given)
            file = done.bundle.file(done.file("tem"))
            session = self._kept(open_session(file, backend="onnxruntime", streams=self.threads))
            yield f"{file.name} on onnxruntime", lambda s=session: self._at_once(s)  # type: ignore[misc]

    def product(self) -> None:
        """Compute TEM's layers as NumPy matrix products, on all cores."""
        assert self.bundle.config.tem is not None
        products = matrix_products(tem_products(self.bundle.config.tem, BATCH))
        for number in range(self.batches):
            products(number)

    def _queue(self) -> Callable[[], object]:
        """Return a run through OpenVINO's asynchronous queue, with one stream per thread."""
        import openvino

        settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.threads,
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        model = openvino.Core().compile_model(str(self.bundle.file("tem.onnx")), "CPU", settings)
        queue = openvino.AsyncInferQueue(model, self.threads)

        def run() -> None:
            for _ in range(self.batches):
                queue.start_async(self.batch)
            queue.wait_all()

        return run

    def _kept(self, session: Session) -> Session:
        return self._stack.enter_context(session)

    def _at_once(self, session: Session) -> None:
        list(self._pool.map(lambda _: session.run(self.batch), range(self.batches)))

    def _in_turn(self, session: Session) -> None:
        for _ in range(self.batches):
            session.run(self.batch)


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


def print_rates(rates: dict[str, float], chosen: str) -> None:
    """Print one row per contender, fastest first, then the targets."""

    def share(rate: float, of: float | None) -> str:
        return "-" if of is None else f"{rate / of:.2f}x"

    tool, product = rates.get(TOOL), rates[PRODUCT]
    header = ("TEM, batch 16", "videos/s", "ms per video", "of benchmark_app", "of sgemm")
    lines = [
        (name, f"{rate:.0f}", f"{1e3 / rate:.2f}", share(rate, tool), share(rate, product))
        for name, rate in sorted(rates.items(), key=lambda item: -item[1])
    ]
    print_table(header, lines)
    exact = [b.name for b in BACKENDS.values() if b.precision == "float32"]  # as the yardsticks
    ours = {name: rate for name, rate in rates.items() if name.partition(",")[0] in exact}
    best = max(ours, key=lambda name: ours[name])
    click.echo(f"\nbest in float32: {best}; --backend auto takes {chosen}")
    if tool is not None:
        click.echo(f"best / benchmark_app: {ours[best] / tool:.2f}x (target >= 0.9x)")
    click.echo(f"best / sgemm of TEM's size: {ours[best] / product:.2f}x (target >= 0.85x)")


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
    same file, and TEM's layers as bare matrix products in NumPy (280 MFLOP per video).

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
    with ExitStack() as stack:
        contenders = Contenders(bundle, batches, threads, seed, stack)
        runs: dict[str, Callable[[], object]] = {PRODUCT: contenders.product}
        for name in usable if backends is None else backends.split(","):
            runs.update(contenders.of_backend(name))
        if variants:
            dataset = synthetic.make_dataset(folder / "dataset", 32, seed)
            runs.update(contenders.of_variants(dataset))
        reported: list[float] = []
        if check_backend("openvino").usable:
            model = bundle.file("tem.onnx")
            runs[TOOL] = lambda: reported.append(benchmark_app(model, folder, seconds))
        rates = {name: videos / s for name, s in median_seconds(runs, rounds).items()}
    if reported:  # by its own clock, without its start
        rates[TOOL] = statistics.median(reported[1:])
    print_rates(rates, choose_backend(bundle).name)


if __name__ == "__main__":
    main()
