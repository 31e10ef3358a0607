"""Exceptions of ActSpan, in one tree. Messages say what is wrong, where, and what to do."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from actspan.core.limits import MESSAGE
from actspan.core.wording import counted

if TYPE_CHECKING:
    from actspan.core.problems import Problem


class ActSpanError(Exception):
    """Base of all errors of ActSpan."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message, MESSAGE))


class ConfigError(ActSpanError):
    """A setting that is unknown, of the wrong type or out of range."""


class ChangedTrainingError(ConfigError):
    """An unfinished training that was started with other settings or data than those of now."""


class ShapeError(ActSpanError, ValueError):
    """Arrays of the wrong shape, type or content."""


class UnitError(ShapeError):
    """Proposals in another unit than a function needs; the message names both and the remedy."""


class DataError(ActSpanError):
    """A file of the user that is missing, damaged or inconsistent."""


class AnnotationError(DataError):
    """Annotations that cannot be read."""


class FeatureError(DataError):
    """Snippet features that cannot be read."""


class StoreError(DataError):
    """A store of packed features that is damaged, does not fit, or cannot be created."""


class VideoError(DataError):
    """A video that cannot be found or decoded; `remedy` says what to do about its file."""

    def __init__(
        self, message: str, remedy: str = "copy it again from its source, or remove it"
    ) -> None:
        super().__init__(message)
        self.remedy = remedy


class ResultError(DataError):
    """Proposals, boundary scores or a run that cannot be read or written."""


class ChangedInputsError(ResultError):
    """An unfinished run that was started with other inputs than those of now."""


class ShardError(ResultError):
    """A shard of an unfinished run that is damaged, or belongs to another run."""


class StageError(DataError):
    """A stage (files exchanged with a device's runner) that is incomplete or does not fit."""


class BenchError(DataError):
    """A log or result of a benchmark that cannot be read, or a timed command that fails."""


class DatasetError(DataError):
    """A dataset with problems, which are listed in `problems`."""

    def __init__(self, problems: Sequence[Problem], remedy: str) -> None:
        self.problems = tuple(problems)
        self.remedy = remedy
        kinds = by_kind(self.problems)
        lines = [f"{counted(len(self.problems), 'problem')} found. {remedy}"]
        for kind in kinds[:20]:
            more = f" and {len(kind) - 1:,} more" if len(kind) > 1 else ""
            what, how = common_text(p.problem for p in kind), common_text(p.remedy for p in kind)
            lines.append(f"  {kind[0].video or '-'}{more}: {what} ({kind[0].file}): {how}")
        if len(kinds) > 20:
            lines.append(f"  ... and {len(kinds) - 20} more kinds of problem")
        super().__init__("\n".join(lines))


def by_kind(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Group problems by kind: those of one kind differ only in names and numbers."""
    kinds: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    return list(kinds.values())


def common_text(texts: Iterable[str]) -> str:
    """Return the text if all are the same, else the first as an example."""
    first, *others = dict.fromkeys(texts)
    return f"{first}, for example" if others else first


class ModelError(ActSpanError):
    """A model on disk that cannot be used."""


class BundleError(ModelError):
    """A bundle that is damaged, incomplete or does not fit the task."""


class HubError(ModelError):
    """A repository on a hub that cannot be reached or used."""


class CheckpointError(ModelError):
    """A checkpoint without a network of BSN or BMN, of another preset, or not safe to open."""


class ExportError(ModelError):
    """An ONNX graph that cannot be read or rewritten."""


class ParityError(ModelError):
    """An exported or rewritten graph whose outputs are wrong."""


class CompileError(ModelError):
    """A vendor's compiler that is missing, or fails."""


class BackendError(ActSpanError):
    """An inference runtime that is missing, or refuses the model."""


class ClusterError(ActSpanError):
    """A cluster that cannot be reached, has too few resources, or lost its workers."""


class MissingExtraError(ActSpanError, ImportError):
    """An optional dependency that is not installed; the message says how to install it."""


def shortened(text: str, limit: int) -> str:
    """Return a long text as its start and its end, which has the remedy."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters) ... {text[-half:]}"


def require_installed(module: str, *, extra: str, purpose: str) -> None:
    """Raise like `require` without an optional module, which is not imported."""
    if importlib.util.find_spec(module) is None:
        raise _missing(module, extra, purpose)


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module; raise MissingExtraError, which names its extra, without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module, extra, purpose) from error


def _missing(module: str, extra: str, purpose: str) -> MissingExtraError:
    from actspan.core.installation import install_command  # slow to import

    package = module.partition(".")[0]
    return MissingExtraError(
        f"{purpose} needs {package}, which is not installed: {install_command(extra)}"
    )
