"""Small files that would become gigabytes: each is refused by name, in a process of 1 GiB."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
import torch

from actspan.model.checkpoints import read_checkpoint
from tests.hostile.guard import Guard

Write = Callable[[Path], object]
MIB = 2**20
CHANNELS = 6


def _header(rows: int, dtype: str = "<f4", *, version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    about = {"descr": dtype, "fortran_order": False, "shape": (rows, CHANNELS)}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _sparse(path: Path, head: bytes, size: int) -> None:
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(size)


def _sparse_npy(path: Path) -> None:
    rows = 2 * 2**30 // (4 * CHANNELS)
    head = _header(rows)
    _sparse(path, head, len(head) + 4 * CHANNELS * rows)


def _long_header(path: Path) -> None:
    """Write an npy file whose header says that it has 2 GiB."""
    _sparse(path, b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31), 2**31 + 100)


def _npz(path: Path, rows: int, dtype: str) -> None:
    block = bytes(MIB)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.npy",):
            with archive.open(name, "w") as member:
                member.write(_header(rows, dtype))
                left = rows * CHANNELS * np.dtype(dtype).itemsize
                while left > 0:
                    member.write(block[:left])
                    left -= MIB


def _lying_npz(path: Path) -> None:
    """Write an archive whose member says that its zeros take a gigabyte in the file."""
    _npz(path, 100 * MIB // CHANNELS, "|u1")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 20 : at + 24] = struct.pack("<I", 2**30)  # compressed size
    path.write_bytes(data)


def _hdf5(path: Path, shape: tuple[int, int], **options: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", shape, "f4", **options)


def _twice_compressed(path: Path) -> None:
    """Write 1 GiB of zeros that are deflated twice, under the name of a small array."""
    filters = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    filters.set_chunk((8, CHANNELS))
    filters.set_deflate(9)
    filters.set_deflate(9)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((8, CHANNELS))
        kind = h5py.h5t.IEEE_F32LE
        dataset = h5py.h5d.create(file.id, b"a", kind, space, filters)
        inner = gzip.zlib.compress(bytes(MIB) * 1024, 9)
        dataset.write_direct_chunk((0, 0), gzip.zlib.compress(inner, 9))


def _large_chunk(path: Path) -> None:
    """Write a chunk whose content is larger than the chunk."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "a", (8, CHANNELS), "f4", chunks=(8, CHANNELS), compression="gzip"
        )
        dataset.id.write_direct_chunk((0, 0), gzip.zlib.compress(bytes(MIB) * 200, 9))


def _texts_that_repeat(path: Path) -> None:
    """Write a pose with names of joints that are long, and many that are not."""
    with h5py.File(path, "w") as file:
        names = file.create_dataset(
            "node_names", (2**20,), h5py.string_dtype(), chunks=(2**16,), compression="gzip"
        )
        names[:] = ["x" * 10_000] * 4 + [""] * (2**20 - 4)
        file["tracks"] = np.zeros((1, 2, 4, 5))


def _arrow(path: Path, *, file: bool) -> None:
    schema = pa.schema([(str(i), pa.float32()) for i in range(CHANNELS)])
    zeros = pa.array(np.zeros(4 * MIB, np.float32))
    batch = pa.record_batch([zeros] * CHANNELS, schema=schema)
    options, stream = pa.ipc.IpcWriteOptions(compression="zstd"), io.BytesIO()
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(stream, schema, options=options) as writer:
        for _ in range(20):
            writer.write_batch(batch)
    assert stream.tell() < 200_000
    path.write_bytes(stream.getvalue())


class _Stored:
    """Pickles a storage as `torch.save` does."""

    def __init__(self, count: int) -> None:
        self.count = count


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]
    def persistent_id(self, value: object) -> object:
        if isinstance(value, _Stored):
            return ("storage", torch.FloatStorage, "0", "cpu", value.count)
        return None


class _Tensor:
    """Pickles a tensor of any shape on a storage."""

    def __init__(self, storage: _Stored, shape: tuple[int, ...]) -> None:
        self.storage, self.shape = storage, shape

    def __reduce__(self) -> tuple[object, ...]:
        rest = (False, __import__("collections").OrderedDict())
        strides = tuple(1 for _ in self.shape)
        return torch._utils._rebuild_tensor_v2, (self.storage, 0, self.shape, strides, *rest)


def _pickled(content: object) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(content)
    return stream.getvalue()


_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def _legacy(content: object) -> bytes:
    """Return a checkpoint of the time before zip archives, without its numbers."""
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(part, protocol=2) for part in (1001, about)]
    keys = pickle.dumps(["0"], protocol=2)
    return b"".join([_MAGIC, *parts, _pickled(content), keys])


