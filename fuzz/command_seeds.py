"""Small valid files for every command of `fuzz.commands`: the seeds of fuzzing."""

from __future__ import annotations

import io
import json
import tarfile
import wave
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actspan.data.scores import add_scores, open_score_archive
from fuzz.commands import COMMANDS, material, table
from tests.examples import CHANNELS
from tests.server.services import arrow, column_table, list_table, npy
from tests.streams.test_pose import write_csv, write_fixed, write_sleap, write_table

Write = Callable[[Path], object]
Seeds = Mapping[str, Mapping[str, Sequence[Write]]]
_CELLS = 20  # of the bundle


def command_seeds(readers: Seeds) -> Seeds:
    """Return the seeds of commands; some are those of the readers of the same formats."""
    formats, checkpoints = readers["annotations"], readers["checkpoint"]
    return {
        **_SEEDS,
        "annotate": {file: formats[file] for file in COMMANDS["annotate"]},
        "convert": {**checkpoints, "x.safetensors": (_material("bundle/tem.safetensors"),)},
        "run": {**_SEEDS["run"], "bench.json": readers["documents"]["bench.json"]},
    }


def _material(name: str) -> Write:
    return lambda path: path.write_bytes((material() / name).read_bytes())


def _text(content: str) -> Write:
    return lambda path: path.write_text(content)


def _rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(30, CHANNELS)).astype(np.float32)


def _hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=_rows(), chunks=(8, CHANNELS), compression="gzip")


def _scores(path: Path) -> None:
    with open_score_archive(path) as archive:
        for number in range(4):
            add_scores(archive, f"video{number}", np.full((3, _CELLS), 0.25, np.float32))


def _archive(path: Path) -> None:
    files = sorted((material() / "bundle").iterdir())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                packed.write(file, file.name)
        return
    with tarfile.open(path, "w:gz") as tape:
        for file in files:
            tape.add(file, file.name)


def _parquet(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    times = np.arange(60) / 10
    columns = {"time": times, "ax": np.sin(times), "ay": np.arange(60) % 7}
    parquet.write_table(pa.table(columns), str(path), compression="zstd")


def _sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        samples = 9000 * np.sin(np.arange(16_000) / 9)
        file.writeframes(samples.astype("<i2").tobytes())


def _compressed_arrow(path: Path) -> None:
    import pyarrow as pa

    content, stream = column_table(_rows()), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(stream, content.schema, options=options) as writer:
        writer.write_table(content)
    path.write_bytes(stream.getvalue())


def _inference(path: Path) -> None:
    features: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": [30, CHANNELS]}
    features["data"] = _rows().round(3).tolist()
    stride = {"name": "stride", "datatype": "FP64", "shape": [1], "data": [0.5]}
    path.write_text(json.dumps({"inputs": [features, stride], "parameters": {"top": 3}}))


_LABELS = '{"video0": [{"label": "act", "score": 0.5}], "video1": [], "video2": [], "video3": []}'
_CORRECTIONS = '{"revision": 0, "segments": [{"start": 1.5, "end": 2, "label": "jump"}]}'

_SEEDS: Seeds = {
    "propose": {
        "x.npy": (lambda path: np.save(path, _rows()),),
        "x.npz": (lambda path: np.savez_compressed(path, a=_rows()),),
        "x.csv": (lambda path: np.savetxt(path, _rows(), delimiter=",", fmt="%.3f"),),
        "x.h5": (_hdf5,),
        "dataset.toml": (_material("dataset/dataset.toml"),),
        "annotations.json": (_material("dataset/annotations.json"),),
        "scores.npz": (_scores,),
        "settings.toml": (_text("[pipeline.soft_nms]\ndecay = 0.4\n"),),
        "00000.arrow": (_material("store/00000.arrow"),),
        "store.toml": (_material("store/store.toml"),),
    },
    "model": {
        "model.toml": (_material("bundle/model.toml"),),
        "x.zip": (_archive,),
        "x.tar.gz": (_archive,),
    },
    "evaluate": {
        "result.json": (_material("result.json"),),
        "truth.json": (_material("dataset/annotations.json"),),
        "labels.json": (_text(_LABELS),),
    },
    "export": {
        "result.json": (_material("result.json"),),
        "annotations.json": (_material("dataset/annotations.json"),),
    },
    "diagnose": {"run.toml": (_material("run/run.toml"),)},
    "run": {
        "run.toml": (_material("run/run.toml"),),
        "candidates.npy": (_material("run/candidates.npy"),),
        "candidates.csv": (_material("run/candidates.csv"),),
        "report.json": (_material("result.json"),),
    },
    "train": {
        "annotations.json": (_material("dataset/annotations.json"),),
        "dataset.toml": (_material("dataset/dataset.toml"),),
    },
    "extract": {
        "x.csv": (table,),
        "x.parquet": (_parquet,),
        "pose.csv": (write_csv,),
        "pose.h5": (write_table, write_fixed, write_sleap),
        "x.wav": (_sound,),
        "extracted.jsonl": (_material("sensors/extracted.jsonl"),),
    },
    "serve": {
        "propose.npy": (lambda path: path.write_bytes(npy(_rows())),),
        "propose.arrow": (
            lambda path: path.write_bytes(arrow(list_table(_rows()))),
            _compressed_arrow,
        ),
        "infer.json": (_inference,),
        "corrections.json": (_text(_CORRECTIONS),),
    },
}
