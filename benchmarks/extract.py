"""The backbone's throughput alone and with decoding, and memory over an hour-long video (Linux)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import click
import numpy as np

from actspan.core.parallel import map_ordered
from actspan.streams.backbone import find_backbone
from actspan.streams.extract_request import Grid, Span
from actspan.streams.snippet_features import BATCH, Extractor
from actspan.streams.video_lists import find_videos
from benchmarks.harness import benchmark, median_runs, peak_of_command, print_table, program


def concatenate(videos: Sequence[Path], minutes: float, out: Path) -> Path:
    """Join the videos, repeated in turn, to one MPEG transport stream without re-encoding.

    Only H.264 of one size is taken.
    """
    begin = 0.0
    with av.open(str(out), "w") as container:
        stream = None
        for video in itertools.cycle(videos):
            if begin >= 60 * minutes:
                return out
            with av.open(str(video)) as source:
                given = source.streams.video[0]
                if stream is None:
                    stream = container.add_stream_from_template(given)
                last = begin
                for packet in rewritten(source, given):
                    offset = round(begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    last = max(last, float((packet.pts + packet.duration) * packet.time_base))
                    packet.stream = stream
                    container.mux(packet)
                begin = last
    raise AssertionError("an endless cycle")


def rewritten(source: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Yield packets that contain the stream's headers, as a transport stream requires."""
    headers = av.BitStreamFilterContext("h264_mp4toannexb", stream)
    for packet in source.demux(stream):
        if packet.dts is not None:
            yield from headers.filter(packet)
    yield from headers.filter(None)


def measure_speed(video: Path, threads: int, rounds: int) -> None:
    """Print the throughput of the backbone alone and with decoding, and their ratio."""
    extractor = Extractor(
        find_backbone("default"), Grid(Span(0.25, "s"), Span(0.5, "s")), threads=threads
    )
    parts = list(extractor.run([video]))
    assert extractor.spec.extraction is not None
    # each snippet shares half of its frames with its neighbours
    pictures = sum(len(part.rows) for part in parts) * extractor.spec.extraction.frames // 2
    net = extractor.backbone
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, *net.size, 3), dtype=np.uint8)

    def embed() -> None:
        batches = itertools.repeat(pixels, pictures // BATCH)
        with ThreadPoolExecutor(threads) as pool:
            for _ in map_ordered(pool, net.embed, batches, ahead=threads + 1):
                pass

    contenders = {
        "backbone alone": embed,
        "decoding and backbone": lambda: list(extractor.run([video])),
    }
    runs = median_runs(contenders, rounds)
    alone = runs["backbone alone"]
    lines = [
        (
            name,
            f"{pictures / run.seconds:.0f}",
            f"{parts[-1].seconds / run.seconds:.1f}x",
            f"{alone.seconds / run.seconds:.0%}",
            f"{alone.cpu_seconds / run.cpu_seconds:.0%}",
        )
        for name, run in runs.items()
    ]
    print_table(("", "pictures/s", "of real time", "of the backbone", "by processor time"), lines)
    click.echo(
        "target: 85 %, and 10x real time for 320 x 240 on 2 cores; processor time counts where "
        "others use the machine\n"
    )


def measure_memory(videos: Sequence[Path], minutes: Sequence[float], folder: Path) -> None:
    """Print the peak of anonymous memory of `actspan extract` on longer and longer videos."""
    lines, first = [], 0
    for length in minutes:
        video = concatenate(videos, length, folder / f"{length:g}.ts")
        out = folder / f"out-{length:g}"
        peak = peak_of_command(program("actspan", "extract", video, "--out", out))
        first = first or peak.memory
        seconds = json.loads((out / "extracted.jsonl").read_text())["seconds"]
        ratio, pace = f"{peak.memory / first:.2f}x", f"{seconds / peak.seconds:.1f}x"
        lines.append((f"{length:g} min", peak.megabytes, ratio, pace))
        video.unlink()
    header = ("one video of", "peak memory", "of the first", "of real time, start-up included")
    print_table(header, lines)


@benchmark(rounds=3)
@click.argument("videos", nargs=-1, required=True)
@click.option("--minutes", "-m", multiple=True, type=float, default=(5, 60), help="Lengths.")
@click.option("--threads", default=2, help="Threads of the backbone.")
@click.option("--only", type=click.Choice(["speed", "memory"]), help="One of the two tables.")
def main(
    folder: Path,
    videos: tuple[str, ...],
    minutes: tuple[float, ...],
    threads: int,
    rounds: int,
    only: str | None,
) -> None:
    """Measure `actspan extract` on VIDEOS, joined to one long one: H.264 in mp4, of one size.

    On two idle cores the speed takes about 2 minutes, the memory about 5.

    \b
    Example:
      python -m benchmarks.extract jhmdb-spliced/
    """
    paths = list(find_videos(videos).files.values())
    if only != "memory":
        measure_speed(concatenate(paths, 2, folder / "speed.ts"), threads, rounds)
    if only != "speed":
        measure_memory(paths, sorted(minutes), folder)


if __name__ == "__main__":
    main()
