"""Stages on disk: folders, and `stage.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from msgspec.structs import replace

from actspan import __version__
from actspan.config.base import Config, dump_toml, from_dict, read_toml, to_dict
from actspan.config.stages import PipelineConfig
from actspan.core.errors import BundleError, ConfigError, StageError
from actspan.core.files import folder_kind
from actspan.deploy.staged.table import TABLE, Table
from actspan.model.bundle import Bundle

STAGE_FILE = "stage.toml"
STAGED_NETS: tuple[StagedNet, ...] = ("tem", "pem")

StagedNet = Literal["tem", "pem"]
Step = Literal["tem", "tem-result", "pem"]

_BEFORE: dict[Step, Step] = {"tem-result": "tem", "pem": "tem-result"}
_COMMAND: dict[Step, str] = {
    "tem": "tem-inputs",
    "tem-result": "tem-outputs",
    "pem": "pem-inputs",
}


class ModelRecord(Config, frozen=True):
    """Identity of the model."""

    path: str
    tem: str  # SHA-256 of the weights
    pem: str


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
    """A stage, read from its folder.

    Examples
    --------
    >>> stage = Stage.load("stage/")  # doctest: +SKIP
    >>> stage.shape("tem"), len(stage.table("tem").items)  # doctest: +SKIP
    ((400, 100), 120)
    """

    path: Path
    info: StageInfo

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Open a stage.

        Raises
        ------
        StageError
            The folder is not a stage, has another format version, or `stage.toml` is damaged.
        """
        path = Path(path)
        file = path / STAGE_FILE
        if not file.is_file():
            raise StageError(
                f"{path}{folder_kind(path)}: not a stage (no {STAGE_FILE}); make one: "
                "actspan staged tem-inputs"
            )
        try:
            info = from_dict(StageInfo, read_toml(file), where=str(file))
        except ConfigError as error:
            raise StageError(f"{error}; make the stage again") from error
        if info.format_version != 1:
            raise StageError(f"{file}: format version {info.format_version} is not known")
        if info.pipeline.tem is None:
            raise StageError(f"{file}: damaged: there is no [pipeline.tem]; make the stage again")
        return cls(path, info)

    @property
    def config(self) -> PipelineConfig:
        """Settings of the model."""
        return self.info.pipeline

    def shape(self, net: StagedNet) -> tuple[int, int]:
        """Return height and width of a network's inputs: (C, T) of TEM, (candidates, 32) of PEM."""
        if net == "pem":
            return self.config.pgm.keep, self.config.bsp.size
        assert self.config.tem is not None
        return self.config.tem.channels, self.config.tem.length

    def values(self, net: StagedNet) -> int:
        """Return the float32 values per output: 3 x T of TEM, one per candidate of PEM."""
        height, width = self.shape(net)
        return height if net == "pem" else 3 * width

    def inputs(self, net: StagedNet) -> Path:
        """Return the folder of a network's inputs."""
        return self.path / net / "input"

    def outputs(self, net: StagedNet) -> Path:
        """Return the default folder of a network's dumps."""
        return self.path / f"{net}-output"

    def table(self, step: Step) -> Table:
        """Read the table of a step, and check that it is up to date with earlier steps.

        Raises
        ------
        StageError
            The step is not done yet or must be repeated, or its table is damaged.
        """
        file = self.path / step / TABLE
        command = f"actspan staged {_COMMAND[step]}"
        if not file.is_file():
            raise StageError(f"{self.path}: there is no {step}/{TABLE} yet: {command} makes it")
        table = Table.read(file)
        before = _BEFORE.get(step)
        if before is not None and self.table(before).sha256 != table.made_from:
            raise StageError(
                f"{self.path / step}: stale: made from another {before}/ than the one that is "
                f"there now; make it again: {command} {self.path}"
            )
        return table

    def check_model(self, bundle: Bundle) -> None:
        """Check that the model is the one that the stage was made with.

        Raises
        ------
        StageError
            The weights differ.
        """
        if record_model(bundle) != replace(self.info.model, path=str(bundle.path)):
            raise StageError(
                f"{bundle.path}: its weights are not those that {self.path} was made with "
                f"({self.info.model.path}); give that model, or make the stage again"
            )


def record_model(bundle: Bundle) -> ModelRecord:
    """Return the record of a model for a stage.

    Raises
    ------
    BundleError
        The bundle lacks one of the two networks.
    """
    for net, there in (("tem", bundle.has_tem), ("pem", bundle.has_pem)):
        if not there:
            raise BundleError(
                f"{bundle.path}: holds no {net.upper()}; the staged path needs both networks: "
                "actspan convert tem.pth.tar pem.pth.tar --out BUNDLE"
            )
    checksums = {net: bundle.files[f"{net}.safetensors"].sha256 for net in STAGED_NETS}
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
    (folder / STAGE_FILE).write_text(dump_toml(to_dict(info)), encoding="utf-8")
