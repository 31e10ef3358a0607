"""Measure the answers that the workspace needs: pictures of a video, figures of many videos."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import click
import numpy as np

from benchmarks.harness import benchmark, print_table
from benchmarks.serve import running_service
from benchmarks.viewer import make_large_run

FPS, PART = 25, 30  # frames per second; seconds that are encoded, and repeated
PICTURES = 60
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}


def make_video(path: Path, seconds: int, size: tuple[int, int], seed: int) -> None:
    """Write a moving pattern in H.264, with a key frame every 10 s, and a tone."""
    import av

    height, width = size
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    pattern = blocks.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": str(10 * FPS)}
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        packets = []
        for number in range(PART * FPS):
            frame = av.VideoFrame.from_ndarray(np.roll(pattern, 3 * number, axis=1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            packets += stream.encode(frame)
        packets += stream.encode()
        tone = (9000 * np.sin(np.arange(16_000) / 6)).astype(np.int16)[None]
        for second in range(seconds):
            if second % PART == 0:
                _write_again(container, stream, packets, second)
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, second * 16_000
            container.mux(sound.encode(frame))


def _write_again(container: Any, stream: Any, packets: list[Any], second: int) -> None:
    import av

    for packet in packets:
        copy = av.Packet(bytes(packet))
        copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
        shift = round(second / packet.time_base)
        copy.pts, copy.dts, copy.duration = packet.pts + shift, packet.dts + shift, packet.duration
        container.mux(copy)


def ask(url: str, path: str, **query: Any) -> tuple[float, bytes]:
    """Return the seconds until an answer, and its body."""
    started = time.perf_counter()
    with urlopen(f"{url.rstrip('/')}/api/browse/{path}?{urlencode(query)}") as answer:
        body = answer.read()
    return time.perf_counter() - started, body


def child_memory(process: int) -> float:
    """Return the peak memory of the largest child of a process, MB."""
    peaks = [0.0]
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # it ended
            continue
        if int(text["PPid"]) == process:
            peaks.append(int(text.get("VmHWM", "0 kB").split()[0]) / 1024)
    return max(peaks)


@benchmark(seed=True)
@click.option("--videos", default=5000, help="Videos of the large runs.")
@click.option("--minutes", default=10, help="Length of the video.")
@click.option("--size", type=click.Choice(list(SIZES)), default="1080p")
def main(folder: Path, seed: int, videos: int, minutes: int, size: str) -> None:
    """Measure the routes of the workspace.

    \b
    Example:
      python -m benchmarks.workspace
      python -m benchmarks.workspace --videos 500 --minutes 1 --size 720p
    """
    (folder / "videos").mkdir()
    make_video(folder / "videos" / "film.mov", 60 * minutes, SIZES[size], seed)
    rows: list[tuple[str, str, str]] = []
    with running_service("--videos", folder / "videos", "--data", folder / "data") as (url, pid):
        for name, path, query in (
            (f"filmstrip, {PICTURES} pictures", "filmstrip", {"count": PICTURES}),
            ("the same again", "filmstrip", {"count": PICTURES}),
            ("frame times", "frames", {}),
            ("one frame, 360 pixels high", "frame", {"time": 31.7}),
            ("waveform", "waveform", {}),
        ):
            seconds, _ = ask(url, path, id="film", **query)
            rows.append((name, f"{1000 * seconds:.0f} ms", f"{child_memory(pid):.0f} MB"))
    print_table((f"video of {minutes} minutes, {size}", "answer", "largest process"), rows)
    for number in range(2):
        (folder / str(number)).mkdir()
        make_large_run(folder / str(number), videos, seed + number)
    words = [w for n in "01" for w in ("--results", folder / n / "run")]
    words += ["--ground-truth", folder / "0" / "set", "--data", folder / "more"]
    with running_service(*words) as (url, _):
        started = time.perf_counter()
        times = [("first page of the list", ask(url, "videos")[0])]
        while json.loads(ask(url, "videos")[1])["evaluating"]:
            time.sleep(0.1)
        times.append(("every video is evaluated", time.perf_counter() - started))
        for name, path, query in (
            ("figures", "figures", {}),
            ("comparison with interval", "comparison", {}),
            ("AUC of each video", "per-video", {}),
            ("list by changes", "videos", {"order": "changes"}),
            ("list by AUC, with timelines", "videos", {"order": "auc", "segments": 5}),
            ("review by doubt", "review", {"order": "doubt", "top": 100}),
        ):
            times.append((name, ask(url, path, **query)[0]))
    lines = [(name, f"{1000 * seconds:.0f} ms") for name, seconds in times]
    print_table((f"two runs of {videos:,} videos", "answer"), lines)


if __name__ == "__main__":
    main()
