"""Peak of anonymous memory (RssAnon + RssShmem) of commands as their work grows (Linux)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from actspan.bench import synthetic
from actspan.data.data_requests import PackRequest
from actspan.data.pack import pack_dataset
from actspan.streams.video_lists import find_videos
from benchmarks import data
from benchmarks.commands import propose_options
from benchmarks.extract import concatenate
from benchmarks.harness import Peak, benchmark, group, peak_of_command, print_table, program

DISTINCT = 300  # feature files beyond these are hard links to them
NARROW = 8  # channels of the default: features are mapped, so their width hardly matters
ACTIVITYNET = 19_228  # videos


def median_peak(taken: Sequence[Peak]) -> Peak:
    """Return the medians of memory and time."""
    return Peak(*map(statistics.median, zip(*taken, strict=True)))


@benchmark(rounds=1, seed=True)
@click.argument("videos", nargs=-1, type=click.IntRange(min=1))
@click.option("--channels", default=NARROW, help="Channels of the features; published: 400.")
@click.option("--backend", default="onnxruntime", help="Inference runtime.")
def videos(
    folder: Path, videos: tuple[int, ...], channels: int, backend: str, rounds: int, seed: int
) -> None:
    """Measure `actspan propose` on packed stores of 5000 and 50000 videos, or of VIDEOS.

    Counted is what the process itself allocated or shares; pages of files that it maps do not
    count.

    \b
    Example:
      python -m benchmarks.memory videos 5000 50000 --channels 400
    """
    counts = tuple(sorted(set(videos))) or (5000, 50_000)
    click.echo(f"`actspan propose` on {backend}, features of {channels} channels in a store\n")
    bundle = synthetic.make_bundle(folder / "bundle", seed, channels=channels)
    commands = []
    for count in counts:
        source, store = folder / f"dataset-{count}", folder / f"store-{count}"
        synthetic.make_dataset(source, count, seed, DISTINCT, channels=channels)
        pack_dataset(PackRequest(source, store, dtype="float16"))
        places = propose_options(bundle.path, store, folder / f"{count}.json")
        commands.append(program("actspan", "propose", *places, "--backend", backend))
    peak_of_command(commands[0])  # kernels are compiled and cached once, which takes memory
    rows = [[peak_of_command(line) for line in commands] for _ in range(rounds)]
    samples = [median_peak(taken) for taken in zip(*rows, strict=True)]
    lines = []
    for count, peak in zip(counts, samples, strict=True):
        more, grown = count - counts[0], peak.memory - samples[0].memory
        growth = f"{grown / 1024 / more:.2f} kB" if more else "-"
        ratio = f"{peak.memory / samples[0].memory:.2f}x"
        lines.append((f"{count:,}", peak.megabytes, ratio, growth, f"{peak.seconds:.1f} s"))
    print_table(("videos", "peak memory", "of the first", "growth per video", "time"), lines)


@benchmark(rounds=3, seed=True)
@click.argument("hours", nargs=-1, type=click.FloatRange(0, min_open=True))
def recordings(folder: Path, hours: tuple[float, ...], rounds: int, seed: int) -> None:
    """Measure `actspan propose` on recordings of 1 and 24 hours, or of HOURS.

    Windows of 100 snippets at half overlap, a snippet every half second, 400 channels, a run folder
    with boundary scores and candidates as output.

    \b
    Example:
      python -m benchmarks.memory recordings 1 24
    """
    bundle = data.make_window_bundle(folder / "bundle", seed)
    lines: list[tuple[str, ...]] = []
    first = None
    for length in sorted(set(hours)) or (1.0, 24.0):
        dataset = data.make_recording(folder / f"{length:g}", length, seed)
        outs = [folder / f"run-{length:g}-{number}" for number in range(rounds + 1)]
        runs = [
            program("actspan", "propose", *propose_options(bundle.path, dataset, out))
            for out in outs
        ]
        taken = [peak_of_command(run) for run in runs]
        peak = median_peak(taken[1:])  # the first one fills caches
        first = first or peak.memory
        ratio = f"{peak.memory / first:.2f}x"
        lines.append((f"{length:g} h", peak.megabytes, ratio, f"{peak.seconds:.1f} s"))
    print_table(("recording", "peak memory", "of the first", "time"), lines)


@benchmark()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("videos", nargs=-1, required=True)
@click.option("--minutes", "-m", multiple=True, type=float, default=(4, 16), help="Lengths.")
def films(folder: Path, model: Path, videos: tuple[str, ...], minutes: tuple[float, ...]) -> None:
    """Measure `actspan propose`, offline and --follow, with MODEL, on VIDEOS joined to one.

    MODEL is in window mode. VIDEOS are H.264 in mp4, of one size.

    \b
    Example:
      python -m benchmarks.memory films live/ jhmdb-spliced/
    """
    paths = list(find_videos(videos).files.values())
    lines = []
    for length in sorted(minutes):
        film = concatenate(paths, length, folder / "film.ts")
        ways = {
            "VIDEO": [film, "--out", film.with_suffix(".json")],
            "--follow": ["--follow", film, "--idle", 0],
        }
        for way, options in ways.items():
            peak = peak_of_command(program("actspan", "propose", "--model", model, *options))
            pace = f"{60 * length / peak.seconds:.1f}x"
            lines.append((f"{way}, {length:g} min", peak.megabytes, pace))
    print_table(("propose", "peak memory", "of real time, start-up included"), lines)


@benchmark(seed=True)
@click.argument("videos", nargs=-1, type=click.IntRange(min=1))
@click.option("--lean", is_flag=True, help="Write only what later steps read.")
def staged(folder: Path, videos: tuple[int, ...], lean: bool, seed: int) -> None:
    """Measure the steps of `actspan staged` on 500 and 5000 videos of 100 x 400, or on VIDEOS.

    The last column is what ActivityNet's 19,228 videos would add on disk.

    \b
    Example:
      python -m benchmarks.memory staged 500 5000
    """
    header = (
        "step",
        "peak memory",
        "time",
        "per video",
        "disk per video",
        f"disk of {ACTIVITYNET:,}",
    )
    bundle = synthetic.make_bundle(folder / "bundle", seed).path
    warm = synthetic.make_dataset(folder / "warm", 2, seed, 2)
    list(staged_rows(bundle, warm, folder / "stage-0", 2, lean))  # kernels are compiled once
    for count in videos or (500, 5000):
        dataset = synthetic.make_dataset(folder / f"set-{count}", count, seed, DISTINCT)
        click.echo(f"\n{count:,} videos{', lean' if lean else ''}\n")
        stage = folder / f"stage-{count}"
        print_table(header, list(staged_rows(bundle, dataset, stage, count, lean)))


def staged_rows(
    bundle: Path, dataset: Path, stage: Path, videos: int, lean: bool
) -> Iterator[tuple[str, ...]]:
    """Run all steps; yield one table row per step."""
    short, model = ["--lean"] if lean else [], ["--model", bundle]
    steps: dict[str, list[object]] = {
        "tem-inputs": [*model, "--dataset", dataset, "--out", stage, *short],
        "run --net tem": [stage, *model],
        "tem-outputs": [stage],
        "pem-inputs": [stage, *short],
        "run --net pem": [stage, *model],
        "pem-outputs": [stage, *short],
    }
    before = 0
    for name, words in steps.items():
        peak = peak_of_command(program("actspan", "staged", *name.split(), *words))
        after = sum(512 * p.stat().st_blocks for p in stage.rglob("*") if p.is_file())
        added = (after - before) / videos
        yield (
            name,
            peak.megabytes,
            f"{peak.seconds:.1f} s",
            f"{1000 * peak.seconds / videos:.2f} ms",
            f"{added / 1000:.0f} kB",
            f"{added * ACTIVITYNET / 1e9:.2f} GB",
        )
        before = after


main = group(
    "Measure the peak memory of commands.",
    "memory videos 5000 50000",
    *(videos, recordings, films, staged),
)

if __name__ == "__main__":
    main()
