"""Small valid files for every reader, made by our own writers: the seeds of fuzzing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from actspan.bench.records import BenchResult, SamplesPerSecond, Stage, write_result
from actspan.config.base import dump_toml
from actspan.config.stages import FeatureSpec
from actspan.core.segments import Proposals
from actspan.core.types import BoundaryScores, Video
from actspan.data.annotations.formats import encode_annotations, write_annotations
from actspan.data.cells import Window
from actspan.data.detections import Detections, write_detections
from actspan.data.pack import Row, write_shards
from actspan.data.result_writers import write_result as write_proposals
from actspan.data.scores import add_scores, open_score_archive
from actspan.data.store_manifest import Manifest
from actspan.data.timebase import SnippetGrid
from actspan.deploy.staged.stage import DatasetRecord, Item, table_writer, write_stage_file
from actspan.jobs.candidate_files import candidate_writer
from actspan.jobs.sinks import write_info
from actspan.model.bsn.graph import build_pem, build_tem
from actspan.model.bundle import Bundle
from actspan.model.manifest import Source
from actspan.model.weights import weight_shapes
from actspan.pipeline.outcomes import Outcome
from actspan.streams.feature_files import Projection
from fuzz.command_seeds import command_seeds
from fuzz.targets import CONFIG, PLAN, TARGETS, encode_frames
from tests.data.annotation_files import (
    boris_project,
    task,
    timeline_region,
    via_project,
    write_elan,
    write_label_studio,
)
from tests.model.bmn_checkpoints import jjboy_arrays, paddle_state

ROOT = Path(__file__).resolve().parents[1]
Write = Callable[[Path], object]

_ROWS = np.arange(24, dtype=np.float32).reshape(8, 3) / 24
_PROPOSALS = Proposals([0.5, 2.0], [4.0, 9.5], [0.9, 0.25], unit="seconds")


def write_seeds(target: str, folder: Path) -> int:
    """Write a target's seed files, each prefixed with its reader's number; return the count."""
    work = folder.with_name(f"{folder.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for number, reader in enumerate(TARGETS[target]):
        for write in WRITERS[target].get(reader.file, ()):
            path = work / f"{count}" / reader.file
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
            (folder / f"seed{count:02d}").write_bytes(bytes([number]) + path.read_bytes())
            count += 1
    return count


def _videos() -> list[Video]:
    segments = np.array([[1.0, 2.5], [3.0, 9.75]])
    return [
        Video(id="a", duration=12.0, subset="training", segments=segments, labels=("jump", "run")),
        Video(id="v_b", duration=3.5, subset="test", fps=25.0, frames=87),
    ]


def _authors(path: Path) -> None:
    entry = {"duration_second": 9.0, "duration_frame": 225, "feature_frame": 224}
    segments = [{"segment": [1.0, 2.0], "label": "jump"}]
    path.write_text(json.dumps({"v_a": {**entry, "annotations": segments}}))


def _label_studio(path: Path) -> None:
    write_label_studio(path, [task("/data/upload/1/a.mp4", timeline_region(1, 25, "jump"), fps=25)])


def _label_studio_min(path: Path) -> None:
    region = {"start": 1.5, "end": 2.5, "labels": ["jump"], "original_length": 9}
    write_label_studio(path, [{"audio": "a.wav", "id": 1, "label": [region]}])


def _label_studio_box(path: Path) -> None:
    keyframes = [{"frame": 1, "enabled": True, "time": 0.0}, {"frame": 26, "enabled": False}]
    value = {"framesCount": 50, "duration": 2.0, "labels": ["Person"], "sequence": keyframes}
    write_label_studio(path, [task("a.mp4", {"type": "videorectangle", "value": value})])


def _via(path: Path) -> None:
    path.write_text(json.dumps(via_project([{"z": [1, 2.5], "xy": [], "av": {"1": "0"}}])))


def _boris(path: Path) -> None:
    events = [[1.5, "ann", "dig", "", ""], [2.0, "", "bark", "", ""], [2.5, "ann", "dig", "", ""]]
    path.write_text(json.dumps(boris_project(events)))


def _written(format: str) -> Write:
    files = encode_annotations(_videos()[:1], format, fps=25.0)
    return lambda path: path.write_bytes(next(iter(files.values())))


def _text(content: str) -> Write:
    return lambda path: path.write_text(content, encoding="utf-8")


def _copy(file: Path) -> Write:
    return lambda path: path.write_bytes(file.read_bytes())


def _elan(path: Path) -> None:
    write_elan(path, {"t": [(1.0, 2.5, "jump"), (3.0, 4.0, "")]}, media="file:///a.mp4", origin=40)


def _array(**options: Any) -> Write:
    return lambda path: np.save(path, np.asarray(_ROWS, **options))


def _fortran(path: Path) -> None:
    np.save(path, np.asfortranarray(_ROWS.astype(np.int16)))


def _archive(path: Path) -> None:
    np.savez(path, a=_ROWS, b=_ROWS[:4])


def _compressed(path: Path) -> None:
    np.savez_compressed(path, a=_ROWS)


def _score_archive(path: Path) -> None:
    with open_score_archive(path) as archive:
        add_scores(archive, "a", np.full((3, 5), 0.25, np.float32))
        add_scores(archive, "b", np.full((3, 2), 0.75, np.float32))


def _hdf5(path: Path, **options: Any) -> None:
    import h5py

    with h5py.File(path, "w", **options) as file:
        file["a"] = _ROWS
        file.create_dataset("g/b", data=_ROWS, chunks=(4, 3), compression="gzip", shuffle=True)
        file["soft"] = h5py.SoftLink("/a")


def _checkpoint(path: Path, net: str, *, legacy: bool, wrap: bool) -> None:
    import torch

    from actspan.model.bsn.networks import Pem, Tem

    state = dict((Tem(CONFIG.tem) if net == "tem" else Pem(CONFIG.pem)).state_dict())
    if wrap:
        state = {"epoch": 7, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)


def _bmn(path: Path, code: str) -> None:
    import pickle

    import torch

    if code == "paddle":
        path.write_bytes(pickle.dumps(paddle_state(), protocol=4))
        return
    state = {name: torch.from_numpy(array) for name, array in jjboy_arrays().items()}
    torch.save({"epoch": 9, "state_dict": state}, path, _use_new_zipfile_serialization=False)


def _detections(path: Path) -> None:
    write_detections(path, {"a": Detections.of(_PROPOSALS, ["jump", "run"])})


def _store(length: int | None) -> Manifest:
    return Manifest(dtype="float32", channels=3, length=length)


def _shard(path: Path, length: int | None) -> None:
    grid = SnippetGrid(0.5, 0.5, None)
    rows = [Row(name, _ROWS[: length or n], grid) for n, name in ((3, "a"), (5, "b"))]
    write_shards(path.parent, _store(length), rows, shard_size=10**6)


def _manifest(path: Path) -> None:
    grid = SnippetGrid(0.5, 0.5, 2.0)
    shards = write_shards(path.parent, _store(None), [Row("a", _ROWS, grid)], shard_size=10**6)
    Manifest(
        dtype="float32", channels=3, notes=("n",), left_out={"b": "empty"}, shards=shards
    ).save(path.parent)


def _plan(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(PLAN))


def _computed(path: Path) -> None:
    outcome = Outcome(
        "a", 10.0, BoundaryScores(*np.full((3, 4), 0.5, np.float32)), *_found(), _PROPOSALS
    )
    frame = encode_frames([outcome])[1]
    path.write_bytes(frame[8:])  # without its size and checksum


def _found() -> tuple[Proposals, Any]:
    side = np.array([0.5, 0.25], np.float32)
    product = np.array([0.25, 0.0625])
    return Proposals(
        _PROPOSALS.start / 10, _PROPOSALS.end / 10, product, side, side, unit="fraction"
    ), side


def _candidates(path: Path, name: str) -> None:
    found, side = _found()
    outcome: Any = SimpleNamespace(
        id="a",
        offset=0.0,
        seconds=10.0,
        candidates=found,
        confidence=side,
        own_scores=False,
    )
    with TemporaryDirectory() as folder:
        with candidate_writer(Path(folder)) as add:
            add(outcome)
        path.write_bytes((Path(folder) / name).read_bytes())


def _weights(net: str) -> dict[str, Any]:
    shapes = weight_shapes(getattr(CONFIG, net))
    return {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}


def _bundle(path: Path) -> Bundle:
    return Bundle.create(
        path.parent,
        config=CONFIG,
        features=FeatureSpec(channels=2, stride_seconds=0.5, layout="TC"),
        source=Source(note="synthetic"),
        weights={"tem": _weights("tem"), "pem": _weights("pem")},
        training={"seed": 1},
        overwrite=True,
    )


def _bundle_file(path: Path, name: str) -> None:
    folder = path.parent / "bundle"
    _bundle(folder / name)
    path.write_bytes((folder / name).read_bytes())


def _projection(path: Path) -> None:
    Projection(_ROWS[0], _ROWS[:3, :2]).save(path)


def _settings(values: dict[str, Any]) -> Write:
    return _text(dump_toml(values))


def _bench(path: Path) -> None:
    stage = Stage(name="tem", scope="interface", batch=1, samples_per_second=SamplesPerSecond(9.0))
    write_result(BenchResult(stages=(stage,), notes=("n",)), path)


def _table(path: Path) -> None:
    with table_writer(path.parent, "ab" * 32) as add:
        add(Item(video="a", seconds=9.0, rows=4, crc32=7, since=1.5))
        add(Item("b", 9.0, 4, 7, 1.5, Window(0, 100, 150)))


def _stage(path: Path) -> None:
    bundle = _bundle(path.parent / "bundle" / "model.toml")
    write_stage_file(path.parent, bundle, DatasetRecord(path="set", videos=2))


def _onnx(path: Path, net: str) -> None:
    build: Any = build_tem if net == "tem" else build_pem
    path.write_bytes(build(_weights(net)).SerializeToString())


def _logs() -> list[Write]:
    samples = ROOT / "tests" / "bench"
    return [_copy(p) for p in sorted(samples.rglob("*")) if p.suffix in (".txt", ".log", ".json")]


_TEXT_GRID = (
    '"ooTextFile"\n"TextGrid"\n0\n3\n<exists>\n2\n"IntervalTier"\n"t"\n0\n3\n2\n0\n1\n"a"\n1\n3\n""\n'
    '"TextTier"\n"p"\n0\n3\n1\n2.5\n"click"\n'
)
_PICTURES = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "size": [224, 224], "range": 1}
_FEATURES = {"channels": 2, "stride_frames": 8.0, "fps": 25.0, "layout": "CT", "backbone": "x"}
_JOURNAL = '{"video":"a","settings":"s","size":1,"modified":2,"rows":3,"seconds":4.5,"fps":25.0}\n'

_INFER = (
    '{"id": "1", "parameters": {"top": 3}, "inputs": [{"name": "features", "shape": [2, 2], '
    '"datatype": "FP32", "data": [[1, 2.5], [3e1, -4]]}, {"name": "lengths", "shape": [1], '
    '"datatype": "INT64", "data": [2]}], "outputs": [{"name": "output"}]}'
)
_FRAMES_OF_FIFTYONE = (
    '{"classes": ["a", "b"], "labels": {"x": [{"label": 1, "support": [1, 25]}, '
    '{"label": 0, "timestamps": ["00:00:01.5", 2], "attributes": {"k": 1}}], "y": null}}'
)
_CORRECTIONS = '{"revision": 0, "segments": [{"start": 1.5, "end": 2, "label": "jump"}]}'
_PADDED = 160  # bytes of JSON


def _infer_bytes() -> bytes:
    head = {"name": "features", "shape": [2, 2], "datatype": "FP32"}
    request = {"inputs": [{**head, "parameters": {"binary_data_size": 16}}]}
    values = np.arange(4, dtype=np.float32).tobytes()
    return json.dumps(request).encode().ljust(_PADDED) + values


_READERS: Mapping[str, Mapping[str, Sequence[Write]]] = {
    "annotations": {
        "annotations.json": (lambda path: write_annotations(path, _videos()),),
        "x.json": (
            _authors,
            _label_studio,
            _label_studio_min,
            _label_studio_box,
            _via,
            _written("fiftyone"),
            _text(_FRAMES_OF_FIFTYONE),
        ),
        "x.csv": (lambda path: write_annotations(path, _videos()),),
        "x.tsv": (_text("id\tbegin\tend\tclass\nv_a\t0:01,5\t1:02:03\tjump\n"),),
        "x.eaf": (_elan,),
        "x.vtt": tuple(
            _text(f'WEBVTT\n\nNOTE actspan {{"video": "{name}"}}\n\n00:01.5 --> 00:02.250\njump\n')
            for name in ("a", "")
        ),
        "x.srt": (_text("1\n0:00:01,500 --> 00:00:02,250\n<i>jump</i>\n"),),
        "x.TextGrid": (_text(_TEXT_GRID), _written("textgrid")),
        "x.boris": (_boris, _written("boris")),
        "x.edl": (_written("edl"),),
        "x.otio": (_written("otio"),),
        "x.llc": (
            _written("losslesscut"),
            _text("{version: 1, cutSegments: [{end: 2, name: 'a'}]}"),
        ),
        "x.txt": (_written("audacity"),),
        "Jump_val.txt": (_text("video_validation_0000051  67.5 75.9\n"),),
    },
    "arrays": {
        "x.npy": (_array(), _array(dtype=np.float16), _fortran),
        "x.npz": (_archive, _compressed),
        "scores.npz": (_score_archive,),
        "x.csv": (
            _text('f0,"f1"\r\n1.5,-2e-3\r\n3,.5\r\n'),
            _text("1,2\n3.25,4e5\n"),
            _text('"1.5",2\n3,-4\n'),
        ),
        "scores/x.csv": (_text("action,start,end\n0.5,0.25,0\n1,0,1e-3\n"),),
    },
    "checkpoint": {
        "x.pth.tar": (
            partial(_checkpoint, net="pem", legacy=True, wrap=True),
            partial(_checkpoint, net="tem", legacy=False, wrap=False),
            partial(_checkpoint, net="pem", legacy=False, wrap=True),
            partial(_bmn, code="jjboy"),
        ),
        "x.pdparams": (partial(_bmn, code="paddle"),),
    },
    "documents": {
        "result.json": (lambda path: write_proposals(path, {"a": _PROPOSALS}),),
        "detections.json": (_detections,),
        "labels.json": (
            _text('{"a": [{"label": "jump", "score": 0.5}]}'),
            _text('{"results": {"v_a": [0.25, 0.5]}, "class": ["jump", "run"]}'),
            _text('{"results": {"a": [{"label": "jump", "segment": [0.5, 4]}]}}'),
        ),
        "blocked.txt": (_text('["a", "b"]'), _text("a\nb\n")),
        "bench.json": (_bench,),
        "inputs.jsonl": (_table,),
        "inputs.csv": (_text("input,crc32\na,123\n"),),
        "extracted.jsonl": (_text(_JOURNAL),),
    },
    "store": {
        "00000.arrow": (partial(_shard, length=None), partial(_shard, length=4)),
        "candidates.npy": (partial(_candidates, name="candidates.npy"),),
        "candidates.csv": (partial(_candidates, name="candidates.csv"),),
        "plan.json": (_plan,),
        "000000.shard": (_computed,),
    },
    "bundle": {
        "model.toml": (partial(_bundle_file, name="model.toml"),),
        "tem.safetensors": (
            partial(_bundle_file, name="tem.safetensors"),
            partial(_bundle_file, name="pem.safetensors"),
        ),
        "projection.safetensors": (_projection,),
        "dataset.toml": (_settings({"features": _FEATURES}),),
        "run.toml": (lambda path: write_info(path.parent, {"videos": 3, "seconds": 1.5}),),
        "encoder.toml": (_settings(_PICTURES),),
        "store.toml": (_manifest,),
        "stage.toml": (_stage,),
    },
    "logs": {"tem_bs16.log": _logs()},
    "http": {
        "body.npy": (_array(),),
        "infer.json": (_text(_INFER),),
        "infer.bin": (lambda path: path.write_bytes(bytes([_PADDED // 8]) + _infer_bytes()),),
        "corrections.json": (_text(_CORRECTIONS),),
        "connection.bin": (
            _text("GET /x?y=1 HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\n\r\n" * 3),
            _text("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"),
            _text("PUT /refused HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
        ),
    },
    "hdf5": {"x.h5": (_hdf5, partial(_hdf5, libver="latest"))},
    "onnx": {
        "tem.onnx": (partial(_onnx, net="tem"), partial(_onnx, net="pem")),
        "session.onnx": (partial(_onnx, net="tem"), partial(_onnx, net="pem")),
    },
}
WRITERS = {**_READERS, **command_seeds(_READERS)}
