"""What a run shall compute, settled before it starts: videos in order, cut into shards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from actspan.config import FeatureSpec
from actspan.data.decoding import NOT_JSON
from actspan.data.problems import Problem
from actspan.errors import ResultError

PLAN_FILE = "plan.json"
_FORMAT = 1
# videos a shard: some tenths of a second of work each. A recording in windows may last a day
SHARD_SIZES: Mapping[Literal["rescale", "window"], int] = {"rescale": 256, "window": 8}

Stamp = tuple[int, int] | None  # (bytes, modified in ns) of a file; None where there is none


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a run shall compute; it fixes the answer to the last bit.

    Attributes
    ----------
    made_from : mapping of str to mapping of str to str
        What the answer hangs on, by kind ("bundle", "dataset", "settings", "versions"), each a
        mapping of names to checksums or values.
    keeps : "run" or "result"
        Whether shards hold everything that was computed, or proposals alone.
    videos : tuple of str
        Ids, in the order of the answer.
    shard_size : int
        Videos a shard; the last has fewer. The answer does not depend on it.
    stamps : tuple of Stamp
        Of each video's features as the run started.
    seconds : tuple of float
        Of each video, where a run starts from boundary scores.
    spec : FeatureSpec
        What features are, as it was settled by the check.
    problems : tuple of Problem
        What the check left out, and notes.
    assumptions : tuple of str
    """

    made_from: dict[str, dict[str, str]]
    keeps: Literal["run", "result"]
    videos: tuple[str, ...]
    shard_size: int
    stamps: tuple[Stamp, ...] = ()
    seconds: tuple[float, ...] = ()
    spec: FeatureSpec = FeatureSpec()
    problems: tuple[Problem, ...] = ()
    assumptions: tuple[str, ...] = ()
    format: int = _FORMAT

    def __len__(self) -> int:
        """How many shards there are."""
        return -(-len(self.videos) // self.shard_size)

    def ids(self, number: int) -> tuple[str, ...]:
        """The videos of a shard, in order."""
        if not 0 <= number < len(self):
            raise IndexError(f"shard {number} of {len(self)}")
        return self.videos[number * self.shard_size :][: self.shard_size]

    @cached_property
    def identity(self) -> str:
        """SHA-256 of what the answer hangs on: equal for plans that must give the same answer."""
        return _digest([self.made_from, self.keeps, self.videos])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 that every shard carries: equal for plans whose shards can be mixed."""
        return _digest([self.identity, self.shard_size])

    def differences(self, made_from: Mapping[str, Mapping[str, str]]) -> list[str]:
        """What differs from what a run would be made from now, in words; empty if nothing does.

        What is new there (a compiled file beside those of the bundle) does not count.
        """
        return [
            f"{kind}: {name} was {_short(was)}, is {_short(made_from.get(kind, {}).get(name))}"
            for kind, values in self.made_from.items()
            for name, was in values.items()
            if made_from.get(kind, {}).get(name) != was
        ]

    def to_bytes(self) -> bytes:
        """As JSON, with a checksum before it."""
        text = msgspec.json.encode(self)
        return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Plan:
        """Read what `to_bytes` gave.

        Raises
        ------
        ResultError
            It is damaged, or of another version of the format; names `where`.
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
    """SHA-256 of what an answer is made from; files that follow from weights do not count."""
    bundle = made_from["bundle"].items()
    weights = {k: v for k, v in bundle if k == "settings" or k.endswith(".safetensors")}
    return _digest([{**made_from, "bundle": weights}, keeps])


def _digest(value: Sequence[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return f"{value[:12]}..." if len(value) == 64 else value
