"""Plans of runs, fixed before the start: videos in order, cut into shards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from actspan.config.stages import FeatureSpec
from actspan.core.errors import ResultError
from actspan.core.problems import Problem
from actspan.data.decoding import NOT_JSON

PLAN_FILE = "plan.json"
_FORMAT = 1
# Videos per shard. A shard takes some tenths of a second, but one recording may last a day.
SHARD_SIZES: Mapping[Literal["rescale", "window"], int] = {"rescale": 256, "window": 8}

Stamp = tuple[int, int] | None  # (bytes, time of change in ns) of a file; None if there is no file


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Plan of a run, which determines the answer to the last bit.

    Attributes
    ----------
    made_from : mapping of str to mapping of str to str
        Everything that the answer depends on, by kind ("bundle", "dataset", "settings",
        "versions"); each is a mapping of names to checksums or values.
    keeps : "run" or "result"
        Content of shards: everything that was computed, or proposals alone.
    videos : tuple of str
        Ids, in the order of the answer.
    shard_size : int
        Videos per shard; the last may have fewer. The answer does not depend on it.
    stamps : tuple of Stamp
        Stamps of each video's features at the start of the run.
    seconds : tuple of float
        Seconds of each video, if the run starts from boundary scores.
    spec : FeatureSpec
        Description of the features, from the check.
    problems : tuple of Problem
        Problems of videos that the check left out, and notes.
    notes : tuple of str
    """

    made_from: dict[str, dict[str, str]]
    keeps: Literal["run", "result"]
    videos: tuple[str, ...]
    shard_size: int
    stamps: tuple[Stamp, ...] = ()
    seconds: tuple[float, ...] = ()
    spec: FeatureSpec = FeatureSpec()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = msgspec.field(default=(), name="assumptions")
    format: int = _FORMAT

    def __len__(self) -> int:
        """Return the number of shards."""
        return -(-len(self.videos) // self.shard_size)

    def ids(self, number: int) -> tuple[str, ...]:
        """Return the videos of a shard, in order."""
        if not 0 <= number < len(self):
            raise IndexError(f"shard {number} of {len(self)}")
        return self.videos[number * self.shard_size :][: self.shard_size]

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that the answer depends on; equal for plans with the same answer."""
        return _digest([self.made_from, self.keeps, self.videos])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 stored in every shard; equal for plans whose shards can be mixed."""
        return _digest([self.identity, self.shard_size])

    def differences(self, made_from: Mapping[str, Mapping[str, str]]) -> list[str]:
        """List the differences from the current inputs in words.

        New entries, such as another compiled file in the bundle, do not count.
        """
        return [
            f"{kind}: {name} was {_short(was)}, is {_short(made_from.get(kind, {}).get(name))}"
            for kind, values in self.made_from.items()
            for name, was in values.items()
            if made_from.get(kind, {}).get(name) != was
        ]

    def to_bytes(self) -> bytes:
        """Encode the plan as JSON, after a checksum."""
        text = msgspec.json.encode(self)
        return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Plan:
        """Decode the result of `to_bytes`.

        Raises
        ------
        ResultError
            The data are damaged, or have another format version; names `where`.
        """
        checksum, _, text = data.removesuffix(b"\n").partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != checksum:
            raise ResultError(f"{where}: damaged; start the run again: --force")
        try:
            found: int = msgspec.json.decode(text)["format"]
            if found == _FORMAT:
                plan = msgspec.json.decode(text, type=cls)
                if plan.shard_size >= 1:
                    return plan
                raise TypeError("shards of no videos")
        except (*NOT_JSON, KeyError, TypeError) as error:
            raise ResultError(f"{where}: not a plan: {error}; start again: --force") from error
        raise ResultError(
            f"{where}: format {found}, this version reads {_FORMAT}; start the run again: --force"
        )


def origin_of(made_from: Mapping[str, Mapping[str, str]], keeps: str) -> str:
    """Return the SHA-256 of all inputs, without files that are derived from the weights."""
    bundle = made_from["bundle"].items()
    weights = {k: v for k, v in bundle if k == "settings" or k.endswith(".safetensors")}
    return _digest([{**made_from, "bundle": weights}, keeps])


def _digest(value: Sequence[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return f"{value[:12]}..." if len(value) == 64 else value
