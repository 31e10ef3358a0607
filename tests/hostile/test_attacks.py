"""Attacks on one format each: they must be refused, and the message must name the reason."""

from __future__ import annotations

import collections
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
import torch

from actspan import PemConfig
from actspan.jobs.candidate_files import RECORD
from actspan.model.bsn.networks import Pem
from actspan.server.error_responses import ProblemError
from actspan.server.inference_tensors import TensorSpec, read_request
from fuzz.seeds import write_seeds
from tests.data.annotation_files import write_elan
from tests.hostile.guard import Guard
from tests.model.bmn_checkpoints import paddle_state

Write = Callable[[Path], object]
HUGE = 10**12
RECORDS = repr({"descr": RECORD.descr, "fortran_order": False, "shape": (2,)}) + "\n"


def to(write: Callable[..., object], *arguments: Any, **options: Any) -> Write:
    """Return a function that calls `write` with a path and these arguments."""
    return lambda path: write(path, *arguments, **options)


def npy(header: str, *, version: int = 1, data: bytes = b"") -> bytes:
    text = header.encode()
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def header(shape: object, descr: object = "<f4") -> bytes:
    return npy(
        repr({"descr": descr, "fortran_order": False, "shape": shape}) + "\n", data=bytes(64)
    )


def raw(data: bytes) -> Write:
    return lambda path: path.write_bytes(data)


