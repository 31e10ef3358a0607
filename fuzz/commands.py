"""Fuzz targets that go past the reader: the input is one file of a command's material.

Everything else that a command needs is valid: a small bundle, a dataset, and a run.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner

from actspan.cli import main
from actspan.core.errors import ActSpanError
from actspan.data.store_manifest import MANIFEST, Manifest
from tests.examples import write_bundle, write_dataset

Read = Callable[[Path], object]
_TOOLS = ("csv", "elan", "vtt", "textgrid", "boris", "edl", "otio", "losslesscut", "audacity")
_SHOWN = 2000  # characters of a command's output


@cache
def material() -> Path:
    """Return a folder with a bundle, a dataset, a store of it and a run."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-material-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_bundle(folder / "bundle")
    dataset = write_dataset(folder / "dataset", videos=4)
    command("pack", dataset, "--out", folder / "store")
    command(*_PROPOSE, folder / "bundle", "--dataset", dataset, "--out", folder / "run")
    shutil.copy(folder / "run" / "result.json", folder / "result.json")
    command("extract", "--kind", "sensors", table(folder / "a.csv"), "--out", folder / "sensors")
    return folder


_PROPOSE = ("propose", "--backend", "onnxruntime", "--threads", 1, "--model")


def table(path: Path) -> Path:
    """Write a small table of a sensor."""
    rows = "".join(f"{i / 10},{i % 7},{i % 5 - 2.5}\n" for i in range(60))
    path.write_text(f"time,ax,ay\n{rows}")
    return path


def command(*words: object) -> None:
    """Run a command in this process.

    Raises ActSpanError if it fails with a message, MemoryError if it ran out of memory, and any
    exception that it does not handle.
    """
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if "out of memory" in done.output:
        raise MemoryError(done.output[-_SHOWN:])
    if done.exit_code:
        raise ActSpanError(done.output[-_SHOWN:])


@contextmanager
def _work(path: Path) -> Any:
    """Make an empty folder beside the input, and remove it afterwards."""
    folder = path.parent / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _use(words: Callable[[Path, Path], tuple[object, ...]]) -> Read:
    """Return a reader that runs a command: `words` are given the input and an empty folder."""

    def read(path: Path) -> None:
        with _work(path) as work:
            command(*words(path, work))

    return read


def _in_copy(name: str, file: str, words: Callable[[Path, Path], tuple[object, ...]]) -> Read:
    """Return a reader that puts its input into a copy of some material, and runs a command."""

    def read(path: Path) -> None:
        with _work(path) as work:
            copy = work / name
            shutil.copytree(material() / name, copy)
            _replace(path, copy / file)
            command(*words(copy, work))

    return read


def _replace(path: Path, target: Path) -> None:
    """Put an input, of any kind, in the place of a file."""
    target.unlink(missing_ok=True)
    target.symlink_to(path)


def _features(path: Path) -> None:
    """Propose from a dataset of one file of features."""
    with _work(path) as work:
        folder = work / "dataset" / "features"
        folder.mkdir(parents=True)
        _replace(path, folder / f"a{path.suffix}")
        shutil.copy(material() / "dataset" / "dataset.toml", work / "dataset")
        command(*_proposing(work / "dataset", work))


def _proposing(dataset: Path, work: Path) -> tuple[object, ...]:
    bundle = material() / "bundle"
    return (*_PROPOSE, bundle, "--dataset", dataset, "--out", work / "run")


def _packed(path: Path) -> None:
    """Propose from a store whose manifest was written for the input."""
    with _work(path) as work:
        store = work / "store"
        shutil.copytree(material() / "store", store)
        manifest = Manifest.load(store)
        (shard,) = manifest.shards
        if path.is_file() and path.stat().st_size < 2**20:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            shard = msgspec.structs.replace(shard, size=len(data), sha256=digest)
        _replace(path, store / "00000.arrow")
        (store / MANIFEST).unlink()
        msgspec.structs.replace(manifest, shards=(shard,)).save(store)
        command(*_proposing(store, work))


def _evaluating(result: object, truth: object) -> tuple[object, ...]:
    return ("evaluate", result, "--ground-truth", truth)


def _annotations(path: Path) -> None:
    """Convert annotations, and use the result as ground truth."""
    with _work(path) as work:
        options = ("--fps", 25, "--on-error", "skip")
        command("annotate", "convert", path, work / "annotations.json", *options)
        with suppress(ActSpanError):  # the instances may be of other videos or subsets
            command(*_evaluating(material() / "result.json", work / "annotations.json"))


def _exported(path: Path) -> None:
    """Export a result or annotations to every tool; raise ActSpanError if all refuse."""
    with _work(path) as work:
        refusals = []
        for tool in _TOOLS:
            options = ("--to", tool, "--fps", 25, "--on-error", "skip")
            try:
                command("annotate", "export", path, work / tool, *options)
            except ActSpanError as error:
                refusals.append(error)
        if len(refusals) == len(_TOOLS):
            raise refusals[0]


def _training(dataset: Path, work: Path) -> tuple[object, ...]:
    short = ("--epochs", 1, "--tem-hidden", 8, "--pem-hidden", 8, "--device", "cpu")
    return ("train", "--dataset", dataset, "--out", work / "model", *short)


