"""`compiled.toml` of a bundle: origin and target of each compiled file."""

from __future__ import annotations

from pathlib import Path

from actspan.config.base import Config, dump_toml, from_dict, read_toml, to_dict
from actspan.model.bundle import Bundle

__all__ = ["RECORD", "CompiledFile", "add_record", "read_records"]

RECORD = "compiled.toml"


class CompiledFile(Config, frozen=True):
    """Record of a compiled network."""

    target: str
    precision: str
    net: str
    source: str  # the ONNX file
    source_sha256: str
    input: str
    shapes: str  # of the input: one, or the smallest and largest
    compiler: str
    command: str = ""
    soc: str = ""  # only ascend
    seconds: float = 0.0


class _Records(Config, frozen=True):
    files: dict[str, CompiledFile]


def read_records(bundle: Bundle) -> dict[str, CompiledFile]:
    """Read the records of a bundle's compiled files, by name; leave out deleted files.

    Raises
    ------
    BundleError, ConfigError
        The record is damaged.
    """
    if RECORD not in bundle.files:
        return {}
    path = bundle.file(RECORD)
    records = from_dict(_Records, read_toml(path), where=str(path)).files
    return {name: record for name, record in records.items() if name in bundle.files}


def add_record(bundle: Bundle, name: str, record: CompiledFile) -> Bundle:
    """Add or replace the record of a file."""
    records = _Records(files=read_records(bundle) | {name: record})
    text = dump_toml(to_dict(records))

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return bundle.add_file(RECORD, write)
