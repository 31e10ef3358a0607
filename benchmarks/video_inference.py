"""Memory and pace of `actspan propose` on videos that get longer, offline and followed (Linux)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from actspan.streams.sources import find_videos
from benchmarks.extract import concatenate
from benchmarks.measure import print_machine, print_table
from benchmarks.memory import peak_memory


def measure(model: Path, video: Path, minutes: float) -> list[tuple[str, ...]]:
    """Return one table row per way to compute the same answer."""
    command = [sys.executable, "-m", "actspan", "propose", "--model", str(model)]
    ways = {
        "VIDEO": [str(video), "--out", str(video.with_suffix(".json"))],
        "--follow": ["--follow", str(video), "--idle", "0"],
    }
    lines = []
    for way, options in ways.items():
        peak, seconds = peak_memory([*command, *options], 0.05)
        pace = f"{60 * minutes / seconds:.1f}x"
        lines.append((f"{way}, {minutes:g} min", f"{peak / 2**20:.0f} MB", pace))
    return lines


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("videos", nargs=-1, required=True)
@click.option("--minutes", "-m", multiple=True, type=float, default=(4, 16), help="Lengths.")
def main(model: Path, videos: tuple[str, ...], minutes: tuple[float, ...]) -> None:
    """Measure `actspan propose` with MODEL, in window mode, on VIDEOS joined to one.

    VIDEOS are H.264 in mp4, of one size.

    \b
    Example:
      python -m benchmarks.video_inference live/ jhmdb-spliced/
    """
    paths = list(find_videos(videos).paths.values())
    print_machine()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for length in sorted(minutes):
            lines += measure(model, concatenate(paths, length, Path(folder, "film.ts")), length)
    print_table(("propose", "peak RssAnon", "of real time, start-up included"), lines)


if __name__ == "__main__":
    main()
