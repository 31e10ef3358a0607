"""The backbone's throughput alone and with decoding, and memory over an hour-long video (Linux)."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import click
import numpy as np

from actspan.core.parallel import map_ordered
from actspan.streams.backbone import find_backbone
from actspan.streams.extraction import DEFAULT_GRID
from actspan.streams.snippet_features import BATCH, Extractor
from actspan.streams.video_lists import find_videos
from benchmarks.measure import interleave, print_machine, print_table
from benchmarks.memory import peak_memory


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


class Contenders:
    """The backbone alone, and the extractor, over the same pictures."""

    def __init__(self, video: Path, threads: int) -> None:
        self.video, self.threads = video, threads
        self.extractor = Extractor(find_backbone("default"), DEFAULT_GRID, threads=threads)
        self.snippets, self.seconds = 0, 0.0

    def extract(self) -> None:
        """Decode, scale, embed and pool; nothing is written."""
        parts = list(self.extractor.run([self.video]))
        self.snippets = sum(len(part.rows) for part in parts)
        self.seconds = parts[-1].seconds

    @property
    def pictures(self) -> int:
        """Number of backbone inputs: each snippet shares half of its frames with its neighbours."""
        spec = self.extractor.spec
        assert spec.extraction is not None
        return self.snippets * spec.extraction.frames // 2

    def backbone(self) -> None:
        """Embed the same number of pictures from memory, without decoding."""
        net = self.extractor.backbone
        pixels = np.random.default_rng(0).integers(0, 256, (BATCH, *net.size, 3), dtype=np.uint8)
        batches = itertools.repeat(pixels, self.pictures // BATCH)
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in map_ordered(pool, net.embed, batches, ahead=self.threads + 1):
                pass


def measure_speed(video: Path, threads: int, rounds: int) -> None:
    """Print both throughputs and their ratio."""
    run = Contenders(video, threads)
    run.extract()  # also counts the pictures
    names = {run.backbone: "backbone alone", run.extract: "decoding and backbone"}
    work: dict[str, list[float]] = {name: [] for name in names.values()}

    def timed(contender: Callable[[], None]) -> None:
        began = time.process_time()
        contender()
        work[names[contender]].append(time.process_time() - began)

    seconds = interleave({names[c]: partial(timed, c) for c in names}, rounds)
    cpu = {name: statistics.median(values[1:]) for name, values in work.items()}
    lines = [
        (
            name,
            f"{run.pictures / taken:.0f}",
            f"{run.seconds / taken:.1f}x",
            f"{seconds['backbone alone'] / taken:.0%}",
            f"{cpu['backbone alone'] / cpu[name]:.0%}",
        )
        for name, taken in seconds.items()
    ]
    print_table(("", "pictures/s", "of real time", "of the backbone", "by processor time"), lines)
    click.echo("aimed at: 85 %, and 10x real time for 320 x 240 on 2 cores; processor time counts")
    click.echo("where others use the machine\n")


def measure_memory(videos: Sequence[Path], minutes: Sequence[float], folder: Path) -> None:
    """Print the peak of anonymous memory of `actspan extract` on longer and longer videos."""
    lines, first = [], 0
    for length in minutes:
        video = concatenate(videos, length, folder / f"{length:g}.ts")
        command = [sys.executable, "-m", "actspan", "extract", str(video)]
        peak, seconds = peak_memory([*command, "--out", str(folder / f"out-{length:g}")], 0.05)
        first = first or peak
        made = json.loads((folder / f"out-{length:g}" / "extracted.jsonl").read_text())
        pace = f"{made['seconds'] / seconds:.1f}x"
        lines.append((f"{length:g} min", f"{peak / 2**20:.0f} MB", f"{peak / first:.2f}x", pace))
        video.unlink()
    header = ("one video of", "peak RssAnon", "of the first", "of real time, start-up included")
    print_table(header, lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("videos", nargs=-1, required=True)
@click.option("--minutes", "-m", multiple=True, type=float, default=(5, 60), help="Lengths.")
@click.option("--threads", default=2, help="For the backbone.")
@click.option("--rounds", default=3, help="Times that each runs; the median counts.")
@click.option("--only", type=click.Choice(["speed", "memory"]), help="One of the two tables.")
def main(
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
    paths = list(find_videos(videos).paths.values())
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if only != "memory":
            measure_speed(concatenate(paths, 2, folder / "speed.ts"), threads, rounds)
        if only != "speed":
            measure_memory(paths, sorted(minutes), folder)


if __name__ == "__main__":
    main()
