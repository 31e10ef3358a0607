"""Pickles of PyTorch's checkpoints, read without making anything: their names and their sizes.

PyTorch's restricted reader imports only what it knows, but allocates the numbers of bytes that a
pickle declares, and enlarges a storage for a tensor that does not fit. This interpreter executes
the operations that PyTorch's reader knows, on stand-ins, and refuses a pickle that names something
other than tensors, or whose tensors need more bytes than there are.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from actspan.core.limits import OPERATIONS, PICKLE
from actspan.model.pickled_arrays import UnsafePickleError

# Names that plain containers of tensors need, written by Python 2 or 3. PyTorch's reader allows
# more, of which some make objects of any size from a few bytes.
_ALLOWED_NAMES = re.compile(
    r"collections (OrderedDict|Counter)"
    r"|torch\._utils (_rebuild_tensor|_rebuild_tensor_v2|_rebuild_parameter)"
    r"|torch\.nn\.parameter Parameter|torch \w+Storage|torch (Size|device)"
    r"|torch (b?float|u?int|complex|q?u?int)\d+|torch bool"
    r"|(builtins|__builtin__) (set|complex)"
)
_REBUILDERS = {"torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2"}
_ITEM_BYTES = {  # of storages; of any other at least 1
    "Double": 8,
    "Long": 8,
    "ComplexFloat": 8,
    "ComplexDouble": 16,
    "Float": 4,
    "Int": 4,
    "QInt32": 4,
    "Half": 2,
    "BFloat16": 2,
    "Short": 2,
}
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1"}
_TEXTS = {"BINUNICODE", "SHORT_BINSTRING"}


class _Name(str):
    """Name of a function or class, "module name"."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """Storage of `count` numbers."""

    count: int


class _Tuple(tuple[Any, ...]):
    """Tuple, whose size counts a tuple in it as often as it occurs: hashing takes as long."""

    size: int


class _Stand:
    """Stand-in of a value whose content does not matter."""


_OTHER, _DICT = _Stand(), _Stand()


def check_pickles(streams: Iterable[IO[bytes]], size: int) -> None:
    """Read one pickle from each stream; together they describe the tensors of a file of `size`.

    Raise UnsafePickleError if they are not safe to open, any exception if they are damaged.
    """
    reader = _Reader(size)
    for stream in streams:
        reader.read(stream)


class _Reader:
    """Stack and memo of an interpreter of pickles, and the storages that they declare."""

    def __init__(self, size: int) -> None:
        self._free = size  # bytes of the file for further storages
        self._storages: dict[str, int] = {}  # bytes by key
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # stacks below the marks
        self._memo: dict[int, Any] = {}

    def read(self, stream: IO[bytes]) -> None:
        """Execute one pickle."""
        begin = stream.tell()
        self._stack, self._outer, self._memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(stream):
            if stream.tell() - begin > PICKLE:
                raise ValueError(f"a pickle of more than {PICKLE:,} bytes")
            self._step(opcode.name, argument)

    def _step(self, name: str, argument: Any) -> None:
        """Execute one operation."""
        if name in _LITERALS:
            self._stack.append(_LITERALS[name])
        elif name in _NUMBERS or name in _TEXTS:
            self._stack.append(argument)
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        else:
            raise UnsafePickleError(f"it uses the pickle operation {name}")

    def mark(self, _: object) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def items(self) -> list[Any]:
        """Remove the last mark; return what was above it."""
        found, self._stack = self._stack, self._outer.pop()
        return found

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self, count: int) -> list[Any]:
        """Remove and return the last values; raise ValueError if there are fewer."""
        found = self._stack[len(self._stack) - count :]
        if len(found) != count:
            raise ValueError("not enough values")
        del self._stack[len(self._stack) - count :]
        return found

    def tuple_of(self, values: list[Any]) -> None:
        """Push a tuple; raise UnsafePickleError if it repeats tuples without end."""
        made = _Tuple(values)
        made.size = 1 + sum(v.size if isinstance(v, _Tuple) else 1 for v in made)
        if made.size > OPERATIONS:
            raise UnsafePickleError(f"it has a tuple of more than {OPERATIONS:,} values")
        self._stack.append(made)

    def put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def name(self, argument: str) -> None:
        """Push a name; raise UnsafePickleError if tensors do not need it."""
        if not _ALLOWED_NAMES.fullmatch(argument):
            dotted = argument.replace(" ", ".")
            raise UnsafePickleError(f"it names {dotted}", dotted)
        self._stack.append(_Name(argument))

    def storage(self, _: object) -> None:
        """Replace a description of a storage by its stand-in."""
        (found,) = self.pop(1)
        match found:
            case ("storage", _Name() as kind, str(key), _, int(count), *_) if count >= 0:
                width = _ITEM_BYTES.get(kind.split()[-1].removesuffix("Storage"), 1)
                size, known = count * width, self._storages.get(key, 0)
                self._storages[key] = max(size, known)
                self._free -= self._storages[key] - known
                self._stack.append(_Storage(count))
            case _:
                raise ValueError("not a storage")
        if self._free < 0:
            raise UnsafePickleError("its tensors take more bytes than the file has")

    def call(self, _: object) -> None:
        """Replace a name and its arguments by a stand-in; raise if it would make a large tensor."""
        name, arguments = self.pop(2)
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise UnsafePickleError("it calls what is no function")
        if name == "torch Size":
            self._stack.append(arguments[0] if len(arguments) == 1 else _OTHER)
            return
        if name in _REBUILDERS:
            _check_tensor(*arguments[:4])
        self._stack.append(_OTHER)

    def make(self, _: object) -> None:
        self.pop(2)
        self._stack.append(_OTHER)

    def build(self, _: object) -> None:
        """Set attributes of an object, as ordered dictionaries have them."""
        (state,) = self.pop(1)
        if state is not _DICT:  # a tensor would be given another storage
            raise UnsafePickleError("it changes what is no dictionary")


def _check_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> None:
    """Raise UnsafePickleError unless a tensor lies in its storage."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise ValueError("not a tensor")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("not a shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.count:
        raise UnsafePickleError("a tensor is larger than its storage")


_OPERATIONS: Mapping[str, Callable[[_Reader, Any], object]] = {
    "PROTO": lambda reader, _: None,
    "STOP": lambda reader, _: reader.pop(1),
    "MARK": _Reader.mark,
    "EMPTY_DICT": lambda reader, _: reader.push(_DICT),
    "EMPTY_LIST": lambda reader, _: reader.push(_OTHER),
    "EMPTY_SET": lambda reader, _: reader.push(_OTHER),
    "EMPTY_TUPLE": lambda reader, _: reader.tuple_of([]),
    "BINFLOAT": lambda reader, _: reader.push(_OTHER),
    "TUPLE1": lambda reader, _: reader.tuple_of(reader.pop(1)),
    "TUPLE2": lambda reader, _: reader.tuple_of(reader.pop(2)),
    "TUPLE3": lambda reader, _: reader.tuple_of(reader.pop(3)),
    "TUPLE": lambda reader, _: reader.tuple_of(reader.items()),
    "APPEND": lambda reader, _: reader.pop(1),
    "APPENDS": lambda reader, _: reader.items(),
    "SETITEM": lambda reader, _: reader.pop(2),
    "SETITEMS": lambda reader, _: reader.items(),
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "BINGET": _Reader.get,
    "LONG_BINGET": _Reader.get,
    "GLOBAL": _Reader.name,
    "BINPERSID": _Reader.storage,
    "REDUCE": _Reader.call,
    "NEWOBJ": _Reader.make,
    "BUILD": _Reader.build,
}
