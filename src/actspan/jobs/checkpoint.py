"""Checkpoint of a job: its plan and the shards that are done, each complete or absent."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import msgspec

from actspan.config.base import NOT_JSON
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ActSpanError, ResultError
from actspan.core.folders import repair_folder
from actspan.core.problems import Problem
from actspan.core.storage import FolderStorage, Storage, open_storage
from actspan.core.wording import counted
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.run import PLAN_FILE
from actspan.jobs.shard_format import Content, Result, decode_shard, is_window, write_shard

_FORMAT = 1
_SHARD, _FILE = re.compile(r"(\d{6,})\.shard"), "{:06d}.shard"
_IN_MEMORY = 1 << 21  # candidates of a shard that stay in memory until they are delivered

# Size in bytes and time of change in ns of a file; None if there is no file.
FileStamp = tuple[int, int] | None
# Everything that a result depends on, by kind: names and their checksums or values.
Inputs = Mapping[str, Mapping[str, str]]


class OtherResultError(ResultError):
    """A complete result file that is resumed, and differs from what the job computes."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Plan of a job, which determines the result to the last bit.

    Attributes
    ----------
    inputs : mapping of str to mapping of str to str
        Everything that the result depends on, by kind ("bundle", "dataset", "settings",
        "versions"); each is a mapping of names to checksums or values.
    keeps : "run" or "result"
        Content of shards: everything that was computed, or proposals alone.
    videos : tuple of str
        Ids, in the order of the result, `shard_size` per shard.
    stamps, seconds, spec, problems, notes
        What the check of the source found; `stamps` are those of each video's file.
    """

    inputs: dict[str, dict[str, str]] = msgspec.field(name="made_from")
    keeps: Content
    videos: tuple[str, ...]
    shard_size: int
    stamps: tuple[FileStamp, ...] = ()
    seconds: tuple[float, ...] = ()
    spec: FeatureSpec = FeatureSpec()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = msgspec.field(default=(), name="assumptions")
    format: int = _FORMAT

    @cached_property
    def shards(self) -> list[tuple[str, ...]]:
        """Ids of the videos of each shard, in order."""
        videos, size = self.videos, self.shard_size
        return [videos[first : first + size] for first in range(0, len(videos), size)]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 stored in every shard; equal for plans whose shards can be mixed."""
        return digest([digest([self.inputs, self.keeps, self.videos]), self.shard_size])

    def differences(self, inputs: Inputs) -> list[str]:
        """List the differences from the current inputs in words, as `differences` does."""
        return differences(self.inputs, inputs)

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Plan:
        """Decode a plan file: a line with the SHA-256 of the rest, then JSON.

        Raises ResultError, which names `where`, for damaged data or another format version.
        """
        checksum, _, text = data.removesuffix(b"\n").partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != checksum:
            raise ResultError(f"{where}: damaged; start the run again: --force")
        try:
            stored_format: int = msgspec.json.decode(text)["format"]
            if stored_format == _FORMAT:
                plan = msgspec.json.decode(text, type=cls)
                if plan.shard_size >= 1:
                    return plan
                raise TypeError("shards of no videos")
        except (*NOT_JSON, KeyError, TypeError) as error:
            raise ResultError(f"{where}: not a plan: {error}; start again: --force") from error
        raise ResultError(
            f"{where}: format {stored_format}, this version reads {_FORMAT}; "
            "start the run again: --force"
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Plan and committed shards of a job; without a storage nothing is saved."""

    storage: Storage | None
    plan: Plan

    @classmethod
    def start(cls, storage: Storage | None, plan: Plan) -> Self:
        """Write the plan of a new job, in place of any older one."""
        if storage is not None:
            if storage.names():
                remove_shards(storage)
            text = msgspec.json.encode(plan)
            with storage.create(PLAN_FILE) as file:
                file.write(b"%s\n%s\n" % (hashlib.sha256(text).hexdigest().encode(), text))
        return cls(storage, plan)

    @classmethod
    def find(cls, storage: Storage) -> Self | None:
        """Return the unfinished job in a storage, or None; raise ResultError for a damaged plan."""
        if not storage.contains(PLAN_FILE):
            return None
        with storage.get(PLAN_FILE) as stream:
            return cls(storage, Plan.from_bytes(stream.read(), where=storage.name + PLAN_FILE))

    @property
    def name(self) -> str:
        """Location for messages."""
        return "" if self.storage is None else self.storage.name

    def committed(self) -> set[int]:
        """Return the numbers of finished shards, without reading them."""
        names = set() if self.storage is None else self.storage.names()
        matches = (_SHARD.fullmatch(name) for name in names)
        return {
            n for n in (int(match[1]) for match in matches if match) if n < len(self.plan.shards)
        }

    def commit(self, number: int, results: Iterable[Result]) -> Iterable[Result]:
        """Compute a shard to its end, save it durably and atomically, and return its results.

        Results are returned from memory; those of very long recordings are read back. A shard that
        is already saved is not written again, because it would have the same bytes. Raises
        ActSpanError if the shard cannot be written; no part of it is left.
        """
        if self.storage is None:
            return results
        name = _FILE.format(number)
        if self.storage.contains(name):
            deque(results, maxlen=0)  # the computation needs its results to be consumed
            return self.read(number)
        kept: list[Result] = []
        size, plan = 0, self.plan
        with self.storage.create(name) as file:
            for result in write_shard(file, plan.fingerprint, number, plan.keeps, results):
                if isinstance(result, Problem) and result.is_error:
                    while kept and is_window(kept[-1]):  # of the recording that failed
                        kept.pop()
                size += 1 if isinstance(result, Problem) else len(result.candidates)
                if size <= _IN_MEMORY:
                    kept.append(result)
                else:
                    kept.clear()
        return kept if size <= _IN_MEMORY else self.read(number)

    def read(self, number: int) -> Iterator[Result]:
        """Yield the results of a shard, in order; raise ShardError if it is damaged."""
        assert self.storage is not None
        name, plan = _FILE.format(number), self.plan
        with self.storage.get(name) as stream:
            where = self.storage.name + name
            yield from decode_shard(
                plan.fingerprint, number, stream, ids=plan.shards[number], where=where
            )

    def remove(self, number: int) -> None:
        """Remove a shard, so that it is computed again."""
        assert self.storage is not None
        self.storage.delete(_FILE.format(number))

    def note_saved_shards(self, error: BaseException, *, new: bool) -> None:
        """Add a note to an exception that says which shards are saved and how to resume.

        A new job without any shard is discarded, as is one that gives another result.
        """
        plan = self.plan
        with suppress(ActSpanError):
            done = self.committed()
            if self.storage is None:
                return
            if (new and not done) or isinstance(error, OtherResultError):
                remove_shards(self.storage)
            else:
                videos = sum(len(plan.shards[number]) for number in done)
                error.add_note(
                    f"saved: {len(done)} of {counted(len(plan.shards), 'shard')} ({videos:,} of "
                    f"{counted(len(plan.videos), 'video')}) are in {self.name}; the same "
                    "command with --resume completes it"
                )


def differences(before: Inputs, now: Inputs) -> list[str]:
    """List in words how the inputs of a job differ from those of now.

    New entries, such as another compiled file in the bundle, do not count.
    """
    return [
        f"{kind}: {name} was {_short(was)}, is {_short(now.get(kind, {}).get(name))}"
        for kind, values in before.items()
        for name, was in values.items()
        if now.get(kind, {}).get(name) != was
    ]


@contextmanager
def locked_storage(request: ProposeRequest) -> Iterator[Storage | None]:
    """Open and lock the storage of a job's shards, and the folder where results are assembled.

    Yields None if the request saves nothing. Raises DataError if another process works on the run.
    """
    if request.out is None:
        yield None
        return
    home = FolderStorage(request.partial)
    storage = home if request.shards is None else open_storage(request.shards)
    with home.locked():
        if request.writes_run:
            repair_folder(request.out.resolve())
        try:
            with storage.locked():
                yield storage
        finally:
            home.remove_if_empty()


def remove_shards(storage: Storage) -> None:
    """Remove a job, the plan first, so that no incomplete one is found after an interruption."""
    for name in sorted(storage.names(), key=lambda name: name != PLAN_FILE):
        if name == PLAN_FILE or _SHARD.fullmatch(name):
            storage.delete(name)


def digest(value: Sequence[Any]) -> str:
    """Return the SHA-256 of a value that can be encoded as JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return f"{value[:12]}..." if len(value) == 64 else value
