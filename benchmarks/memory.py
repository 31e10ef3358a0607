"""Memory of the `propose` command on packed stores while the number of videos grows (Linux)."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from actspan.bench.timing import anonymous_memory
from actspan.data.store.pack import PackRequest, pack_dataset
from benchmarks import made_up
from benchmarks.measure import print_machine, print_table
from benchmarks.propose import command

Sample = tuple[int, float]  # peak bytes, seconds

DISTINCT = 300  # feature files beyond these are hard links to them
NARROW = 8  # channels of the default: features are mapped, so their width hardly matters


def peak_memory(line: list[str], every: float = 0.01) -> Sample:
    """Run a command; return its largest RssAnon + RssShmem in bytes, and its seconds.

    Raises
    ------
    click.ClickException
        The command failed; the message contains its output.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=errors)
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_memory(process.pid))
            time.sleep(every)
        if process.returncode:
            errors.seek(0)
            raise click.ClickException(f"{' '.join(line)} failed:\n{errors.read()}")
    return peak, time.perf_counter() - began


def measure(
    folder: Path, videos: Sequence[int], channels: int, backend: str, rounds: int, seed: int
) -> list[list[Sample]]:
    """Return the samples of each size; every round runs all sizes in turn."""
    bundle = made_up.make_bundle(folder / "bundle", seed, channels=channels)
    lines = []
    for count in videos:
        source, store = folder / f"dataset-{count}", folder / f"store-{count}"
        made_up.make_dataset(source, count, seed, DISTINCT, channels=channels)
        pack_dataset(PackRequest(source, store, dtype="float16"))
        line = command(bundle.path, store, folder / f"{count}.json")
        lines.append([*line, "--backend", backend])
    peak_memory(lines[0])  # kernels are compiled and cached once, which takes memory of its own
    samples: list[list[Sample]] = [[] for _ in videos]
    for _ in range(rounds):
        for line, taken in zip(lines, samples, strict=True):
            taken.append(peak_memory(line))
    return samples


def print_growth(videos: Sequence[int], samples: Sequence[Sequence[Sample]]) -> None:
    """Print one line per size, each compared with the first."""
    peaks = [statistics.median(peak for peak, _ in taken) for taken in samples]
    lines = []
    for count, peak, taken in zip(videos, peaks, samples, strict=True):
        more = count - videos[0]
        growth = f"{(peak - peaks[0]) / 1024 / more:.2f} kB" if more else "-"
        low, high = (bound(taken)[0] / 2**20 for bound in (min, max))
        seconds = statistics.median(seconds for _, seconds in taken)
        figures = f"{peak / 2**20:.0f} MB", f"{low:.0f} .. {high:.0f} MB", f"{peak / peaks[0]:.2f}x"
        lines.append((f"{count:,}", *figures, growth, f"{seconds:.1f} s"))
    header = (
        "videos",
        "peak memory",
        "lowest .. highest",
        "of the first",
        "growth a video",
        "time",
    )
    print_table(header, lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("videos", nargs=-1, type=click.IntRange(min=1))
@click.option("--channels", default=NARROW, help="Of the features; 400 as published.")
@click.option("--backend", default="onnxruntime", help="Inference runtime.")
@click.option("--rounds", default=1, help="Times that each size runs; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(videos: tuple[int, ...], channels: int, backend: str, rounds: int, seed: int) -> None:
    """Measure the peak memory (RssAnon + RssShmem) of `actspan propose`.

    VIDEOS are the sizes to try, by default 5000 and 50000. Counted is what the process itself
    allocated or shares; pages of files that it maps do not count. Sampled every 10 ms.

    \b
    Example:
      python -m benchmarks.memory 5000 50000 --channels 400
    """
    if not Path("/proc/self/status").is_file():
        raise click.ClickException("needs /proc, which only Linux has")
    videos = tuple(sorted(set(videos))) or (5000, 50_000)
    print_machine()
    click.echo(
        f"peak RssAnon + RssShmem of `actspan propose` on {backend}, features of {channels} "
        f"channels in a store; median of {rounds} round(s); made-up data, seed {seed}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        print_growth(videos, measure(Path(folder), videos, channels, backend, rounds, seed))


if __name__ == "__main__":
    main()
