"""Fuzz targets: readers and commands in groups, each with seed files.

The first byte of an input selects the reader of the group; the rest is the content of its file.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from actspan.bench.logs import read_log
from actspan.config.base import from_dict, read_toml
from actspan.config.stages import FeatureSpec, PemConfig, PictureConfig, PipelineConfig, TemConfig
from actspan.core.errors import ActSpanError, ResultError
from actspan.core.problems import Problem
from actspan.data.annotations.formats import read_annotations, write_annotations
from actspan.data.array_files import CONTAINERS
from actspan.data.array_names import feature_shapes, list_arrays
from actspan.data.dataset import Dataset
from actspan.data.detections import read_detections
from actspan.data.features import Entry, read_array
from actspan.data.names import Ignored
from actspan.data.result_files import read_result
from actspan.data.scores import ScoreFiles
from actspan.data.shards import PackedFeatures, open_shard
from actspan.data.store_manifest import Manifest
from actspan.deploy.optimize import read_model
from actspan.deploy.staged.dumps import Dumps
from actspan.deploy.staged.stage import Stage, Table
from actspan.evaluation.inputs import load_blocked
from actspan.jobs.candidate_files import Part, map_candidates, read_candidates, read_index
from actspan.jobs.checkpoint import Plan
from actspan.jobs.run import Run
from actspan.jobs.shard_format import decode_shard, write_shard
from actspan.model.bundle import Bundle
from actspan.model.checkpoints import read_checkpoint
from actspan.model.manifest import FileRecord
from actspan.pipeline.labels import LabelFile
from actspan.runtime.opening import open_session
from actspan.server.corrections import NewCorrections
from actspan.server.error_responses import ProblemError
from actspan.server.inference_tensors import (
    TensorSpec,
    check_outputs,
    read_request,
    write_answer,
)
from actspan.server.uploads import HEAD, kind_of, npy_array
from actspan.streams.feature_files import Journal, Projection
from fuzz.commands import COMMANDS
from fuzz.connections import connection

Read = Callable[[Path], object]
CONFIG = PipelineConfig(tem=TemConfig(channels=2, hidden=2), pem=PemConfig(hidden=2))


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader: the name of its input file, and the function that reads it.

    If `is_content`, the reader takes bytes rather than a path, so only the content is tested.
    """

    file: str
    read: Read
    is_content: bool = False


def features(path: Path) -> None:
    """Map and read all arrays of a file."""
    names = list_arrays(path, Ignored()) if path.suffix in CONTAINERS else []
    if names:
        feature_shapes(path, names)
    for entry in [Entry(path, name) for name in names] or [Entry(path)]:
        read_array(entry)
        np.asarray(read_array(entry, mapped=True)).sum()


def scores(path: Path) -> None:
    """Read all boundary scores of an archive or a folder."""
    with ScoreFiles(path) as found:
        for name in found.ids:
            found.read(name)


def annotations(path: Path) -> None:
    """Read annotations and write them again."""
    found = read_annotations(path)
    write_annotations(path.with_name("written.json"), found.videos, document=found.document)


def shard(path: Path) -> None:
    """Read a shard of either kind of store, including every byte of its features."""
    refusals = []
    for length in (None, 4):
        kept = Manifest(dtype="float32", channels=3, length=length)
        try:
            found = open_shard(path, kept)
        except ActSpanError as error:
            refusals.append(error)
            continue
        for row, _ in enumerate(found.ids()):
            entry = PackedFeatures(found, row)
            entry.values.sum()
            str(entry.grid)
    if len(refusals) == 2:
        raise refusals[0]


def candidates(path: Path) -> None:
    """Read the candidates of a run, and those of a part that the file need not have."""
    table = map_candidates(path)
    for found in read_candidates(path, [Part("a", 0.0, 10.0, 0, len(table))]):
        found.proposals.start.sum()
    with suppress(ResultError):
        list(read_candidates(path, [Part("b", 0.0, 10.0, len(table), 1)]))


def session(path: Path) -> None:
    """Open a graph with ONNX Runtime."""
    open_session(path, backend="onnxruntime").close()


PLAN = Plan(inputs={}, keeps="run", videos=("a", "b"), shard_size=2)


def plan(path: Path) -> None:
    """Read the plan of an unfinished run, after a valid checksum."""
    text = path.read_bytes()
    checksum = hashlib.sha256(text).hexdigest().encode()
    len(Plan.from_bytes(checksum + b"\n" + text, where=str(path)).shards)


def computed(path: Path) -> None:
    """Read a shard of an unfinished run with one record, whose checksum is valid."""
    record = path.read_bytes()
    first, _, last = encode_frames([Problem("a", "f", "p", "r")])
    frame = struct.pack("<II", len(record), zlib.crc32(record)) + record
    stream = io.BytesIO(first + frame + last)
    list(decode_shard(PLAN.fingerprint, 0, stream, ids=PLAN.shards[0], where=str(path)))


def encode_frames(results: list[Any]) -> list[bytes]:
    """Return the header of a shard, one frame per result, and its end."""
    file = io.BytesIO()
    list(write_shard(file, PLAN.fingerprint, 0, PLAN.keeps, results))
    data = file.getvalue()
    cuts, at = [0], 16  # the first piece is the magic number and the head
    while at < len(data):
        at += 8 + struct.unpack_from("<I", data, at)[0]
        cuts.append(at)
    return [data[begin:end] for begin, end in itertools.pairwise(cuts)]


def weights(path: Path) -> None:
    """Read weights of a bundle whose manifest has their checksum."""
    bundle = _bundle_around(path)
    for net in ("tem", "pem"):
        try:
            bundle.weights(net)
        except ActSpanError:
            continue