def npz(path: Path, member: str, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header((4, 4)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", header((4, 4)))


def packed(path: Path, method: int) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", header((4, 4)))


def encrypted(path: Path) -> None:
    """Write a member that says that it needs a password."""
    npz(path, "a.npy", header((4, 4)))
    data = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + flags] |= 1
    path.write_bytes(data)


def overwritten(path: Path) -> None:
    """Write a deflated member with other bytes in its middle."""
    packed(path, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    at = data.index(b"a.npy") + 5
    path.write_bytes(data[:at] + b"\xff" * 16 + data[at + 16 :])


def bomb(path: Path) -> None:
    """Write 300 MB of zeros in 1.3 MB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w") as stream,
    ):
        stream.write(npy(repr({"descr": "<f4", "fortran_order": False, "shape": (75_000, 1024)})))
        for _ in range(300):
            stream.write(bytes(1_024_000))


def lying(path: Path) -> None:
    """Write a member that says it is small; its data go on."""
    data = header((1024, 1024)) + bytes(2**22)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", data)
    size, said = struct.pack("<I", len(data)), struct.pack("<I", 192)
    path.write_bytes(path.read_bytes().replace(size, said))


def hdf5(path: Path, make: Callable[[Any, Path], object]) -> None:
    other = path.with_name("secret.h5")
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones((4, 4))
    with h5py.File(path, "w") as file:
        make(file, other)


def unwritten(file: Any, other: Path) -> None:
    file.create_dataset("a", (HUGE, 1000), "f4", chunks=(1000, 1000))


def external_storage(file: Any, other: Path) -> None:
    file.create_dataset("a", (4, 4), "f4", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual(file: Any, other: Path) -> None:
    layout = h5py.VirtualLayout((4, 4), "f8")
    layout[:] = h5py.VirtualSource(str(other), "secret", (4, 4))
    file.create_virtual_dataset("a", layout)


def external_link(file: Any, other: Path) -> None:
    file["a"] = h5py.ExternalLink(str(other), "secret")


def link_to_nothing(file: Any, other: Path) -> None:
    file["a"] = h5py.SoftLink("/nowhere")


def circle(file: Any, other: Path) -> None:
    group = file.create_group("g")
    group["again"] = file["g"]
    group["root"] = file["/"]


class Reduce:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self._what = function, arguments

    def __reduce__(self) -> Any:
        return self._what


def pem(path: Path, value: Any) -> None:
    """Write a checkpoint of a PEM with something else beside its weights, in the old form."""
    state = {"state_dict": dict(Pem(PemConfig(hidden=6)).state_dict()), "x": value}
    torch.save(state, path, _use_new_zipfile_serialization=False)


def deflated(path: Path) -> None:
    plain = io.BytesIO()
    torch.save(dict(Pem(PemConfig(hidden=6)).state_dict()), plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for member in source.infolist():
            out.writestr(member.filename, source.read(member))


def shared(path: Path) -> None:
    """Write ten thousand names for one tensor of a megabyte: ten gigabytes when copied."""
    weight = torch.zeros(2**18)
    state = {f"fc{i}.weight": weight for i in range(10_000)}
    torch.save(collections.OrderedDict(state), path)


def doubled(levels: int) -> Any:
    import _codecs

    value: Any = "aa"
    for _ in range(levels):
        value = Reduce(_codecs.encode, value, "hex_codec")
    return value


def pdparams(path: Path, value: Any, *, protocol: int = 4) -> None:
    """Write a plain pickle, as PaddlePaddle does, of a BMN with something else beside it."""
    path.write_bytes(pickle.dumps(paddle_state() | {"x": value}, protocol=protocol))


class Array:
    """Is pickled as an array of any shape and type, with four bytes."""

    def __init__(self, shape: tuple[int, ...], code: str = "f4") -> None:
        reconstruct = np.zeros(1).__reduce__()[0]
        state = (1, shape, np.dtype(code), False, b"abcd")
        self._what = reconstruct, (np.ndarray, (0,), b"b"), state

    def __reduce__(self) -> Any:
        return self._what


def encoded(path: Path) -> None:
    """Write a text of a megabyte, and ask ten thousand times for its bytes."""
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x00"
    call = b"c_codecs\nencode\nq\x01"
    again = b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R"
    path.write_bytes(b"\x80\x02" + text + call + again * 10_000 + b".")


def nested_key(path: Path) -> None:
    """Write a dictionary whose key is a tuple of itself twice, sixty times: its hash never ends."""
    path.write_bytes(b"\x80\x04}N" + b"".join(map(_twice, range(60))) + b"Ns.")


def _twice(index: int) -> bytes:
    return b"q" + bytes([index]) + b"h" + bytes([index]) + b"\x86"


def store(path: Path, columns: slice = slice(None), **options: Any) -> None:
    """Write some columns of a packed store, with other options than ours."""
    with pa.ipc.open_file(pa.py_buffer(_seed(path, "store"))) as reader:
        batch = reader.get_batch(0)
    batch = batch.select(batch.schema.names[columns])
    written = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_file(str(path), batch.schema, options=written) as writer:
        writer.write_batch(batch)


def fewer_columns(path: Path) -> None:
    store(path, slice(-1))


def wide_lists(path: Path) -> None:
    """Write lists that end far outside their values."""
    good = _seed(path, "store")
    bounds = struct.pack("<ii", 0, 2)
    assert bounds in good
    path.write_bytes(good.replace(bounds, struct.pack("<ii", 0, 2**30)))


def long_message(path: Path) -> None:
    """Write a record batch whose description is longer than the file."""
    good = bytearray(_seed(path, "store"))
    offset = good.index(b"\xff\xff\xff\xff", 16)  # of the message behind the schema
    good[offset + 4 : offset + 8] = struct.pack("<i", 2**30)
    path.write_bytes(good)


def block_elsewhere(path: Path) -> None:
    """Write a footer that says that the first record batch begins before the file."""
    good = _seed(path, "store")
    (size,) = struct.unpack("<i", good[-10:-6])
    begin, footer, end = good[: -10 - size], good[-10 - size : -10], good[-10:]
    offset = begin.index(b"\xff\xff\xff\xff", 16)  # of the message behind the schema
    stated = struct.pack("<q", offset)
    assert stated in footer
    path.write_bytes(begin + footer.replace(stated, struct.pack("<q", -(2**61))) + end)


def _seed(path: Path, target: str, reader: int = 0) -> bytes:
    """Return the first valid file for one reader of a target."""
    folder = path.parent / "seeds"
    write_seeds(target, folder)
    found = (file.read_bytes() for file in sorted(folder.iterdir()))
    return next(data[1:] for data in found if data[0] == reader)


def index(*lines: str) -> Write:
    """Write an index of candidates with other lines."""
    return raw("\n".join(["video,offset,seconds,first,rows", *lines]).encode())


def laughs(path: Path) -> None:
    """Write entities that expand to a billion times what they are."""
    lines = [f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10)]
    write_elan(
        path,
        {"t": [(1, 2, "")]},
        media="a.mp4",
        head=f'<!DOCTYPE x [<!ENTITY l0 "ha">{"".join(lines)}]>',
    )


def foreign_entity(path: Path) -> None:
    head = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    write_elan(path, {"t": [(1, 2, "")]}, media="a.mp4", head=head)


def outside(path: Path, location: str) -> None:
    """Write a graph whose weights lie in another file."""
    import onnx

    model = onnx.load_from_string(_seed(path, "onnx"))
    (path.parent.parent / "secret.bin").write_bytes(bytes(4096))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())


def foreign_names(path: Path) -> None:
    """Write a graph whose sizes have names that are not UTF-8."""
    good = _seed(path, "onnx")
    assert b"length" in good
    path.write_bytes(good.replace(b"length", b"leng\xff\xff"))


def settings(text: str) -> Write:
    return raw(text.encode())


def manifest(**changes: object) -> Write:
    """Return a store's manifest with other values."""
    values = {"format": 1, "dtype": '"float32"', "channels": 3, **changes}
    return settings("".join(f"{key} = {value}\n" for key, value in values.items()))


def journal(video: str) -> Write:
    entry = {"video": video, "source": "x", "size": 1, "modified": 1, "settings": "s"}
    return raw(json.dumps({**entry, "seconds": 1.0, "fps": 25.0}).encode() + b"\n")


NO_BATCH = (
    b"[Step 6/11] Configuring input of the model\n[ INFO ] Model batch size: 0\n"
    b"[ INFO ] Throughput:   100.50 FPS\n"
)

CASES: list[tuple[str, str, str, Write, str]] = [
    ("arrays", "x.npy", "pickle", raw(pickle.dumps([1])), "not an array file"),
    ("arrays", "x.npy", "a zip file", to(npz, "a.npy", header((4, 4))), "not an array file"),
    ("arrays", "x.npy", "huge shape", raw(header((HUGE, 400))), "shorter than its header"),
    ("arrays", "x.npy", "shape beyond int64", raw(header((10**30, 2))), "shorter than its header"),
    ("arrays", "x.npy", "negative shape", raw(header((-4, -4))), "shape (-4, -4)"),
    ("arrays", "x.npy", "objects", raw(header((2, 2), "|O")), "Python objects"),
    ("arrays", "x.npy", "records", raw(header((2, 2), [("a", "<f4")])), "not numbers"),
    ("arrays", "x.npy", "wide type", raw(header((2, 2), "|V1000000000")), "not numbers"),
    ("arrays", "x.npy", "deep header", raw(npy("(" * 9000)), "header is damaged"),
    ("arrays", "x.npy", "open string", raw(npy("{'descr': '''")), "header is damaged"),
    ("arrays", "x.npy", "enormous header", raw(npy("{" * 10**6, version=2)), "header is damaged"),
    ("arrays", "x.npz", "bomb", bomb, "would expand to 307,"),
    ("arrays", "x.npz", "lying size", lying, "archive is damaged"),
    ("arrays", "x.npz", "same name twice", twice, "two members of one name"),
    ("arrays", "x.npz", "no array", to(npz, "a.txt", b"hello"), "not an array file"),
    ("arrays", "x.npz", "huge shape", to(npz, "a.npy", header((HUGE, 4))), "shorter than its"),
    ("arrays", "x.npz", "encrypted", encrypted, "encrypted"),
    ("arrays", "x.npz", "overwritten", overwritten, "archive is damaged"),
    ("arrays", "x.npz", "bzip2", to(packed, zipfile.ZIP_BZIP2), "compressed by another program"),
    ("arrays", "scores.npz", "huge shape", to(npz, "a.npy", header((3, HUGE))), "shorter than its"),
    ("arrays", "scores.npz", "one number", to(npz, "a.npy", header(())), "(3, T) is needed"),
    ("arrays", "x.csv", "no room", raw(b"a," * 10**4 + b"\n" * 10**6), "x.csv"),
    ("arrays", "x.csv", "NaN", raw(b"1,nan\n2,3\n"), "empty or NaN"),
    ("arrays", "x.csv", "open quote", raw(b'1,2\n"' + b"3" * 10**6), "cannot be read"),
    ("hdf5", "x.h5", "never written", to(hdf5, unwritten), "would expand to"),
    ("hdf5", "x.h5", "external storage", to(hdf5, external_storage), "lies in another file"),
    ("hdf5", "x.h5", "virtual", to(hdf5, virtual), "lies in another file"),
    ("hdf5", "x.h5", "external link", to(hdf5, external_link), "contains no arrays"),
    ("hdf5", "x.h5", "link to nothing", to(hdf5, link_to_nothing), "contains no arrays"),
    ("hdf5", "x.h5", "groups in a circle", to(hdf5, circle), "contains no arrays"),
    ("checkpoint", "x.pth.tar", "code", to(pem, Reduce(print, 1)), "it names"),
    ("checkpoint", "x.pth.tar", "bytearray", to(pem, Reduce(bytearray, HUGE)), "bytearray"),
    ("checkpoint", "x.pth.tar", "empty tensor", to(pem, Reduce(torch.Tensor, HUGE)), "Tensor"),
    ("checkpoint", "x.pth.tar", "doubled text", to(pem, doubled(60)), "_codecs.encode"),
    ("checkpoint", "x.pth.tar", "deflated", deflated, "is compressed"),
    ("checkpoint", "x.pth.tar", "one tensor, many names", shared, "more than the file"),
    ("checkpoint", "x.pdparams", "code", to(pdparams, Reduce(print, 1)), "names builtins.print"),
    ("checkpoint", "x.pdparams", "old code", to(pdparams, Reduce(eval, "1"), protocol=2), "eval"),
    ("checkpoint", "x.pdparams", "empty", to(pdparams, Reduce(np.ndarray, (HUGE,))), "calls nda"),
    ("checkpoint", "x.pdparams", "encoder", to(pdparams, doubled(60)), "calls encode with other"),
    ("checkpoint", "x.pdparams", "objects", to(pdparams, np.array([{}])), "calls dtype with other"),
    (
        "checkpoint",
        "x.pdparams",
        "wide",
        to(pdparams, Array((2,), "V9")),
        "calls dtype with",
    ),
    (
        "checkpoint",
        "x.pdparams",
        "shape",
        to(pdparams, Array((HUGE,))),
        "damaged",
    ),
    (
        "checkpoint",
        "x.pdparams",
        "negative",
        to(pdparams, Array((-1, -1))),
        "damag",
    ),
    ("checkpoint", "x.pdparams", "a list", to(pdparams, [1]), "pickle operation EMPTY_LIST"),
    ("checkpoint", "x.pdparams", "many", to(pdparams, tuple(range(10**6))), "100,000 operations"),
    ("checkpoint", "x.pdparams", "encoded again", encoded, "encoded to more bytes than it has"),
    ("checkpoint", "x.pdparams", "nested key", nested_key, "a key of a dictionary is not a text"),
    ("checkpoint", "x.pdparams", "size", raw(b"\x80\x04\x8e" + b"\x7f" * 8 + b"a."), "damaged"),
    ("checkpoint", "x.pdparams", "memo", raw(b"\x80\x04}r\xf0\xff\xff\xff."), "neither TEM"),
    ("store", "00000.arrow", "fewer columns", fewer_columns, "its columns are not those"),
    ("store", "00000.arrow", "offsets", wide_lists, "00000.arrow"),
    ("store", "00000.arrow", "size beyond the file", long_message, "00000.arrow"),
    ("store", "00000.arrow", "zstd", to(store, compression="zstd"), "compressed"),
    ("store", "candidates.npy", "fewer rows", raw(npy(RECORDS, data=bytes(28))), "shorter than"),
    ("store", "candidates.npy", "other columns", raw(header((1,), "<f4")), "not those of"),
    ("store", "candidates.csv", "a gap", index("a,0,1,0,2", "b,0,1,3,1"), "do not follow"),
    ("store", "candidates.csv", "NaN", index("a,nan,1,0,2"), "not finite"),
    ("store", "candidates.csv", "long number", index("a,0,1,0," + "9" * 5000), "cannot be read"),
    ("store", "candidates.csv", "open quote", index('"a,0,1,0,2'), "cannot be read"),
    ("store", "candidates.csv", "short line", index("a,0"), "cannot be read"),
    ("bundle", "store.toml", "huge channels", manifest(channels=HUGE), "channels"),
    ("bundle", "store.toml", "huge length", manifest(length=HUGE), "length"),
    ("bundle", "dataset.toml", "NaN", settings("[features]\nstride_seconds = nan\n"), "NaN"),
    ("bundle", "dataset.toml", "infinity", settings("[features]\nfps = inf\n"), "infinity"),
    ("annotations", "x.eaf", "billion laughs", laughs, "document type declaration"),
    ("annotations", "x.eaf", "foreign entity", foreign_entity, "document type declaration"),
    ("logs", "tem_bs16.log", "no batch", raw(NO_BATCH), "batch size above 0"),
    ("documents", "extracted.jsonl", "a path", journal("../../x"), "is not a valid video id"),
    ("documents", "extracted.jsonl", "NUL", journal("a\0b"), "is not a valid video id"),
    ("onnx", "session.onnx", "names", foreign_names, "not UTF-8"),
    ("onnx", "session.onnx", "weights above", to(outside, "../secret.bin"), "refuses it"),
    ("onnx", "session.onnx", "weights elsewhere", to(outside, "/etc/passwd"), "refuses it"),
    ("onnx", "tem.onnx", "weights above", to(outside, "../secret.bin"), "not an ONNX file"),
    ("onnx", "tem.onnx", "weights elsewhere", to(outside, "/etc/passwd"), "not an ONNX file"),
]


def test_a_size_in_bytes_must_be_an_integer() -> None:
    specs = [TensorSpec(name="x", datatype="FP32", shape=[-1])]
    head = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8.0}}
    body = json.dumps({"inputs": [head]}).encode()
    with pytest.raises(ProblemError) as refused:
        read_request(body + bytes(8), len(body), specs)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("target", "file", "write", "message"),
    [pytest.param(t, f, w, m, id=f"{f}: {name}") for t, f, name, w, m in CASES],
)
def test_refused_by_name(
    target: str, file: str, write: Write, message: str, guard: Guard, tmp_path: Path
) -> None:
    path = tmp_path / "in" / file
    path.parent.mkdir()
    write(path)
    answer = guard.read(target, file, path)
    assert answer.ours, f"{answer.error}: {answer.message}"
    assert message in answer.message
    assert str(path.parent) in answer.message


def test_a_footer_that_points_outside_is_not_followed(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "in" / "00000.arrow"
    path.parent.mkdir()
    block_elsewhere(path)
    assert guard.read("store", path.name, path).ours
