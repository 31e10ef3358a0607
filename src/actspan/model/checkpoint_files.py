"""Files of third-party checkpoints, opened without executing them.

A checkpoint is a pickle, and a pickle can carry any code. PyTorch's files are read only by its own
restricted reader, which knows tensors and plain containers, and only if they name nothing else;
PaddlePaddle's by `pickled_arrays`.
"""

from __future__ import annotations

import errno
import io
import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from actspan.core.errors import CheckpointError, require
from actspan.core.files import check_size, read_bytes, similar_path
from actspan.core.limits import WEIGHTS
from actspan.model.pickled_arrays import UnsafePickleError, read_pickled_arrays
from actspan.model.tensor_pickles import check_pickles

EXPECTED = (
    "expected a PyTorch checkpoint or safetensors file of BSN's TEM (conv1, conv2, conv3) or PEM "
    "(fc1, fc2), or a BMN of JJBOY's code, OpenMMLab or PaddleVideo (.pdparams)"
)
_SAVE_WEIGHTS = "if you trust its source, save its weights alone, on the machine that made it: "
_HOW_TO_CLEAN = (
    f"{_SAVE_WEIGHTS}torch.save({{'state_dict': model.state_dict()}}, FILE), or for OpenMMLab its "
    "publish_model.py, which removes everything else"
)
_HOW_TO_CLEAN_PADDLE = f"{_SAVE_WEIGHTS}paddle.save(model.state_dict(), FILE)"
_LEGACY_PICKLES = 5  # pickles at the start of a file older than zip archives; tensors follow
_ARCHIVE = b"PK\x03\x04"  # first bytes of a zip file
# First bytes of complete files that are not checkpoints.
_KINDS = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself: git lfs pull",
    b"<": "a web page in place of the file; download it again",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    _ARCHIVE: "a zip archive that torch.save did not write",
}
_TORCH_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before zip archives: a magic number
_LONGEST_HEADER = 100_000_000  # bytes of JSON in a safetensors file; the format's own limit
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def load_content(path: Path) -> Any:
    """Return what a file contains: tensors or arrays, in plain containers.

    Raise CheckpointError or MissingExtraError if the file is not a checkpoint, damaged, or not safe
    to open, or PyTorch is not installed.
    """
    if not path.is_file():
        state = "is a folder" if path.is_dir() else f"does not exist{similar_path(path)}"
        raise CheckpointError(f"{path}: {state}; {EXPECTED}")
    try:
        if is_safetensors(path):
            return _load_safetensors(path)
        if _is_plain_pickle(path):
            return _load_pickled_arrays(path)
        torch = require("torch", extra="train", purpose="reading checkpoints")
        check_size(path, WEIGHTS)
        file = _checked_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and old storages
            return torch.load(file, map_location="cpu", weights_only=True)
    except (CheckpointError, ImportError):
        raise
    except UnsafePickleError as error:
        raise _unsafe(path, error.found, "could run code, or fill the memory") from error
    except Exception as error:  # A damaged pickle can raise any exception.
        raise _refusal(path, error) from error


def _unsafe(path: Path, found: str, danger: str, remedy: str = _HOW_TO_CLEAN) -> CheckpointError:
    return CheckpointError(
        f"{path}: not opened: {found}, and a checkpoint that carries anything but tensors "
        f"and plain containers {danger}; {remedy}"
    )


def _checked_file(path: Path) -> Path | IO[bytes]:
    """Return a checkpoint for PyTorch's reader, after everything in it was judged.

    Raises UnsafePickleError if it is not safe to open, any exception if it is damaged.
    """
    with path.open("rb") as stream:
        is_archive = stream.read(len(_ARCHIVE)) == _ARCHIVE  # as PyTorch decides
        if not is_archive:
            stream.seek(0)
            check_pickles([stream] * _LEGACY_PICKLES, path.stat().st_size)
            return path
    return _checked_archive(path)


