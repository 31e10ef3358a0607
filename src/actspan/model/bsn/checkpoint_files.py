"""Open third-party checkpoint files without executing them: PyTorch's two forms, safetensors.

A PyTorch checkpoint is a pickle, and a pickle can carry any code. Files are read only by PyTorch's
restricted reader, which knows tensors and plain containers and refuses the rest.
"""

from __future__ import annotations

import errno
import math
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from actspan.core.errors import CheckpointError, require
from actspan.core.files import read_bytes, similar_path
from actspan.core.limits import WEIGHTS
from actspan.model.bsn.pickles import check_pickles

EXPECTED = (
    "expected a PyTorch checkpoint or safetensors file of BSN's TEM (conv1, conv2, conv3) or PEM "
    "(fc1, fc2)"
)
_CLEAN = (
    "if you trust whoever made it, save its weights alone where it was made: "
    "torch.save({'state_dict': model.state_dict()}, FILE), or for OpenMMLab its publish_model.py, "
    "which removes everything else"
)
# first bytes of complete files that are not checkpoints
_KINDS = {
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself: git lfs pull",
    b"<": "a web page in place of the file; download it again",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"PK\x03\x04": "a zip archive that torch.save did not write",
    b"\x80": "a pickle that torch.save did not write; write it with torch.save",
}
_TORCH_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before zip archives: a magic number
_TAR = slice(257, 262), b"ustar"
_LONGEST_HEADER = 100_000_000  # bytes of JSON in a safetensors file; the format's own limit
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def load_content(path: Path) -> Any:
    """Return what a file holds: tensors or arrays, in plain containers.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, damaged, or not safe to open.
    MissingExtraError
        PyTorch is not installed; every form but safetensors needs it.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else f"does not exist{similar_path(path)}"
        raise CheckpointError(f"{path}: {found}; {EXPECTED}")
    try:
        if is_safetensors(path):
            return _load_safetensors(path)
        torch = require("torch", extra="train", purpose="reading checkpoints")
        check_pickles(path, _CLEAN)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and old storages
            return torch.load(path, map_location="cpu", weights_only=True)
    except (CheckpointError, ImportError):
        raise
    except Exception as error:  # A damaged pickle can raise any exception.
        raise _refusal(path, error) from error


def is_safetensors(path: Path) -> bool:
    """Return whether a file starts like safetensors: the size of a JSON object, and its brace."""
    with path.open("rb") as stream:
        head = stream.read(9)
    size = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and 2 <= size <= _LONGEST_HEADER


def _load_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import deserialize

    found = deserialize(read_bytes(path, WEIGHTS))  # type: ignore[no-untyped-call]
    return {name: _array(tensor["dtype"], tensor) for name, tensor in found}


def _array(dtype: str, tensor: Any) -> Any:
    """Return the tensor as an array of floats, or the name of any other type."""
    shape = tuple(tensor["shape"])
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        halves = np.frombuffer(tensor["data"], np.uint16, count=math.prod(shape))
        return (halves.astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if dtype not in _FLOATS:
        return dtype
    return np.frombuffer(tensor["data"], _FLOATS[dtype], count=math.prod(shape)).reshape(shape)


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """Return an error in place of PyTorch's, which advises to open the file unsafely."""
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL is a seek past the end
        return CheckpointError(f"{path}: cannot be read: {error.strerror or error}")
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    if name is not None:
        return CheckpointError(
            f"{path}: not opened: it names {name[1]}, and a checkpoint that carries anything but "
            f"tensors and plain containers could run code; {_CLEAN}"
        )
    if "TorchScript" in str(error):
        return CheckpointError(f"{path}: not opened: a TorchScript archive is code; {_CLEAN}")
    kind = _other_kind(path)
    if kind:
        return CheckpointError(f"{path}: cannot be read: it is {kind}; {EXPECTED}")
    return CheckpointError(
        f"{path}: cannot be read: damaged or cut short; copy it again from where it came"
    )


def _other_kind(path: Path) -> str:
    """Describe a file that was never a checkpoint; return "" for a damaged checkpoint."""
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "empty"
    if head[_TAR[0]] == _TAR[1]:
        return "a tar archive; unpack it"
    if head.startswith(b"PK") and (b"data.pkl" in head or not zipfile.is_zipfile(path)):
        return ""
    if head[: len(_TORCH_PICKLE)] == _TORCH_PICKLE[: len(head)] or is_safetensors(path):
        return ""
    for begin, kind in _KINDS.items():
        if head.startswith(begin):
            return kind
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if is_text else "of an unknown kind, or damaged from its first bytes on"
