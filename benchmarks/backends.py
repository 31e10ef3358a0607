"""TEM's throughput on every backend, beside OpenVINO's own tool and a plain matrix product."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from actspan import Bundle
from actspan.bench.roof import matrix_products, tem_products
from actspan.deploy.variants import export_variants
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, choose_backend, open_net, open_session
from actspan.runtime.session import Session
from benchmarks import made_up
from benchmarks.measure import interleave, print_machine, print_table

BATCH = 16
VARIANTS = (["fold-scale", "fp16"], ["fold-scale", "int8"])
TOOL, PRODUCT = "OpenVINO's benchmark_app", "matrix products (sgemm)"


class Contenders:
    """All contenders by name, each a run over the same number of videos."""

    def __init__(self, bundle: Bundle, batches: int, threads: int, seed: int) -> None:
        videos = [made_up.make_features(number, seed).T for number in range(BATCH)]
        self.batch = {"video": np.stack(videos)}  # (16, C, T)
        self.bundle, self.batches, self.threads = bundle, batches, threads
        self._stack = ExitStack()
        self._pool = self._stack.enter_context(ThreadPoolExecutor(threads))
        self.runs: dict[str, Callable[[], object]] = {PRODUCT: self._product()}

    def add(self, name: str) -> None:
        """Add a backend twice: as the pipeline uses it, and with all threads on one batch."""
        wide = self._open(name, threads=self.threads, streams=1)
        narrow = self._open(name, threads=1, streams=self.threads)
        self.runs[f"{name}, {self.threads} calls at once"] = lambda: self._at_once(narrow)
        self.runs[f"{name}, all threads on a call"] = lambda: self._in_turn(wide)
        if name == "openvino":
            self.runs[f"{name}, its own queue"] = self._queue()

    def add_variants(self, dataset: Path) -> None:
        """Add rewritten graphs on ONNX Runtime; int8 is calibrated on a made-up dataset."""
        for passes in VARIANTS:
            given = dataset if "int8" in passes else None
            done = export_variants(self.bundle, passes, calibrate=given)
            file = done.file("tem")
            session = open_session(
                done.bundle.file(file), backend="onnxruntime", streams=self.threads
            )
            self._stack.enter_context(session)
            self.runs[f"{file} on onnxruntime"] = lambda s=session: self._at_once(s)  # type: ignore[misc]

    def _queue(self) -> Callable[[], object]:
        """Return a run through OpenVINO's asynchronous queue, with one stream per thread."""
        import openvino

        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": self.threads}
        settings["INFERENCE_NUM_THREADS"] = self.threads
        settings["INFERENCE_PRECISION_HINT"] = "f32"
        model = openvino.Core().compile_model(str(self.bundle.file("tem.onnx")), "CPU", settings)
        queue = openvino.AsyncInferQueue(model, self.threads)

        def run() -> None:
            for _ in range(self.batches):
                queue.start_async(self.batch)
            queue.wait_all()

        return run

    def _open(self, name: str, *, threads: int, streams: int) -> Session:
        session = open_net(self.bundle, "tem", backend=name, threads=threads, streams=streams)
        return self._stack.enter_context(session)

    def _at_once(self, session: Session) -> None:
        list(self._pool.map(lambda _: session.run(self.batch), range(self.batches)))

    def _in_turn(self, session: Session) -> None:
        for _ in range(self.batches):
            session.run(self.batch)

    def _product(self) -> Callable[[], None]:
        """Return a function that computes TEM's layers as NumPy matrix products, on all cores."""
        assert self.bundle.config.tem is not None
        product = matrix_products(tem_products(self.bundle.config.tem, BATCH))

        def run() -> None:
            for number in range(self.batches):
                product(number)

        return run

    def close(self) -> None:
        """Close sessions and threads."""
        self._stack.close()


def benchmark_app(model: Path, folder: Path, seconds: int) -> float:
    """Return videos per second by OpenVINO's tool: all cores, throughput hint, float32, batch 16.

    Raises
    ------
    click.ClickException
        The tool failed; shows what it said.
    """
    command = [
        str(Path(sys.executable).with_name("benchmark_app")),
        *("-m", str(model), "-d", "CPU", "-hint", "throughput", "-infer_precision", "f32"),
        *("-shape", f"video[{BATCH},{made_up.CHANNELS},{made_up.LENGTH}]"),
        *("-t", str(seconds), "-json_stats", "-report_type", "no_counters"),
        *("-report_folder", str(folder)),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"benchmark_app failed:\n{done.stdout}{done.stderr}")
    (report,) = folder.glob("*.json")
    results = json.loads(report.read_text())["execution_results"]
    report.unlink()
    return BATCH * float(results["throughput"])  # its frame is a call: a batch


