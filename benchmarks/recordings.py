"""Anonymous memory of the `propose` command while a recording gets longer (Linux).

Windows of 100 snippets at half overlap, a snippet every half second, 400 channels, a run folder
with boundary scores and candidates as output.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

import click
import numpy as np

from actspan import Bundle, PemConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.config.stages import FeatureSpec
from actspan.model.manifest import Source
from benchmarks import made_up
from benchmarks.measure import print_machine, print_table
from benchmarks.memory import peak_memory
from benchmarks.propose import command

STRIDE = 0.5  # seconds
PIECES = 60  # distinct stretches, in turn


def make_bundle(path: Path, seed: int) -> Bundle:
    """Write made-up networks of the published sizes, for windows."""
    from actspan.runtime.export import export_bundle

    bundle = Bundle.create(
        path,
        config=PipelineConfig(
            mode="window",
            tem=TemConfig(),
            pem=PemConfig(),
            soft_nms=SoftNmsConfig(picks=1000, keep=1000),
        ),
        features=FeatureSpec(
            channels=made_up.CHANNELS, stride_seconds=STRIDE, length_seconds=STRIDE
        ),
        source=Source(note="made up for benchmarks: random weights"),
        tem=made_up.make_tem(seed),
        pem=made_up.make_pem(seed),
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported


def make_recording(path: Path, hours: float, seed: int) -> Path:
    """Write a dataset folder with one recording."""
    (path / "features").mkdir(parents=True)
    snippets = round(hours * 3600 / STRIDE)
    file = np.lib.format.open_memmap(
        path / "features" / "recording.npy",
        mode="w+",
        dtype=np.float32,
        shape=(snippets, made_up.CHANNELS),
    )
    for first in range(0, snippets, made_up.LENGTH):
        piece = made_up.make_features(first // made_up.LENGTH % PIECES, seed)
        file[first : first + made_up.LENGTH] = piece[: snippets - first]
    file.flush()
    (path / "dataset.toml").write_text(
        f'[features]\nchannels = {made_up.CHANNELS}\nlayout = "TC"\n'
        f"stride_seconds = {STRIDE}\nlength_seconds = {STRIDE}\n",
        encoding="utf-8",
    )
    entry = {"subset": "validation", "duration": snippets * STRIDE, "annotations": []}
    document = {"version": "made up", "taxonomy": [], "database": {"recording": entry}}
    (path / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return path


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("hours", nargs=-1, type=click.FloatRange(0, min_open=True))
@click.option("--rounds", default=3, help="Times that each length runs; the median counts.")
@click.option("--seed", default=0, help="Of the made-up data.")
def main(hours: tuple[float, ...], rounds: int, seed: int) -> None:
    """Measure the peak of anonymous memory (RssAnon) of `actspan propose` on long recordings.

    HOURS are the lengths to try, by default 1 and 24.

    \b
    Example:
      python -m benchmarks.recordings 1 24
    """
    hours = tuple(sorted(set(hours))) or (1.0, 24.0)
    print_machine()
    rows: list[tuple[str, ...]] = []
    first = None
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle = make_bundle(folder / "bundle", seed)
        for length in hours:
            dataset = make_recording(folder / f"{length:g}", length, seed)
            runs = [folder / f"run-{length:g}-{number}" for number in range(rounds + 1)]
            lines = [command(bundle.path, dataset, run) for run in runs]
            taken = [peak_memory(line) for line in lines][1:]  # the first one fills caches
            peak, seconds = (statistics.median(values) for values in zip(*taken, strict=True))
            first = first or peak
            figures = f"{peak / 2**20:.0f} MB", f"{peak / first:.2f}x", f"{seconds:.1f} s"
            rows.append((f"{length:g} h", *figures))
    print_table(("recording", "peak RssAnon", "of the first", "time"), rows)


if __name__ == "__main__":
    main()
