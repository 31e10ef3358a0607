"""The shards of one run: each whole or absent, wherever they lie."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from actspan.data.problems import Problem
from actspan.errors import ShardError
from actspan.shards.places import Folder, Place
from actspan.shards.plan import PLAN_FILE, Plan
from actspan.shards.records import Result, decode_shard

_SHARD = re.compile(r"(\d{6,})\.shard")


def open_place(where: str | Path) -> Place:
    """A local folder, or an object store by its URL (s3://bucket/run.partial)."""
    text = str(where)
    if "://" in text and not text.startswith("file://"):
        from actspan.shards.objects import ObjectStore

        return ObjectStore(text)
    return Folder(Path(text.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is of a run.

    Attributes
    ----------
    done : frozenset of int
        Shards that are done and undamaged.
    lost : frozenset of str
        Videos in them that could not be read.
    damaged : int
        Shards that were damaged, and are to be computed again.
    """

    done: frozenset[int] = frozenset()
    lost: frozenset[str] = frozenset()
    damaged: int = 0


class ShardStore:
    """The plan of a run and those of its shards that are done.

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
        """The unfinished run that lies there, or None.

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
        """Numbers of the shards that are done; nothing is read."""
        found = (_SHARD.fullmatch(name) for name in self.place.names())
        return {n for n in (int(match[1]) for match in found if match) if n < len(self.plan)}

    def survey(self) -> Survey:
        """Read all shards that are there; damaged ones are removed, to be computed again."""
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
        """Keep a shard for good, whole: what comes from `encode_shard`, in one piece or in many.

        A shard that is there stays as it is: answering twice changes nothing.

        Raises
        ------
        ActSpanError
            It cannot be written; nothing of it is left.
        """
        if self.place.holds(_name(number)):
            deque(chunks, maxlen=0)  # whoever computes them counts on their being drawn
        else:
            self.place.put(_name(number), chunks)

    def read(self, number: int) -> Iterator[Result]:
        """What was computed of the videos of a shard, in order.

        Raises
        ------
        ShardError
            It is damaged, or of another run.
        ResultError
            It cannot be opened.
        """
        where = f"{self.place.name}{_name(number)}"
        with self.place.get(_name(number)) as stream:
            yield from decode_shard(self.plan, number, stream, where=where)

    def discard(self) -> None:
        """Remove the run."""
        clear(self.place)


def clear(place: Place) -> None:
    """Remove a run, or what is left of one: the plan first, so that no half is taken for a run."""
    for name in sorted(place.names(), key=lambda name: name != PLAN_FILE):
        if name == PLAN_FILE or _SHARD.fullmatch(name):
            place.delete(name)


def _name(number: int) -> str:
    return f"{number:06d}.shard"
