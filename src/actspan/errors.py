"""Every exception that ActSpan raises on purpose, in one tree.

    ActSpanError
    ├── ConfigError          a setting is unknown, of the wrong type or out of range
    ├── ShapeError           arrays of the wrong shape, type or content (also a ValueError)
    ├── DataError            a file of the user's is missing, damaged or says impossible things
    │   ├── AnnotationError  ... annotations
    │   ├── FeatureError     ... snippet features
    │   ├── StoreError       ... a store of packed features; or one cannot be made
    │   ├── VideoError       ... a video
    │   ├── ResultError      ... proposals, boundary scores and runs
    │   │   └── ShardError   ... a shard of an unfinished run
    │   ├── BenchError       ... a benchmark's log or result; or a timed command fails
    │   ├── StageError       ... a stage: files exchanged with a device's own runner
    │   └── DatasetError     many problems of a dataset at once, as a table
    ├── ModelError           a model on disk
    │   ├── BundleError      ... a bundle is damaged, incomplete or does not fit the data
    │   ├── CheckpointError  ... a checkpoint that is not BSN's, or is not safe to open
    │   ├── ExportError      ... an ONNX graph cannot be read, or not be rewritten as asked
    │   ├── ParityError      ... an export does not compute what its weights compute
    │   └── CompileError     ... a vendor's compiler is absent, or fails
    ├── BackendError         an inference runtime is absent or refused the model
    ├── ClusterError         a cluster is not there, has too little, or lost its workers
    └── MissingExtraError    an optional dependency is not installed (also an ImportError)

Messages say what was wrong, where, and what to do about it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from actspan.limits import MESSAGE
from actspan.wording import counted

if TYPE_CHECKING:
    from actspan.data.problems import Problem


class ActSpanError(Exception):
    """Base of everything below: catch it to catch all of ActSpan's own errors."""

    def __init__(self, message: str) -> None:
        # a message may quote what a file holds, and a file may hold anything
        super().__init__(shortened(message, MESSAGE))


class ConfigError(ActSpanError):
    """A setting is unknown, of the wrong type or out of range."""


class ShapeError(ActSpanError, ValueError):
    """Arrays of the wrong shape, type or content were handed to a function."""


class DataError(ActSpanError):
    """A file of the user's is missing, damaged or says impossible things."""


class AnnotationError(DataError):
    """Annotations cannot be read."""


class FeatureError(DataError):
    """Snippet features cannot be read."""


class StoreError(DataError):
    """A store of packed features is damaged, does not fit, or cannot be made."""


class VideoError(DataError):
    """A video cannot be found or decoded; `remedy` says what to do about its file."""

    def __init__(
        self, message: str, remedy: str = "copy it again from where it came, or remove it"
    ) -> None:
        super().__init__(message)
        self.remedy = remedy


class ResultError(DataError):
    """Proposals, boundary scores or a run cannot be read or written."""


class ShardError(ResultError):
    """A shard of an unfinished run is damaged, or belongs to another run."""


class StageError(DataError):
    """A stage, files exchanged with a device's own runner, is incomplete or does not fit."""


class BenchError(DataError):
    """A benchmark's log or result cannot be read, or a command that is timed fails."""


class DatasetError(DataError):
    """A dataset has problems; `problems` holds every one of them."""

    def __init__(self, problems: Sequence[Problem], remedy: str) -> None:
        self.problems = tuple(problems)
        self.remedy = remedy
        kinds = alike(self.problems)
        lines = [f"{counted(len(self.problems), 'problem')} found. {remedy}"]
        for kind in kinds[:20]:
            more = f" and {len(kind) - 1:,} more" if len(kind) > 1 else ""
            what, how = one_text(p.problem for p in kind), one_text(p.remedy for p in kind)
            lines.append(f"  {kind[0].video or '-'}{more}: {what} ({kind[0].file}): {how}")
        if len(kinds) > 20:
            lines.append(f"  ... and {len(kinds) - 20} more kinds of problem")
        super().__init__("\n".join(lines))


def alike(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Return findings of one kind together: they differ in names and numbers alone."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return list(kinds.values())


def one_text(texts: Iterable[str]) -> str:
    """Return the text that all of one kind share, else the first of them as an example."""
    first, *others = dict.fromkeys(texts)
    return f"{first}, for example" if others else first


class ModelError(ActSpanError):
    """A model on disk cannot be used."""


class BundleError(ModelError):
    """A bundle is damaged, incomplete or does not fit what is asked of it."""


class CheckpointError(ModelError):
    """A checkpoint is not one of BSN's networks, or is not safe to open."""


class ExportError(ModelError):
    """An ONNX graph cannot be read, or cannot be rewritten as asked."""


class ParityError(ModelError):
    """An exported or rewritten graph does not compute what it must."""


class CompileError(ModelError):
    """A vendor's compiler is absent, or fails."""


class BackendError(ActSpanError):
    """An inference runtime is absent, or refused the model."""


class ClusterError(ActSpanError):
    """A cluster is not there, has too little room, or lost its workers."""


class MissingExtraError(ActSpanError, ImportError):
    """An optional dependency is not installed; the message says what to type."""


def shortened(text: str, limit: int) -> str:
    """Return a long text as its start and end (where the remedy is), with its length between."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters) ... {text[-half:]}"


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Raises
    ------
    MissingExtraError
        `module` is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {package}, which is not installed: pip install 'actspan[{extra}]'"
        ) from error
