"""What a checkpoint's pickles name, found without running them.

PyTorch's restricted reader refuses code, but some of what it allows makes objects of any size out
of a few bytes: a `bytearray` of a number, text that is encoded again and again. Its zip reader
inflates what it is given, too, though `torch.save` stores tensors as they are. So both are looked
at first.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from actspan.errors import CheckpointError
from actspan.files import check_size
from actspan.limits import PICKLE, WEIGHTS

# what named tensors in plain containers are made of, whether Python 2 or 3 wrote them
_NEEDED = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|torch\._utils (_rebuild_tensor|_rebuild_tensor_v2|_rebuild_parameter)"
    r"|torch\.nn\.parameter Parameter|torch \w+Storage|torch (Size|device)"
    r"|torch (b?float|u?int|complex|q?u?int)\d+|torch bool"
    r"|(builtins|__builtin__) (set|complex)"
)
_LEGACY = 5  # pickles at the begin of the form before zip files; tensors follow


def check_pickles(path: Path, clean: str) -> None:
    """Refuse a checkpoint that holds more than tensors, or would grow when it is read.

    Parameters
    ----------
    path : Path
    clean : str
        What the user can do about it.

    Raises
    ------
    CheckpointError
        It is compressed, or names something else than tensors and plain containers.
    OSError
        As `check_size`.
    Exception
        Whatever a damaged archive or pickle raises.
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
    """Modules and names that the pickles of a checkpoint would import, a blank between them."""
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
