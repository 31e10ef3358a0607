"""Requests to compile, deploy and run steps of a stage. Commands make their options of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec.structs import force_setattr

from actspan.config.base import (
    Bounds,
    Config,
    Existing,
    ExistingBundle,
    OnError,
    Positive,
    doc,
    require_setting,
)
from actspan.config.bmn import BmnPreset
from actspan.config.stages import BATCH
from actspan.core.errors import CompileError

StagedNet = Literal["tem", "pem", "bmn"]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device, and its vendor's compiler."""

    name: str  # value of `--target`
    module: str  # module in `actspan.deploy`; see `compilation`
    device: str  # name for messages
    backends: Mapping[str, str]  # by precision, the default first: runtime of the compiled file
    note: str = ""  # why there are no other precisions

    @property
    def precisions(self) -> tuple[str, ...]:
        """Available precisions, the default first."""
        return tuple(self.backends)


_NO_INT8 = "atc reads no quantised ONNX but that of the vendor's own tool, AMCT"
_OPENVINO = {"fp32": "openvino", "fp16": "openvino:fp16", "int8": "openvino:int8"}
_TENSORRT = dict.fromkeys(("fp16", "fp32", "int8"), "tensorrt")
_TABLE = (
    Target("ascend", "atc", "Ascend NPU", dict.fromkeys(("fp16", "fp32"), "ascend"), _NO_INT8),
    Target(
        "tensorrt",
        "engine_builder",
        "NVIDIA GPU",
        dict.fromkeys(("fp16", "fp32", "int8"), "tensorrt"),
    ),
    Target("openvino", "openvino_ir", "CPU", _OPENVINO),
)

TARGETS: Mapping[str, Target] = MappingProxyType({row.name: row for row in _TABLE})


class CompileRequest(Config, frozen=True):
    """Request to compile; `batches` are made ascending, and a missing `precision` is chosen.

    Raise ConfigError if a value is out of range, CompileError if the target is not known, or has no
    such precision.
    """

    target: Annotated[
        Literal["ascend", "tensorrt", "openvino"], doc("Vendor's compiler to use.", group="Device")
    ]
    batches: Annotated[
        tuple[Positive, ...],
        doc(
            "Videos per call; may be repeated. ascend compiles one file per size, tensorrt one "
            "for the range; openvino accepts any size.",
            group="Device",
        ),
    ] = (1, 16)  # as in the published guide
    precision: Annotated[
        str,
        doc(
            "Precision of the compiled networks. [default: fp16; fp32 for openvino]", group="Device"
        ),
    ] = ""
    soc: Annotated[str, doc("Name of the chip of an Ascend device.", "NAME", group="Device")] = (
        "Ascend310"
    )
    calibrate: Annotated[
        Existing | None,
        doc("Dataset folder from which to compute the value ranges of int8.", group="Device"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        row = TARGETS.get(self.target)
        if row is None:
            raise CompileError(
                f"target {self.target!r} is not known; choose one of: {', '.join(TARGETS)}"
            )
        require_setting(
            bool(self.batches) and min(self.batches) >= 1,
            f"batches must be at least 1, not {self.batches}",
        )
        precision = self.precision or row.precisions[0]
        if precision not in row.precisions:
            raise CompileError(
                f"target {row.name} has no precision {precision!r}: {', '.join(row.precisions)}"
                + (f"; {row.note}" if row.note else "")
            )
        if precision == "int8" and self.calibrate is None:
            raise CompileError("int8 learns its ranges from a dataset folder: --calibrate DATASET")
        force_setattr(self, "batches", tuple(sorted(set(self.batches))))
        force_setattr(self, "precision", precision)


class DeployRequest(CompileRequest, frozen=True, kw_only=True):
    """Request to deploy checkpoints, or one bundle, which is changed in place without `out`.

    The value ranges of int8 are taken from `dataset` without `calibrate`.
    """

    sources: tuple[Existing, ...]
    out: Annotated[
        Path | None,
        doc("Bundle to write. [default for a bundle: change it in place]", group="Output"),
    ] = None
    dataset: Annotated[
        Existing | None, doc("Verify on this dataset. [default: synthetic features]", group="Input")
    ] = None
    subset: Annotated[
        str | None, doc("Subset of --dataset and --evaluate, or all.", "NAME", group="Input")
    ] = "validation"
    preset: Annotated[
        BmnPreset | None,
        doc(
            "Published code of a BMN, needed only if its checkpoint does not tell it.",
            group="Input",
        ),
    ] = None
    length: Annotated[
        int | None,
        Bounds(2),
        doc(
            "Temporal scale T of a checkpoint's TEM, or of a BMN without its mask. [default: 100]",
            group="Input",
        ),
    ] = None
    threads: Annotated[Positive, doc("Number of threads.", group="Speed")] = 2
    script_only: Annotated[
        bool, doc("Write a script that compiles, instead of compiling here.", group="Device")
    ] = False
    overwrite: Annotated[bool, doc("Replace an existing bundle or run.", group="Output")] = False

    def __post_init__(self) -> None:
        force_setattr(self, "calibrate", self.calibrate or self.dataset)
        super().__post_init__()

    @property
    def backend(self) -> str:
        """Runtime that opens the compiled files."""
        return TARGETS[self.target].backends[self.precision]


class StageRequest(Config, frozen=True):
    """Request to start a stage with the inputs of the network that sees features."""

    model: Annotated[ExistingBundle, doc("Bundle: a folder, an archive, a URL or hf://OWNER/NAME.")]
    dataset: Annotated[Existing, doc("A dataset folder.")]
    out: Annotated[Path, doc("Stage folder to write.")]
    subset: Annotated[
        str | None,
        doc(
            "Process only the videos of this subset: training, validation, ... [default: all]",
            "NAME",
        ),
    ] = None
    on_error: Annotated[OnError, doc("Stop at problems, or skip what cannot be used.")] = "fail"
    overwrite: Annotated[bool, doc("Replace an existing stage and its dumps.")] = False


class RunRequest(Config, frozen=True):
    """Request to run a network over its inputs in a stage."""

    stage: Existing
    model: Annotated[ExistingBundle, doc("The bundle that the stage was made with.")]
    net: Annotated[StagedNet, doc("Network to use.")]
    backend: Annotated[str, doc("Inference runtime; see actspan backends.", "NAME")] = "auto"
    batch: Annotated[Positive, doc("Inputs per call.")] = BATCH
    threads: Annotated[Positive | None, doc("Calls at the same time. [default: all cores]")] = None
    out: Annotated[
        Path | None,
        doc("Folder for the dumps. [default: NET-output/ in the stage]"),
    ] = None
    overwrite: Annotated[bool, doc("Replace existing dumps.")] = False
