"""Sides of a comparison: each is a result or the logs of one system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actspan.bench.logs.base import Log
from actspan.bench.logs.forms import is_log, read_log
from actspan.bench.result import Stage
from actspan.core.errors import BenchError
from actspan.core.files import folder_kind, similar_path
from actspan.jobs.run import RUN_FILE

__all__ = ["Key", "Side", "key_of", "read_sides"]

_SUFFIXES = (".txt", ".log", ".json", ".csv", ".out")

Key = tuple[str, str, int | None]  # name, scope and batch of a stage


def key_of(stage: Stage) -> Key:
    """Return the key that two comparable stages share."""
    return stage.name, stage.scope, stage.batch


@dataclass(frozen=True, slots=True)
class Side:
    """The logs of one system.

    Attributes
    ----------
    name : str
    logs : tuple of Log
        Logs, of which no two measure the same stage.
    left_out : tuple of Path
        Files of a folder that are not logs.
    """

    name: str
    logs: tuple[Log, ...]
    left_out: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        first: dict[Key, Log] = {}
        for log in self.logs:
            for stage in log.stages:
                other = first.setdefault(key_of(stage), log)
                if other is not log:
                    raise BenchError(
                        f"{log.path} and {other.path} both measure {stage.name}, batch "
                        f"{stage.batch or 'unknown'}: compare them as two, NAME=FILE each"
                    )

    @property
    def stages(self) -> dict[Key, Stage]:
        """All measured stages by their keys."""
        return {key_of(stage): stage for log in self.logs for stage in log.stages}


def read_sides(sources: Sequence[str]) -> tuple[Side, ...]:
    """Read sides from `PATH` or `NAME=PATH`; paths with the same NAME make one side.

    A folder is a side of all logs in it and below it; other files are left out.

    Raises
    ------
    BenchError
        A file cannot be read, a folder holds no logs, or a side measures something twice.
    """
    named: dict[str, list[Path]] = {}
    for name, path in _labelled(sources):
        named.setdefault(name, []).append(path)
    return tuple(_read_side(name, paths) for name, paths in named.items())


def _labelled(sources: Sequence[str]) -> Iterator[tuple[str, Path]]:
    plain = [Path(source) for source in sources]
    for source, path in zip(sources, plain, strict=True):
        name, mark, rest = source.partition("=")
        if mark and name and not path.exists():
            yield name, Path(rest)
        else:
            yield _short_name(path, plain), path


def _short_name(path: Path, among: Iterable[Path]) -> str:
    """Return a file's stem or a folder's name, with parents where needed to make it unique."""
    whole = _parts(path)
    others = {_parts(other) for other in among} - {whole}
    for count in range(1, len(whole)):
        if all(other[-count:] != whole[-count:] for other in others):
            return "/".join(whole[-count:])
    return str(path)


def _parts(path: Path) -> tuple[str, ...]:
    whole = path.resolve()
    return whole.parts if whole.is_dir() else whole.with_suffix("").parts


def _read_side(name: str, paths: Iterable[Path]) -> Side:
    logs, left_out = [], []
    for path in paths:
        if not path.exists():
            raise BenchError(f"{path}: does not exist{similar_path(path)}")
        if not path.is_dir():
            logs.append(read_log(path))
            continue
        files = sorted(f for f in path.rglob("*") if f.suffix in _SUFFIXES and f.is_file())
        found = [file for file in files if is_log(file)]
        if not found and (path / RUN_FILE).exists():
            raise BenchError(f"{path} (a run): runs are compared by actspan report A B --out FILE")
        if not found:
            raise BenchError(
                f"{path}{folder_kind(path)}: no log of a known tool in this folder or below"
            )
        logs += [read_log(file) for file in found]
        left_out += [file for file in files if file not in found]
    return Side(name, tuple(logs), tuple(left_out))
