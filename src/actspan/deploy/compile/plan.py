"""Requests, jobs and results of a compilation, shared by all targets."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from actspan.core.errors import CompileError, ConfigError
from actspan.model.bundle import Bundle
from actspan.model.weights import Net

__all__ = [
    "BATCHES",
    "TARGETS",
    "Compilation",
    "CompileRequest",
    "Compiler",
    "Driver",
    "Job",
    "Plan",
    "Report",
    "Target",
]

BATCHES = (1, 16)  # as in the published guide

Sizes = tuple[int | None, ...]  # None: any size
Report = Callable[[str], None]  # a line that a vendor's compiler prints


@dataclass(frozen=True, slots=True)
class CompileRequest:
    """Settings of a compilation.

    Attributes
    ----------
    target : str
        One of `TARGETS`.
    batches : tuple of int
        Videos per call, ascending and without duplicates. PEM takes the rows of this number of
        videos.
    precision : str
        One of the target's precisions; its first by default.
    soc : str
        ascend: the chip, as `npu-smi info` and `--soc_version` call it.
    calibrate : Path, optional
        int8: a dataset folder for the calibration.

    Raises
    ------
    ConfigError
        A value is out of range.
    CompileError
        The target is not known, or has no such precision.
    """

    target: str
    batches: tuple[int, ...] = BATCHES
    precision: str = ""
    soc: str = "Ascend310"
    calibrate: Path | None = None

    def __post_init__(self) -> None:
        row = TARGETS.get(self.target)
        if row is None:
            raise CompileError(
                f"target {self.target!r} is not known; choose one of: {', '.join(TARGETS)}"
            )
        if not self.batches or min(self.batches) < 1:
            raise ConfigError(f"batches must be at least 1, not {self.batches}")
        precision = self.precision or row.precisions[0]
        if precision not in row.precisions:
            raise CompileError(
                f"target {row.name} has no precision {precision!r}: {', '.join(row.precisions)}"
                + (f"; {row.note}" if row.note else "")
            )
        if precision == "int8" and self.calibrate is None:
            raise CompileError("int8 learns its ranges from a dataset folder: --calibrate DATASET")
        object.__setattr__(self, "batches", tuple(sorted(set(self.batches))))
        object.__setattr__(self, "precision", precision)


@dataclass(frozen=True, slots=True)
class Job:
    """One network to compile.

    Attributes
    ----------
    net : "tem" or "pem"
    source : str
        The ONNX file, in the bundle.
    outputs : tuple of str
        The files to create, by name in the bundle; a runtime opens the last one.
    input : str
        Name of the network's input.
    least, most : tuple of int or None
        Smallest and largest shape of the input.
    notes : tuple of str
        Lines about what was skipped when its graph was made.
    """

    net: Net
    source: str
    outputs: tuple[str, ...]
    input: str
    least: Sizes
    most: Sizes
    notes: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """File that a runtime opens."""
        return self.outputs[-1]

    @property
    def stem(self) -> str:
        """Name of the output without its suffix."""
        return self.output.rpartition(".")[0]

    @property
    def shapes(self) -> str:
        """Shapes for messages: `1x400x100 to 16x400x100`."""
        return " to ".join(dict.fromkeys(map(_text, (self.least, self.most))))


def _text(sizes: Sizes) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes)


@dataclass(frozen=True, slots=True)
class Plan:
    """A bundle with every graph to compile, and the jobs."""

    bundle: Bundle
    request: CompileRequest
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Compilation:
    """Report of a compiler on one job.

    Attributes
    ----------
    command : sequence of str
        The command that created the outputs; empty if there was none.
    notes : tuple of str
        Lines about what was skipped.
    """

    command: Sequence[str] = ()
    notes: tuple[str, ...] = ()


class Compiler(Protocol):
    """A vendor's compiler that is available."""

    @property
    def version(self) -> str:
        """Version for messages and for the record: `atc of /usr/local/Ascend/...`."""
        ...

    @property
    def key(self) -> str:
        """Part of the names of files that run only on this machine; empty for other files."""
        ...

    def compile(self, job: Job, plan: Plan, folder: Path, report: Report) -> Compilation:
        """Compile a job in a folder of its own, which contains its ONNX file.

        Raises
        ------
        CompileError
            The compiler failed; the message says why and what to do.
        """
        ...


class Driver(Protocol):
    """Functions that the module of a target defines."""

    def find_compiler(self, request: CompileRequest) -> Compiler:
        """Find the compiler of this machine.

        Raises
        ------
        CompileError, MissingExtraError
            There is no compiler; the message says how to get it.
        """
        ...

    def prepare(
        self, bundle: Bundle, request: CompileRequest, key: str
    ) -> tuple[Bundle, list[Job]]:
        """Write the graphs that the compiler takes into the bundle.

        Parameters
        ----------
        key : str
            `Compiler.key`; empty if another machine will compile.
        """
        ...

    def script_lines(self, plan: Plan) -> list[str]:
        """Return lines of a shell script that compiles everything, in the bundle's folder."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device, and its vendor's compiler.

    Attributes
    ----------
    name : str
        Value of `--target`.
    device : str
        Name for messages.
    precisions : tuple of str
        Available precisions, the default first.
    backends : mapping of precision to str
        The runtime that opens the compiled file.
    note : str
        Why there are no other precisions.
    """

    name: str
    device: str
    precisions: tuple[str, ...]
    backends: Mapping[str, str]
    note: str = ""

    @property
    def driver(self) -> Driver:
        """Module of the target, imported on first use."""
        return cast(Driver, importlib.import_module(f"actspan.deploy.compile.{self.name}"))


_TABLE = (
    Target(
        "ascend",
        "Ascend NPU",
        ("fp16", "fp32"),
        dict.fromkeys(("fp16", "fp32"), "ascend"),
        "atc reads no quantised ONNX but that of the vendor's own tool, AMCT",
    ),
    Target(
        "tensorrt",
        "NVIDIA GPU",
        ("fp16", "fp32", "int8"),
        dict.fromkeys(("fp16", "fp32", "int8"), "tensorrt"),
    ),
    Target(
        "openvino",
        "CPU",
        ("fp32", "fp16", "int8"),
        {"fp32": "openvino", "fp16": "openvino:fp16", "int8": "openvino:int8"},
    ),
)

TARGETS: Mapping[str, Target] = MappingProxyType({row.name: row for row in _TABLE})
