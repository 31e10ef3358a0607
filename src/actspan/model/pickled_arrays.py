"""Pickles of NumPy arrays in dictionaries, such as PaddlePaddle's `.pdparams`, read as plain data.

Pickle's own reader imports what a file names, and calls it. The interpreter here imports nothing:
it knows the few operations and names that such a file consists of, checks the declared size of
every array against the bytes that the file contains, and refuses everything else.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from actspan.core.limits import OPERATIONS

# Written by NumPy 1 and 2; before protocol 3, bytes are encoded text.
_ALLOWED_NAMES = re.compile(
    r"numpy\._?core\.multiarray _reconstruct"
    r"|numpy(\._?core\.multiarray)? (ndarray|dtype)"
    r"|_codecs encode|collections OrderedDict"
)
_DTYPE = re.compile(r"[iu][1248]|f[248]|b1")
_MARK = object()
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ARGUMENTS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES"),
    *("BINBYTES8", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}


class UnsafePickleError(ValueError):
    """A pickle with more than arrays in dictionaries; `found` says what."""

    def __init__(self, found: str, name: str = "") -> None:
        super().__init__(found)
        self.found, self.name = found, name


class _Name(str):
    """Stand-in of a function or class that the file names; nothing is imported."""


class _DType:
    """Stand-in of a dtype, whose byte order follows its construction."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "|"


class _Array:
    """Stand-in of an array, whose content follows its construction."""

    array: np.ndarray[Any, Any] | None = None


def read_pickled_arrays(data: bytes) -> Any:
    """Return what a pickle contains: dictionaries of arrays, texts, numbers and tuples.

    Memory is bounded by the size of `data`, whose bytes the arrays share. Raise UnsafePickleError
    if it contains anything else; any exception if it is damaged.
    """
    reader = _Reader(len(data))
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count >= OPERATIONS:
            raise UnsafePickleError(f"it has more than {OPERATIONS:,} operations")
        reader.step(opcode.name, argument)
    return reader.stack[-1]


class _Reader:
    """Stack and memo of an interpreter of pickles."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.encoded = size  # bytes that texts may still be encoded to

    def step(self, name: str, argument: Any) -> None:
        """Execute one operation."""
        if name in _LITERALS:
            self.stack.append(_LITERALS[name])
        elif name in _ARGUMENTS:
            self.stack.append(argument)
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        else:
            raise UnsafePickleError(f"it uses the pickle operation {name}")

    def mark(self, _: object) -> None:
        self.stack.append(_MARK)

    def items(self) -> tuple[Any, ...]:
        """Remove and return what is above the last mark, and remove the mark."""
        begin = len(self.stack) - 1
        while self.stack[begin] is not _MARK:
            begin -= 1
            if begin < 0:
                raise ValueError("no mark")
        found = tuple(self.stack[begin + 1 :])
        del self.stack[begin:]
        return found

    def tuple_of(self, count: int) -> None:
        """Replace the last values by a tuple of them."""
        if len(self.stack) < count:
            raise ValueError("not enough values")
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def name(self, argument: str | None) -> None:
        """Push the stand-in of a name: "module name", or both on the stack."""
        if argument is None:
            last, module = self.stack.pop(), self.stack.pop()
            argument = f"{module} {last}"
        if not _ALLOWED_NAMES.fullmatch(argument):
            dotted = argument.replace(" ", ".")
            raise UnsafePickleError(f"it names {dotted}", dotted)
        self.stack.append(_Name(argument.rpartition(" ")[2]))

    def set_items(self, pairs: tuple[Any, ...]) -> None:
        """Add pairs of name and value to the dictionary on the stack."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("not a dictionary")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) is not str:  # hashing nested tuples could take forever
                raise UnsafePickleError("a key of a dictionary is not a text")
            if isinstance(value, _Array):
                value = value.array
                if value is None:
                    raise ValueError("an array without content")
            target[key] = value

    def set_item(self, _: object) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items((key, value))

    def call(self, _: object) -> None:
        """Do what a call of one of the allowed names does."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name):
            raise UnsafePickleError("it calls what is no function")
        match str(name), arguments:
            case "encode", (str(text), "latin1" | "latin-1"):
                self.encoded -= len(text)
                if self.encoded < 0:
                    raise UnsafePickleError("its texts are encoded to more bytes than it has")
                self.stack.append(text.encode("latin-1"))
            case "_reconstruct", (_Name(), (0,), b"b"):
                self.stack.append(_Array())
            case "dtype", (str(code), bool() | int(), bool() | int()) if _DTYPE.fullmatch(code):
                self.stack.append(_DType(code))
            case "OrderedDict", ():
                self.stack.append({})
            case _:
                raise UnsafePickleError(f"it calls {name} with other arguments than arrays need")

    def build(self, _: object) -> None:
        """Complete the dtype or array on the stack."""
        state, target = self.stack.pop(), self.stack[-1]
        match target, state:
            case _DType(), (3 | 4, "<" | ">" | "|" as order, *_):
                target.order = order
            case _Array(), (1, tuple(shape), _DType(), bool() | int() as fortran, bytes(raw)):
                target.array = _array(shape, state[2], bool(fortran), raw)
            case _:
                raise UnsafePickleError("it changes what is neither an array nor a dtype")


def _array(
    shape: tuple[Any, ...], dtype: _DType, fortran: bool, raw: bytes
) -> np.ndarray[Any, Any]:
    """Return an array over the bytes; raise ValueError unless they are as many as declared."""
    kind = np.dtype(dtype.order + dtype.code)
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("not a shape")
    if math.prod(shape) * kind.itemsize != len(raw):
        raise ValueError("not as many bytes as the shape declares")
    return np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C")


_OPERATIONS: Mapping[str, Callable[[_Reader, Any], object]] = {
    "PROTO": lambda reader, _: None,
    "FRAME": lambda reader, _: None,
    "STOP": lambda reader, _: None,
    "MARK": _Reader.mark,
    "EMPTY_DICT": lambda reader, _: reader.stack.append({}),
    "EMPTY_TUPLE": lambda reader, _: reader.tuple_of(0),
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "TUPLE": lambda reader, _: reader.stack.append(reader.items()),
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "MEMOIZE": _Reader.put,
    "BINGET": lambda reader, index: reader.stack.append(reader.memo[index]),
    "LONG_BINGET": lambda reader, index: reader.stack.append(reader.memo[index]),
    "GLOBAL": _Reader.name,
    "STACK_GLOBAL": _Reader.name,
    "SETITEM": _Reader.set_item,
    "SETITEMS": lambda reader, _: reader.set_items(reader.items()),
    "REDUCE": _Reader.call,
    "BUILD": _Reader.build,
}
