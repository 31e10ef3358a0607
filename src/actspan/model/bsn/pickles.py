"""Names in a checkpoint's pickles, found without executing them.

PyTorch's restricted reader refuses code, but some allowed operations create objects of any size
from a few bytes: a `bytearray` of a number, text that is encoded repeatedly. Its zip reader also
inflates compressed members, although `torch.save` never compresses. So both are checked before
reading.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from actspan.core.errors import CheckpointError
from actspan.core.files import check_size
from actspan.core.limits import PICKLE, WEIGHTS

# Names that plain containers of tensors need, written by Python 2 or 3.
_NEEDED = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|torch\._utils (_rebuild_tensor|_rebuild_tensor_v2|_rebuild_parameter)"
    r"|torch\.nn\.parameter Parameter|torch \w+Storage|torch (Size|device)"
    r"|torch (b?float|u?int|complex|q?u?int)\d+|torch bool"
    r"|(builtins|__builtin__) (set|complex)"
)
_LEGACY = 5  # pickles at the start of a file older than zip archives; tensors follow


def check_pickles(path: Path, clean: str) -> None:
    """Raise if a checkpoint holds more than tensors, or would grow when it is read.

    Parameters
    ----------
    path : Path
    clean : str
        Advice to the user, part of the message.

    Raises
    ------
    CheckpointError
        The file is compressed, or names something other than tensors and plain containers.
    OSError
        Raised by `check_size`.
    Exception
        Any exception, from a damaged archive or pickle.
    """
    check_size(path, WEIGHTS)
    for name in _names(path, clean):
        if not _NEEDED.fullmatch(name):
            raise CheckpointError(
                f"{path}: not opened: it names {name.replace(' ', '.')}, and a checkpoint that "
                "carries anything but tensors and plain containers could run code, or fill the "
                f"memory; {clean}"
            )


def _names(path: Path, clean: str) -> Iterator[str]:
    """Yield "module name" of everything that the pickles of a checkpoint would import."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            for _ in range(_LEGACY):
                yield from _names_in(stream)
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{path}: not opened: its {member.filename} is compressed, which torch.save "
                    f"never does and which could grow without end; {clean}"
                )
            if member.filename.endswith(".pkl"):
                with archive.open(member) as content:
                    yield from _names_in(content)


def _names_in(stream: IO[bytes]) -> Iterator[str]:
    begin = stream.tell()
    for opcode, argument, _ in pickletools.genops(stream):
        if stream.tell() - begin > PICKLE:
            raise ValueError(f"a pickle of more than {PICKLE:,} bytes")
        if opcode.name == "GLOBAL":
            yield str(argument)