def _zip_of(content: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return stream.getvalue()


_HUGE = {"fc1.weight": _Tensor(_Stored(2**31), (2**31,))}
_GROWN = {"fc1.weight": _Tensor(_Stored(1), (2**31,))}
_SMALL = _zip_of({"archive/data.pkl": pickle.dumps({}, protocol=2), "archive/version": b"3"})


def _pickle_before_zip(path: Path) -> None:
    path.write_bytes(_legacy(_HUGE) + _SMALL)


def _archive(path: Path, content: object, name: str = "archive/data.pkl") -> None:
    files = {name: _pickled(content), "archive/version": b"3", "archive/data/0": bytes(4)}
    path.write_bytes(_zip_of(files))


def _hashed(path: Path) -> None:
    """Write a key of tuples of tuples, whose hash takes 2**60 steps."""
    steps = b"".join(b"h" + bytes([n]) * 1 + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1])
                     for n in range(60))  # fmt: skip
    key = b"K\x01q\x00" + steps
    path.write_bytes(_zip_of({"archive/data.pkl": b"\x80\x02}" + key + b"K\x01s.",
                              "archive/version": b"3"}))  # fmt: skip


def _long_tar_header(path: Path) -> None:
    """Write an archive with one header of 1 GiB, which is nothing when it is compressed."""
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, 2**30
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(1024):
            stream.write(bytes(MIB))


CASES: list[tuple[str, str, str, Write, str]] = [
    ("arrays", "x.npy", "holes", _sparse_npy, "holes"),
    ("arrays", "x.npy", "long header", _long_header, "holes"),
    ("arrays", "x.npz", "zeros", partial(_npz, rows=4 * MIB, dtype="<f4"), "would expand"),
    ("arrays", "x.npz", "bytes", partial(_npz, rows=4 * MIB, dtype="|i1"), "would expand"),
    ("arrays", "x.npz", "lying sizes", _lying_npz, "x.npz"),
    ("hdf5", "x.h5", "unwritten", partial(_hdf5, shape=(4 * MIB, 6)), "would expand"),
    (
        "hdf5",
        "x.h5",
        "chunk",
        partial(_hdf5, shape=(8, 6), maxshape=(None, 6), chunks=(16 * MIB, 6)),
        "would expand",
    ),
    ("hdf5", "x.h5", "compressed twice", _twice_compressed, "compressed twice"),
    ("hdf5", "x.h5", "content of a chunk", _large_chunk, "larger than it should be"),
    ("extract", "pose.h5", "texts", _texts_that_repeat, "pose.h5"),
    ("propose", "x.npy", "holes", _sparse_npy, "holes"),
    ("propose", "x.npz", "bytes", partial(_npz, rows=4 * MIB, dtype="|i1"), "would expand"),
    ("propose", "x.h5", "unwritten", partial(_hdf5, shape=(4 * MIB, 6)), "would expand"),
    ("serve", "propose.arrow", "stream", partial(_arrow, file=False), "would expand"),
    ("serve", "propose.arrow", "file", partial(_arrow, file=True), "would expand"),
    ("convert", "x.pth.tar", "a zip behind", _pickle_before_zip, "more bytes than the file"),
    ("convert", "x.pth.tar", "storage", partial(_archive, content=_HUGE), "more bytes than"),
    ("convert", "x.pth.tar", "tensor", partial(_archive, content=_GROWN), "larger than its"),
    (
        "convert",
        "x.pth.tar",
        "name in capitals",
        partial(_archive, content=_HUGE, name="archive/DATA.PKL"),
        "more bytes than",
    ),
    ("convert", "x.pth.tar", "hash", _hashed, "a tuple of more than"),
    ("model", "x.tar.gz", "header", _long_tar_header, "header of"),
]


@pytest.mark.parametrize(
    ("target", "file", "write", "message"),
    [pytest.param(t, f, w, m, id=f"{t}, {f}: {name}") for t, f, name, w, m in CASES],
)
def test_little_becomes_no_gigabyte(
    target: str, file: str, write: Write, message: str, guard: Guard, tmp_path: Path
) -> None:
    path = tmp_path / file
    write(path)
    answer = guard.read(target, file, path)
    assert answer.ours, f"{answer.error}: {answer.message}"
    assert message in " ".join(answer.message.split())


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
def test_views_of_one_storage_are_read(legacy: bool, tmp_path: Path) -> None:
    """The check of sizes counts a storage once, and allows strides and offsets."""
    memory = torch.arange(32 * 8 + 8 + 8 + 1, dtype=torch.float32)
    state = {
        "fc1.weight": memory[: 8 * 32].view(32, 8).T,
        "fc1.bias": memory[256:264],
        "fc2.weight": memory[264:272].view(1, 8),
        "fc2.bias": memory[272:],
    }
    path = tmp_path / "x.pth"
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    weights = read_checkpoint(path).weights
    np.testing.assert_array_equal(weights["fc1.weight"], state["fc1.weight"].numpy())
    np.testing.assert_array_equal(weights["fc2.bias"], [272])
