"""`inputs.jsonl`: what lies in a folder of a stage, a line an input, and what it was made from."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec

from actspan.config import Config
from actspan.data.decoding import NOT_JSON
from actspan.data.windows import Window
from actspan.errors import ConfigError, StageError
from actspan.files import read_bytes
from actspan.limits import DOCUMENT

TABLE = "inputs.jsonl"
LONGEST_NAME = 230  # bytes; file systems take 255, and suffixes come to it


class Item(Config, frozen=True):
    """One input of a network: a video, or a window of a recording.

    Attributes
    ----------
    video : str
        Its id.
    seconds : float
        What position 1.0 stands for.
    rows : int
        Cells of TEM's input that hold something, or candidates in PEM's; the rest is padding.
    crc32 : int
        Of the file that the next step reads.
    since : float
        Seconds since 1970: when the network's input came to be what it is.
    window : Window, optional
        Which part of the recording this is; None for all of it.
    """

    video: str
    seconds: float
    rows: int
    crc32: int
    since: float
    window: Window | None = None

    @property
    def name(self) -> str:
        """What its files are called, without suffix."""
        return input_name(self.video, self.window)

    def with_file(self, data: bytes) -> Item:
        """The same input after a step that made a file of these contents of it."""
        return msgspec.structs.replace(self, crc32=zlib.crc32(data))

    @property
    def ends_video(self) -> bool:
        """Whether it is all of its video, or the last window of it."""
        return self.window is None or self.window.is_final


def input_name(video: str, window: Window | None) -> str:
    """What the files of an input are called, whatever its id is.

    The id as it is, where it has only letters, digits and `-._~`; anything else in it is written
    as %XX, so that no id leads out of the folder or breaks a list that is split at blanks. A
    window adds `@` and its first snippet.

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
    """The first line: the table of the step before."""

    format: int
    made_from: str  # SHA-256 of that table; empty for the first step


@dataclass(frozen=True, slots=True)
class Table:
    """A table that was read.

    Attributes
    ----------
    items : tuple of Item
        In the order of the dataset; windows of a recording in theirs.
    made_from : str
        SHA-256 of the table of the step before.
    sha256 : str
        Its own.
    """

    items: tuple[Item, ...]
    made_from: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the table of a folder that is there.

        Raises
        ------
        StageError
            It cannot be read, or is damaged.
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
    """Write a table as inputs come. The folder that it lies in is not yet in its place."""

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
