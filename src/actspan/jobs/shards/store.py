"""Shards of one run in a place, each complete or absent."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from actspan.core.errors import ShardError
from actspan.core.problems import Problem
from actspan.jobs.shards.places import Folder, Place
from actspan.jobs.shards.plan import PLAN_FILE, Plan
from actspan.jobs.shards.records import Result, decode_shard

_SHARD = re.compile(r"(\d{6,})\.shard")


def open_place(where: str | Path) -> Place:
    """Open a local folder, or an object store by its URL (s3://bucket/run.partial)."""
    text = str(where)
    if "://" in text and not text.startswith("file://"):
        from actspan.jobs.shards.objects import ObjectStore

        return ObjectStore(text)
    return Folder(Path(text.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class Survey:
    """Shards that an unfinished run has.

    Attributes
    ----------
    done : frozenset of int
        Finished shards without damage.
    lost : frozenset of str
        Videos in them that could not be read.
    damaged : int
        Number of damaged shards, which will be computed again.
    """

    done: frozenset[int] = frozenset()
    lost: frozenset[str] = frozenset()
    damaged: int = 0


class ShardStore:
    """Plan of a run, and its finished shards.

    Examples
    --------
    >>> store = ShardStore.start(Folder(Path("run.partial")), plan)  # doctest: +SKIP
    >>> store.commit(0, encode_shard(plan, 0, results))  # doctest: +SKIP
    >>> store.committed()  # doctest: +SKIP
    {0}
    """

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place, self.plan = place, plan

    @classmethod
    def start(cls, place: Place, plan: Plan) -> Self:
        """Write the plan of a new run."""
        place.put(PLAN_FILE, [plan.to_bytes()])
        return cls(place, plan)

    @classmethod
    def find(cls, place: Place) -> Self | None:
        """Return the unfinished run in a place, or None.

        Raises
        ------
        ResultError
            Its plan is damaged.
        """
        if PLAN_FILE not in place.names():
            return None
        with place.get(PLAN_FILE) as stream:
            return cls(place, Plan.from_bytes(stream.read(), where=f"{place.name}{PLAN_FILE}"))

    def committed(self) -> set[int]:
        """Return the numbers of finished shards, without reading them."""
        found = (_SHARD.fullmatch(name) for name in self.place.names())
        return {n for n in (int(match[1]) for match in found if match) if n < len(self.plan)}

    def survey(self) -> Survey:
        """Read all finished shards, and remove damaged ones so that they are computed again."""
        committed = self.committed()
        done, lost = set(), set[str]()
        for number in committed:
            try:
                lost |= {r.video for r in self.read(number) if isinstance(r, Problem)}
            except ShardError:
                self.place.delete(_name(number))
            else:
                done.add(number)
        return Survey(frozenset(done), frozenset(lost), len(committed) - len(done))

    def commit(self, number: int, chunks: Iterable[bytes]) -> None:
        """Save a shard durably and atomically, from the pieces of `encode_shard`.

        A shard that already exists is not changed.

        Raises
        ------
        ActSpanError
            The shard cannot be written; no part of it is left.
        """
        if self.place.holds(_name(number)):
            deque(chunks, maxlen=0)  # the computation needs its results to be consumed
        else:
            self.place.put(_name(number), chunks)

    def read(self, number: int) -> Iterator[Result]:
        """Yield the results of a shard, in order.

        Raises
        ------
        ShardError
            The shard is damaged, or of another run.
        ResultError
            The shard cannot be opened.
        """
        where = f"{self.place.name}{_name(number)}"
        with self.place.get(_name(number)) as stream:
            yield from decode_shard(self.plan, number, stream, where=where)

    def discard(self) -> None:
        """Remove the run."""
        clear(self.place)


def clear(place: Place) -> None:
    """Remove a run, the plan first, so that no incomplete run is found after an interruption."""
    for name in sorted(place.names(), key=lambda name: name != PLAN_FILE):
        if name == PLAN_FILE or _SHARD.fullmatch(name):
            place.delete(name)


def _name(number: int) -> str:
    return f"{number:06d}.shard"
