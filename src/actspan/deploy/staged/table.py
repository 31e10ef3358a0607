"""Tables of stages, `inputs.jsonl`: one line per input of a folder, and the table before."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec

from actspan.config.base import Config
from actspan.core.errors import ConfigError, StageError
from actspan.core.files import NOT_JSON, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.data.recording import Window

TABLE = "inputs.jsonl"
LONGEST_NAME = 230  # bytes; file systems allow 255, including suffixes


class Item(Config, frozen=True):
    """One input of a network: a video, or a window of a recording.

    Attributes
    ----------
    video : str
        Id of the video.
    seconds : float
        Seconds at position 1.0.
    rows : int
        Cells in TEM's input, or candidates in PEM's, without padding.
    crc32 : int
        CRC-32 of the file that the next step reads.
    since : float
        Time of the last change of the network's input, seconds since 1970.
    window : Window, optional
        Window of the recording; None for a whole video.
    """

    video: str
    seconds: float
    rows: int
    crc32: int
    since: float
    window: Window | None = None

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return input_name(self.video, self.window)

    def with_file(self, data: bytes) -> Item:
        """Return the item with the CRC-32 of the file that a step wrote for it."""
        return msgspec.structs.replace(self, crc32=zlib.crc32(data))

    @property
    def ends_video(self) -> bool:
        """True for a whole video, and for the last window of a recording."""
        return self.window is None or self.window.is_final


def input_name(video: str, window: Window | None) -> str:
    """Return the name of the files of an input, safe for any id.

    Characters of the id other than letters, digits and `-._~` are written as %XX, so that no id
    leads out of the folder or adds blanks to a list. So is a dot at the start. A window adds `@`
    and its first snippet.

    Examples
    --------
    >>> input_name("--1DO2V4K74", None), input_name("../../x y", None)
    ('--1DO2V4K74', '%2E.%2F..%2Fx%20y')
    >>> input_name("a", Window(50, 150, 400))
    'a@50'
    """
    name = quote(video, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    return name if window is None else f"{name}@{window.first}"


class _Head(Config, frozen=True):
    """The first line, with the checksum of the table of the step before."""

    format: int
    made_from: str  # SHA-256 of that table; empty for the first step


@dataclass(frozen=True, slots=True)
class Table:
    """The content of a table.

    Attributes
    ----------
    items : tuple of Item
        Items in the order of the dataset; windows of a recording in order.
    made_from : str
        SHA-256 of the table of the step before.
    sha256 : str
        SHA-256 of this table.
    """

    items: tuple[Item, ...]
    made_from: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an existing table.

        Raises
        ------
        StageError
            The table cannot be read, or is damaged.
        """
        try:
            data = read_bytes(path, DOCUMENT)
            first, *lines = data.splitlines()
            head = msgspec.json.decode(first, type=_Head)
            decode = msgspec.json.Decoder(Item).decode
            items = tuple(map(decode, lines))
        except (OSError, ValueError, *NOT_JSON, ConfigError) as error:
            raise StageError(f"{path}: damaged: {error}; make this folder again") from error
        return cls(items, head.made_from, hashlib.sha256(data).hexdigest())


class TableWriter:
    """Writer of a table as inputs come, in a folder that is not yet in its place."""

    def __init__(self, folder: Path, made_from: str = "") -> None:
        self._path = folder / TABLE
        self._head = _Head(format=1, made_from=made_from)

    def __enter__(self) -> Self:
        self._stream = self._path.open("wb")
        self._put(self._head)
        return self

    def _put(self, row: Config) -> None:
        self._stream.write(msgspec.json.encode(row) + b"\n")

    def add(self, item: Item) -> None:
        """Append an input."""
        self._put(item)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