def _deployed(bundle: Path, work: Path) -> tuple[object, ...]:
    dataset = material() / "dataset"
    return (*_PROPOSE, bundle, "--dataset", dataset, "--out", work / "run")


def _request(path: Path, *, where: str, kind: str, method: str = "POST") -> None:
    """Send a body to a service in this process; raise an error for what it must not answer."""
    answer = _service().request(
        method, where, content=path.read_bytes(), headers={"content-type": kind}
    )
    if answer.status_code >= 500:
        raise AssertionError(f"status {answer.status_code}: {answer.text[:_SHOWN]}")
    if answer.status_code >= 400:
        if "memory" in answer.text:
            raise MemoryError(answer.text[:_SHOWN])
        raise ActSpanError(answer.text[:_SHOWN])


@cache
def _service() -> Any:
    """Return a client of a service in this process."""
    from tests.server.services import client_of

    opened = ExitStack()
    atexit.register(opened.close)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-service-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options: dict[str, Any] = {"model": material() / "bundle", "results": (material() / "run",)}
    return opened.enter_context(client_of(folder, threads=1, **options))


_INFER, _BINARY = "/v2/models/pipeline/infer", "application/octet-stream"

COMMANDS: Mapping[str, Mapping[str, Read]] = {
    "propose": {
        **dict.fromkeys(("x.npy", "x.npz", "x.csv", "x.h5"), _features),
        "dataset.toml": _in_copy("dataset", "dataset.toml", _proposing),
        "annotations.json": _in_copy("dataset", "annotations.json", _proposing),
        "scores.npz": _use(lambda p, w: (*_proposing(material() / "dataset", w), "--scores", p)),
        "settings.toml": _use(
            lambda p, w: (*_proposing(material() / "dataset", w), "--settings", p)
        ),
        "00000.arrow": _packed,
        "store.toml": _in_copy("store", "store.toml", _proposing),
    },
    "model": {
        "model.toml": _in_copy("bundle", "model.toml", _deployed),
        "x.zip": _use(lambda p, w: _deployed(p, w)),
        "x.tar.gz": _use(lambda p, w: _deployed(p, w)),
    },
    "convert": dict.fromkeys(
        ("x.pth.tar", "x.pdparams", "x.safetensors"),
        _use(lambda p, w: ("convert", p, "--out", w / "bundle")),
    ),
    "annotate": dict.fromkeys(
        (
            *("x.json", "x.csv", "x.eaf", "x.vtt", "x.srt", "x.TextGrid", "x.boris", "x.edl"),
            *("x.otio", "x.llc", "x.txt"),
        ),
        _annotations,
    ),
    "evaluate": {
        "result.json": _use(lambda p, w: _evaluating(p, material() / "dataset")),
        "truth.json": _use(lambda p, w: _evaluating(material() / "result.json", p)),
        "labels.json": _use(
            lambda p, w: ("label", material() / "result.json", "--labels-from", p, "--out", w / "d")
        ),
    },
    "export": dict.fromkeys(("result.json", "annotations.json"), _exported),
    "diagnose": {
        "run.toml": _in_copy(
            "run", "run.toml", lambda r, w: (*_evaluating(r, material() / "dataset"), "--diagnose")
        ),
    },
    "run": {
        "run.toml": _in_copy("run", "run.toml", lambda r, w: _reporting(r, w)),
        "candidates.npy": _in_copy("run", "candidates.npy", lambda r, w: _tuning(r, w)),
        "candidates.csv": _in_copy("run", "candidates.csv", lambda r, w: _tuning(r, w)),
        "report.json": _use(lambda p, w: _reporting(p, w)),
        "bench.json": _use(lambda p, w: ("compare", p)),
    },
    "train": {
        "annotations.json": _in_copy("dataset", "annotations.json", _training),
        "dataset.toml": _in_copy("dataset", "dataset.toml", _training),
    },
    "extract": {
        **dict.fromkeys(
            ("x.csv", "x.parquet"),
            _use(lambda p, w: ("extract", p, "--kind", "sensors", "--out", w / "d")),
        ),
        **dict.fromkeys(
            ("pose.csv", "pose.h5"),
            _use(lambda p, w: ("extract", p, "--kind", "pose", "--rate", 25, "--out", w / "d")),
        ),
        "x.wav": _use(lambda p, w: ("extract", p, "--kind", "audio", "--out", w / "d")),
        "extracted.jsonl": _in_copy(
            "sensors",
            "extracted.jsonl",
            lambda d, w: ("extract", material() / "a.csv", "--kind", "sensors", "--out", d),
        ),
    },
    "serve": {
        "propose.npy": partial(_request, where="/api/propose?stride=0.5", kind=_BINARY),
        "propose.arrow": partial(_request, where="/api/propose?stride=0.5", kind=_BINARY),
        "infer.json": partial(_request, where=_INFER, kind="application/json"),
        "corrections.json": partial(
            _request,
            method="PUT",
            where="/api/browse/corrections?id=video0",
            kind="application/json",
        ),
    },
}


def _reporting(run: Path, work: Path) -> tuple[object, ...]:
    truth = material() / "dataset"
    return ("report", run, "--ground-truth", truth, "--out", work / "report.html")


def _tuning(run: Path, work: Path) -> tuple[object, ...]:
    return ("tune", run, "--ground-truth", material() / "dataset")
