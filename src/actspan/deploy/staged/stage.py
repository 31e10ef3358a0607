"""Stages on disk: `stage.toml`, folders, and the table of each folder's inputs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

import msgspec

from actspan import __version__
from actspan.config.base import NOT_JSON, Config, dump_toml, from_dict, read_toml
from actspan.config.stages import PipelineConfig
from actspan.core.errors import BundleError, ConfigError, StageError
from actspan.core.files import folder_kind, folder_name_error, read_bytes
from actspan.core.folders import is_free
from actspan.core.limits import DOCUMENT
from actspan.data.cells import Window
from actspan.deploy.deploy_requests import StagedNet
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, Net, input_shape, nets_of, output_shapes

STAGE_FILE = "stage.toml"
TABLE = "inputs.jsonl"  # one line per input of a folder
LONGEST_NAME = 230  # bytes; file systems allow 255, including suffixes

Step = Literal["tem", "tem-result", "pem", "bmn"]

# The step before, and the command that makes a step's folder.
_STEPS: dict[Step, tuple[Step | None, str]] = {
    "tem": (None, "tem-inputs"),
    "tem-result": ("tem", "tem-outputs"),
    "pem": ("tem-result", "pem-inputs"),
    "bmn": (None, "bmn-inputs"),
}


class Item(Config, frozen=True):
    """One input of a network: a video, or a window of a recording."""

    video: str
    seconds: float  # seconds at position 1.0
    rows: int  # cells in the input of TEM or BMN, or candidates in PEM's, without padding
    crc32: int  # CRC-32 of the file that the next step reads
    since: float  # time of the last change of the network's input, seconds since 1970
    window: Window | None = None  # window of the recording; None for a whole video

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return input_name(self.video, self.window)

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
    """The first line of a table."""

    format: int
    made_from: str  # SHA-256 of the table of the step before; empty for the first step


@dataclass(frozen=True, slots=True)
class Table:
    """The content of a table: items in the order of the dataset, and SHA-256 checksums.

    `made_from` is the checksum of the table of the step before, `sha256` that of this table.
    """

    items: tuple[Item, ...]
    made_from: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an existing table; raise StageError if it is damaged."""
        try:
            data = read_bytes(path, DOCUMENT)
            first, *lines = data.splitlines()
            head = msgspec.json.decode(first, type=_Head)
            decode = msgspec.json.Decoder(Item).decode
            items = tuple(map(decode, lines))
        except (OSError, ValueError, *NOT_JSON, ConfigError) as error:
            raise StageError(f"{path}: damaged: {error}; make this folder again") from error
        return cls(items, head.made_from, hashlib.sha256(data).hexdigest())


@contextmanager
def table_writer(folder: Path, made_from: str = "") -> Iterator[Callable[[Item], None]]:
    """Yield a function that appends an item to the table of a folder."""
    with (folder / TABLE).open("wb") as stream:

        def add(row: Item | _Head) -> None:
            stream.write(msgspec.json.encode(row) + b"\n")

        add(_Head(format=1, made_from=made_from))
        yield add


class ModelRecord(Config, frozen=True):
    """Identity of the model: SHA-256 of the weights of each network that it has."""

    path: str
    tem: str | None = None
    pem: str | None = None
    bmn: str | None = None


class DatasetRecord(Config, frozen=True):
    """Identity of the dataset."""

    path: str
    videos: int
    subset: str | None = None