def measure(
    contenders: Contenders, rounds: int, tool: Callable[[], float] | None
) -> dict[str, float]:
    """Return videos per second of each contender, the median of interleaved rounds."""
    told: list[float] = []
    runs = dict(contenders.runs)
    if tool is not None:
        runs[TOOL] = lambda: told.append(tool())
    videos = BATCH * contenders.batches
    rates = {name: videos / seconds for name, seconds in interleave(runs, rounds).items()}
    if told:  # its own clock: without its start
        rates[TOOL] = float(np.median(told[1:]))
    return rates


def report(rates: Mapping[str, float], chosen: str) -> None:
    """Print one row per contender, fastest first, then the targets."""
    header = ("TEM, batch 16", "videos/s", "ms a video", "of benchmark_app", "of sgemm")
    lines = [
        (
            name,
            f"{rate:.0f}",
            f"{1e3 / rate:.2f}",
            _share(rate, rates.get(TOOL)),
            _share(rate, rates[PRODUCT]),
        )
        for name, rate in sorted(rates.items(), key=lambda item: -item[1])
    ]
    print_table(header, lines)
    exact = [b.name for b in BACKENDS.values() if b.precision == "float32"]  # as the yardsticks
    ours = {name: rate for name, rate in rates.items() if name.partition(",")[0] in exact}
    best = max(ours, key=lambda name: ours[name])
    click.echo(f"\nbest in float32: {best}; --backend auto takes {chosen}")
    if TOOL in rates:
        click.echo(f"best / benchmark_app: {ours[best] / rates[TOOL]:.2f}x (target >= 0.9x)")
    click.echo(f"best / sgemm of TEM's size: {ours[best] / rates[PRODUCT]:.2f}x (target >= 0.85x)")


def _share(rate: float, of: float | None) -> str:
    return "-" if of is None else f"{rate / of:.2f}x"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--batches", default=24, help="Batches of 16 videos in a round.")
@click.option("--threads", default=2, help="Threads, or calls at once.")
@click.option("--rounds", default=5, help="Times that all run, in turn; the median counts.")
@click.option("--seconds", default=3, help="For benchmark_app in a round.")
@click.option("--backends", help="Comma-separated. [default: all that are usable]")
@click.option("--variants/--no-variants", default=True, help="Also time rewritten graphs.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(
    batches: int,
    threads: int,
    rounds: int,
    seconds: int,
    backends: str | None,
    variants: bool,
    seed: int,
) -> None:
    """Compare the backends by the videos a second that TEM takes at batch 16.

    Each backend runs as the pipeline uses it (calls at once, one thread each) and with all
    threads on one call. Two yardsticks run in the same rounds: OpenVINO's benchmark_app on the
    same file, and TEM's layers as bare matrix products in NumPy (280 MFLOP a video).

    \b
    Example:
      python -m benchmarks.backends
    """
    print_machine()
    known = [row.name for row in BACKENDS.values() if not row.graph]  # of the graph as exported
    usable = [name for name in known if check_backend(name).usable]
    names = usable if backends is None else backends.split(",")
    click.echo(
        f"TEM {made_up.CHANNELS} x {made_up.LENGTH}, {BATCH * batches} videos a round, {threads} "
        f"threads, median of {rounds} rounds; made-up data, seed {seed}\n"
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bundle = made_up.make_bundle(Path(folder) / "bundle", seed)
        contenders = Contenders(bundle, batches, threads, seed)
        stack.callback(contenders.close)
        for name in names:
            contenders.add(name)
        if variants:
            dataset = made_up.make_dataset(Path(folder) / "dataset", 32, seed)
            contenders.add_variants(dataset)
        reports = Path(folder) / "reports"
        reports.mkdir()
        model = bundle.file("tem.onnx")
        tool = None
        if check_backend("openvino").usable:
            tool = lambda: benchmark_app(model, reports, seconds)  # noqa: E731
        report(measure(contenders, rounds, tool), choose_backend(bundle).name)


if __name__ == "__main__":
    main()