def _checked_archive(path: Path) -> IO[bytes]:
    """Return a copy of an archive: in another one, PyTorch could find members that we do not."""
    size, copy = path.stat().st_size, io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as checked:
        members = archive.infolist()
        if len({m.filename.lower() for m in members}) < len(members):
            raise ValueError("two members of one name")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{path}: not opened: its {member.filename} is compressed, which torch.save "
                    f"never does and which could grow without end; {_HOW_TO_CLEAN}"
                )
        if sum(member.file_size for member in members) > size:
            raise ValueError("members that lie in one another")
        # PyTorch finds members whatever their case.
        pickles = (m for m in members if m.filename.lower().endswith(".pkl"))
        check_pickles((io.BytesIO(archive.read(m)) for m in pickles), size)
        for member in members:
            checked.writestr(member.filename, archive.read(member))
    copy.seek(0)
    return copy


def is_safetensors(path: Path) -> bool:
    """Return whether a file starts like safetensors: the size of a JSON object, and its brace."""
    with path.open("rb") as stream:
        head = stream.read(9)
    size = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and 2 <= size <= _LONGEST_HEADER


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file that `load_content` has read."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _is_plain_pickle(path: Path) -> bool:
    """Return whether a file starts like a pickle that torch.save did not write."""
    with path.open("rb") as stream:
        head = stream.read(len(_TORCH_PICKLE))
    return head.startswith(b"\x80") and head != _TORCH_PICKLE[: len(head)]


def _load_pickled_arrays(path: Path) -> Any:
    try:
        return read_pickled_arrays(read_bytes(path, WEIGHTS))
    except UnsafePickleError as error:
        if error.name.startswith("torch."):
            what = "a pickle that torch.save did not write; write it with torch.save"
            raise CheckpointError(f"{path}: cannot be read: it is {what}; {EXPECTED}") from error
        danger = "could run code, or fill the memory"
        raise _unsafe(path, error.found, danger, _HOW_TO_CLEAN_PADDLE) from error


def _load_safetensors(path: Path) -> dict[str, Any]:
    """Return arrays of floats; of any other type its name."""
    from safetensors import deserialize

    arrays: dict[str, Any] = {}
    for name, tensor in deserialize(read_bytes(path, WEIGHTS)):  # type: ignore[no-untyped-call]
        shape, kind = tuple(tensor["shape"]), tensor["dtype"]
        if kind == "BF16":  # bfloat16 is the upper half of a float32
            halves = np.frombuffer(tensor["data"], np.uint16, count=math.prod(shape))
            arrays[name] = (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)
        elif kind in _FLOATS:
            values = np.frombuffer(tensor["data"], _FLOATS[kind], count=math.prod(shape))
            arrays[name] = values.reshape(shape)
        else:
            arrays[name] = kind
    return arrays


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """Return an error in place of PyTorch's, which advises to open the file unsafely."""
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL is a seek past the end
        return CheckpointError(f"{path}: cannot be read: {error.strerror or error}")
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    if name is not None:
        return _unsafe(path, f"it names {name[1]}", "could run code")
    if "TorchScript" in str(error):
        return CheckpointError(
            f"{path}: not opened: a TorchScript archive is code; {_HOW_TO_CLEAN}"
        )
    kind = _other_kind(path)
    if kind:
        return CheckpointError(f"{path}: cannot be read: it is {kind}; {EXPECTED}")
    what = "damaged or truncated; copy it again from its source"
    return CheckpointError(f"{path}: cannot be read: {what}")


def _other_kind(path: Path) -> str:
    """Describe a file that was never a checkpoint; return "" for a damaged checkpoint."""
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "empty"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if head.startswith(b"PK") and (b"data.pkl" in head or not zipfile.is_zipfile(path)):
        return ""
    if head.startswith(b"\x80") or is_safetensors(path):
        return ""
    kind = next((kind for begin, kind in _KINDS.items() if head.startswith(begin)), "")
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return kind or ("text" if is_text else "of an unknown kind, or damaged from its first bytes on")