class StageInfo(Config, frozen=True):
    """Content of `stage.toml`."""

    format_version: int
    tool: str
    created: str
    model: ModelRecord
    dataset: DatasetRecord
    pipeline: PipelineConfig


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, read from its folder."""

    path: Path
    info: StageInfo

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Open a stage; raise StageError if the folder is none, or `stage.toml` is damaged."""
        path = Path(path)
        file = path / STAGE_FILE
        if not file.is_file():
            raise StageError(
                f"{path}{folder_kind(path)}: not a stage (no {STAGE_FILE}); make one: "
                "actspan staged tem-inputs or bmn-inputs"
            )
        try:
            info = from_dict(StageInfo, read_toml(file), where=str(file))
        except ConfigError as error:
            raise StageError(f"{error}; make the stage again") from error
        if info.format_version != 1:
            raise StageError(f"{file}: format version {info.format_version} is not known")
        if info.pipeline.video_network is None:
            raise StageError(
                f"{file}: damaged: there is no [pipeline.tem] or [pipeline.bmn]; make the stage "
                "again"
            )
        return cls(path, info)

    @property
    def config(self) -> PipelineConfig:
        """Settings of the model."""
        return self.info.pipeline

    @property
    def nets(self) -> frozenset[Net]:
        """Networks of the model's kind."""
        return nets_of(self.config)

    def shape(self, net: StagedNet) -> tuple[int, int]:
        """Return height and width of a network's inputs: (C, T), or (candidates, 32) of PEM."""
        *height, width = input_shape(self.config, net)
        return (height[0] if height else self.config.pgm.keep), width

    def output_sizes(self, net: Net) -> list[int]:
        """Return the number of float32 values of each output of a network for one input."""
        rows = 1 if FORMS[net].sees_video else self.config.pgm.keep
        return [rows * math.prod(shape) for shape in output_shapes(self.config, net).values()]

    def input_file(self, net: StagedNet, item: Item) -> Path:
        """Return the path of an input of a network."""
        return self.path / net / "input" / f"{item.name}.bin"

    def outputs(self, net: StagedNet) -> Path:
        """Return the default folder of a network's dumps."""
        return self.path / f"{net}-output"

    def table(self, step: Step) -> Table:
        """Read the table of a step.

        Raise StageError if it is not done yet, damaged, or older than the step before, or if the
        model has no such network.
        """
        net = step.partition("-")[0]
        if net not in self.nets:
            nets = " and ".join(name.upper() for name in sorted(self.nets, reverse=True))
            raise StageError(f"{self.path}: a stage of {nets} has no steps of {net.upper()}")
        file = self.path / step / TABLE
        before, name = _STEPS[step]
        command = f"actspan staged {name}"
        if not file.is_file():
            raise StageError(f"{self.path}: there is no {step}/{TABLE} yet: {command} makes it")
        table = Table.read(file)
        if before is not None and self.table(before).sha256 != table.made_from:
            raise StageError(
                f"{self.path / step}: stale: made from another {before}/ than the one that is "
                f"there now; make it again: {command} {self.path}"
            )
        return table

    def check_model(self, bundle: Bundle) -> None:
        """Raise StageError if the weights are not those that the stage was made with."""
        if record_model(bundle) != msgspec.structs.replace(self.info.model, path=str(bundle.path)):
            raise StageError(
                f"{bundle.path}: its weights are not those that {self.path} was made with "
                f"({self.info.model.path}); give that model, or make the stage again"
            )


def check_new_stage(path: Path, *, overwrite: bool) -> None:
    """Raise StageError if no stage can be written to a path."""
    if fault := folder_name_error(path, "a stage"):
        raise StageError(fault)
    if is_free(path):
        return
    if not (path / STAGE_FILE).is_file():
        raise StageError(f"{path}: already exists and is not a stage: choose another folder")
    if not overwrite:
        raise StageError(
            f"{path}: a stage already exists: choose another folder, or replace it and the "
            "dumps in it: --force"
        )


def record_model(bundle: Bundle) -> ModelRecord:
    """Return the record of a model for a stage; raise BundleError if it lacks a network."""
    needed = sorted(nets_of(bundle.config), reverse=True)  # TEM before PEM
    for net in needed:
        if net not in bundle.nets:
            what = "both networks" if len(needed) > 1 else "it"
            files = " ".join(f"{name}.pth.tar" for name in needed)
            raise BundleError(
                f"{bundle.path}: contains no {net.upper()}; the staged path needs {what}: "
                f"actspan convert {files} --out BUNDLE"
            )
    checksums = {net: bundle.files[f"{net}.safetensors"].sha256 for net in needed}
    return ModelRecord(path=str(bundle.path), **checksums)


def write_stage_file(folder: Path, bundle: Bundle, dataset: DatasetRecord) -> None:
    """Write `stage.toml`."""
    info = StageInfo(
        format_version=1,
        tool=f"actspan {__version__}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=record_model(bundle),
        dataset=dataset,
        pipeline=bundle.config,
    )
    (folder / STAGE_FILE).write_bytes(dump_toml(info).encode())