def _bundle_around(path: Path) -> Bundle:
    try:
        record = FileRecord.of_file(path)
    except OSError:
        record = FileRecord.of_data(b"")
    return Bundle(
        path=path.parent,
        config=CONFIG,
        features=FeatureSpec(),
        source=None,  # type: ignore[arg-type]  # not read
        files={"tem.safetensors": record, "pem.safetensors": record},
    )


def projection(path: Path) -> None:
    """Load a projection and apply it."""
    found = Projection.load(path)
    found.apply(np.zeros((2, len(found.mean)), np.float32))


def spec(path: Path) -> None:
    """Load the settings of a dataset of one video."""
    array = path.with_name("features.npz")
    if not array.is_file():
        np.savez(array, a=np.zeros((3, 2), np.float32))
    Dataset.load(path.parent)


def pictures(path: Path) -> None:
    """Read the settings of a backbone."""
    from_dict(PictureConfig, read_toml(path), where=str(path))


def table_body(path: Path) -> None:
    """Read an upload of features; its first bytes say which format it has."""
    data = path.read_bytes()
    if kind_of(data[:HEAD]) == "npy":
        npy_array(data)


def infer_body(path: Path) -> None:
    """Read a request of the inference protocol, all of it JSON."""
    _infer(path.read_bytes(), None)


def infer_bytes(path: Path) -> None:
    """Read a request whose first byte gives the length of its JSON, in units of 8 bytes."""
    data = path.read_bytes()
    _infer(data[1:], 8 * data[0] if data else None)


def corrections(path: Path) -> None:
    """Read segments that replace a video's corrections."""
    NewCorrections.model_validate_json(path.read_bytes())


def _infer(body: bytes, header: int | None) -> None:
    request, tensors = read_request(body, header, _SPECS)
    given = {"output": next(iter(tensors.values()), np.zeros(3))}
    outputs = [TensorSpec(name="output", datatype="FP32", shape=[-1])]
    check_outputs(request, outputs)
    write_answer("m", request, given, outputs)


_SPECS = (
    TensorSpec(name="features", datatype="FP32", shape=[-1, 2]),
    TensorSpec(name="lengths", datatype="INT64", shape=[-1]),
    TensorSpec(name="stride", datatype="FP64", shape=[-1]),
)

# Exceptions that a reader may raise; the service turns them into a status.
REFUSALS = (ActSpanError, ProblemError, ValidationError)

TARGETS: Mapping[str, tuple[Reader, ...]] = {
    "annotations": (
        Reader("annotations.json", annotations),
        Reader("x.json", annotations),
        Reader("x.csv", annotations),
        Reader("x.tsv", annotations),
        Reader("x.eaf", annotations),
        Reader("Jump_val.txt", annotations),
        Reader("x.vtt", annotations),
        Reader("x.srt", annotations),
        Reader("x.TextGrid", annotations),
        Reader("x.boris", annotations),
        Reader("x.edl", annotations),
        Reader("x.otio", annotations),
        Reader("x.llc", annotations),
        Reader("x.txt", annotations),
    ),
    "arrays": (
        Reader("x.npy", features),
        Reader("x.npz", features),
        Reader("scores.npz", scores),
        Reader("x.csv", features),
        Reader("scores/x.csv", lambda p: scores(p.parent)),
    ),
    "checkpoint": (
        Reader("x.pth.tar", read_checkpoint),
        Reader("x.pdparams", read_checkpoint),
    ),
    "documents": (
        Reader("result.json", read_result),
        Reader("detections.json", read_detections),
        Reader("labels.json", LabelFile.read),
        Reader("blocked.txt", load_blocked),
        Reader("bench.json", read_log),
        Reader("inputs.jsonl", Table.read),
        Reader("inputs.csv", lambda p: Dumps(p.parent).record()),
        Reader("extracted.jsonl", lambda p: Journal(p.parent)),
    ),
    "store": (
        Reader("00000.arrow", shard),
        Reader("candidates.npy", candidates),
        Reader("candidates.csv", read_index),
        Reader("plan.json", plan, is_content=True),
        Reader("000000.shard", computed, is_content=True),
    ),
    "bundle": (
        Reader("model.toml", lambda p: Bundle.load(p.parent)),
        Reader("tem.safetensors", weights),
        Reader("projection.safetensors", projection),
        Reader("dataset.toml", spec),
        Reader("run.toml", lambda p: Run.load(p.parent)),
        Reader("encoder.toml", pictures),
        Reader("store.toml", lambda p: Manifest.load(p.parent)),
        Reader("stage.toml", lambda p: Stage.load(p.parent)),
    ),
    "logs": (Reader("tem_bs16.log", read_log),),
    "http": (
        Reader("body.npy", table_body, is_content=True),
        Reader("infer.json", infer_body, is_content=True),
        Reader("infer.bin", infer_bytes, is_content=True),
        Reader("corrections.json", corrections, is_content=True),
        Reader("connection.bin", connection, is_content=True),
    ),
    "hdf5": (Reader("x.h5", features),),
    "onnx": (Reader("tem.onnx", read_model), Reader("session.onnx", session)),
    **{
        name: tuple(Reader(file, read, name == "serve") for file, read in readers.items())
        for name, readers in COMMANDS.items()
    },
}


def read_input(target: str, data: bytes, folder: Path) -> Any:
    """Pass an input to its reader; return or raise what the reader does."""
    readers = TARGETS[target]
    reader = readers[data[0] % len(readers)] if data else readers[0]
    path = folder / reader.file
    path.write_bytes(data[1:])
    try:
        return reader.read(path)
    finally:
        path.unlink()
