"""Review of proposals: a queue by rank or by doubt, and what people decided about each."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from actspan.server.browsed_run import BrowsedRun
from actspan.server.corrections import (
    Corrected,
    Corrections,
    Instance,
    Revision,
    Seconds,
    VideoId,
    check_ends,
    corrected_video,
)
from actspan.server.database import Database
from actspan.server.error_responses import ProblemError, RequestBody, failures
from actspan.server.library import Library
from actspan.server.review_order import ProposalTable, distance_from_doubt

Decision = Literal["accepted", "rejected", "edited"]
State = Literal["open", "accepted", "rejected", "edited"]
STATES: tuple[State, ...] = ("open", "accepted", "rejected", "edited")
_RECENT = 4  # runs whose proposals stay sorted in memory


class ReviewItem(BaseModel):
    """Proposal to review, seconds. `segment` is what is in the corrections because of it."""

    video: str
    rank: int = Field(description="Rank among the proposals of its video, from 0.")
    start: float
    end: float
    score: float
    label: str
    state: State
    segment: Instance | None


class ReviewPage(BaseModel):
    """Part of the queue, and the number of proposals in each state."""

    total: int = Field(description="Proposals in the requested state, on all pages.")
    counts: dict[State, int]
    items: list[ReviewItem]


class NewReview(RequestBody):
    """Decision about a proposal, which changes the corrections of its video.

    `accepted` adds the proposal as it is, with the label of `segment` if that is given; `edited`
    adds `segment`; `rejected` adds nothing; `open` takes a decision back. What an earlier decision
    added is removed. If a video has no corrections yet, they start from its ground truth.
    """

    start: Seconds
    end: Seconds
    state: State
    segment: Instance | None = None
    revision: Revision


class Reviewed(BaseModel):
    """Proposal after a decision, and the corrections of its video."""

    item: ReviewItem
    corrections: Corrected


class ReviewQuery(BaseModel):
    """Order and part of the queue."""

    run: int = Field(0, ge=0, le=99)
    order: Literal["rank", "doubt"] = Field(
        "rank",
        description="By score; or by the distance of the score from the middle between what was "
        "accepted and what was rejected, the least certain first.",
    )
    state: State | None = Field("open", description="Only proposals in this state.")
    id: str | None = Field(None, max_length=1000, description="Only proposals of this video.")
    top: int = Field(20, ge=1, le=1000, description="Only the best proposals of each video.")
    offset: int = Field(0, ge=0, le=2**31)
    limit: int = Field(100, ge=1, le=500)


class _Decided(NamedTuple):
    """Stored decision about a proposal."""

    video: str
    start: float
    end: float
    state: Decision
    segment: Instance | None


class Reviews:
    """Decisions about the proposals of all runs, in the database."""

    def __init__(self, database: Database, library: Library, corrections: Corrections) -> None:
        self._database, self._library, self._corrections = database, library, corrections
        self._table = lru_cache(_RECENT)(ProposalTable.read)

    def _decided(self, run: BrowsedRun, video: str | None = None) -> list[_Decided]:
        rows = self._database.rows(
            "SELECT video, start, end, state, segment FROM reviews "
            "WHERE run = ? AND video = coalesce(?, video)",
            *(_key(run), video),
        )
        return [
            _Decided(video, start, end, state, _instance(segment))
            for video, start, end, state, segment in rows
        ]

    def page(self, query: ReviewQuery) -> ReviewPage:
        """Return a part of the queue."""
        run = self._library.run(query.run)
        table = self._table(run)
        numbers = {name: number for number, name in enumerate(table.videos)}
        shown = table.rank < query.top
        if query.id is not None:
            self._library.video(query.id)
            number = numbers.get(query.id)
            own = np.zeros(len(shown), bool)
            if number is not None:
                own[table.first[number] : table.first[number + 1]] = True
            shown &= own
        states = np.zeros(len(shown), np.int8)  # index in STATES
        segments: dict[int, Instance | None] = {}
        for decided in self._decided(run, query.id):
            if decided.video in numbers:
                index = table.find(numbers[decided.video], decided.start, decided.end)
                if index is not None:
                    states[index] = STATES.index(decided.state)
                    segments[index] = decided.segment
        counts = np.bincount(states[shown], minlength=len(STATES)).tolist()
        if query.state is not None:
            shown &= states == STATES.index(query.state)
        chosen = np.flatnonzero(shown)
        by = (
            table.score
            if query.order == "rank"
            else -distance_from_doubt(
                table.score, states == STATES.index("open"), states == STATES.index("rejected")
            )
        )
        ordered = chosen[np.argsort(-by[chosen], kind="stable")]
        part = ordered[query.offset : query.offset + query.limit].tolist()
        return ReviewPage(
            total=len(ordered),
            counts=dict(zip(STATES, counts, strict=True)),
            items=[self._item(run, table, i, STATES[states[i]], segments.get(i)) for i in part],
        )

    def _item(
        self,
        run: BrowsedRun,
        table: ProposalTable,
        index: int,
        state: State,
        segment: Instance | None,
    ) -> ReviewItem:
        number = int(np.searchsorted(table.first, index, side="right")) - 1
        rank = index - int(table.first[number])
        labels = run.proposals(table.videos[number]).labels
        return ReviewItem(
            video=table.videos[number],
            rank=rank,
            start=float(table.start[index]),
            end=float(table.end[index]),
            score=float(table.score[index]),
            label="" if labels is None else labels[rank],
            state=state,
            segment=segment,
        )

    def unfinished(self, top: int) -> set[str]:
        """Return the videos of which some of the best proposals of a run are decided, not all."""
        found = set()
        for run in self._library.runs:
            decided = self._decided(run)
            for video in {one.video for one in decided}.intersection(run.result):
                best = run.proposals(video).proposals[:top]
                edges = {(one.start, one.end) for one in decided if one.video == video}
                if not edges.issuperset(zip(best.start.tolist(), best.end.tolist(), strict=True)):
                    found.add(video)
        return found

    def decide(self, run: BrowsedRun, video: str, new: NewReview) -> Reviewed:
        """Store a decision and change the corrections with it, both or neither.

        Raises ProblemError if there is no such proposal (404), `edited` has no segment or one that
        ends after the video (422), or the corrections were changed by someone else (409).
        """
        table = self._table(run)
        number = table.videos.index(video) if video in table.videos else None
        index = None if number is None else table.find(number, new.start, new.end)
        if index is None:
            what = f"no proposal [{new.start:g}, {new.end:g}] s of video {video!r}"
            raise ProblemError(404, f"{run.name}: {what}; load the queue again")
        item = self._item(run, table, index, "open", None)
        added = _added(item, new)
        if new.state == "edited" and added is not None:
            check_ends(self._library, video, [added])
        key = (_key(run), video, new.start, new.end)
        with self._database.transaction() as connection:
            before = next((d for d in self._decided(run, video) if d[1:3] == key[2:]), None)
            removed = None if before is None else before.segment
            corrected = self._change(connection, video, new.revision, removed, added)
            connection.execute(
                "DELETE FROM reviews WHERE run = ? AND video = ? AND start = ? AND end = ?", key
            )
            if new.state != "open":
                changed = datetime.now(UTC).isoformat(timespec="seconds")
                connection.execute(
                    "INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*key, new.state, _as_json(added), changed),
                )
        if corrected.segments is not None:
            instances = corrected.segments
            self._library.correct({video: corrected_video(self._library, video, instances)})
        item = item.model_copy(update={"state": new.state, "segment": added})
        return Reviewed(item=item, corrections=corrected)

    def _change(
        self,
        connection: sqlite3.Connection,
        video: str,
        revision: int,
        removed: Instance | None,
        added: Instance | None,
    ) -> Corrected:
        """Remove and add a segment of the corrections, if there is anything to change."""
        now = self._corrections.get(video)
        segments = now.segments
        if segments is None:
            segments = Instance.of_truth(self._library.video(video))
        changed = list(segments)
        if removed in changed and removed != added:
            changed.remove(removed)
        if added is not None and added not in changed:
            changed.append(added)
        if changed == segments:
            self._corrections.check_revision(video, revision)
            return now
        return self._corrections.replace(connection, video, changed, revision=revision)


def _added(item: ReviewItem, new: NewReview) -> Instance | None:
    """Return the segment that a decision adds to the corrections."""
    if new.state == "edited":
        if new.segment is None:
            raise ProblemError(422, "state 'edited' needs the segment that replaces the proposal")
        return new.segment
    if new.state != "accepted":
        return None
    label = item.label if new.segment is None else new.segment.label
    if item.start >= item.end:
        raise ProblemError(422, "the proposal has no length; edit it instead of accepting it")
    return Instance(start=item.start, end=item.end, label=label)


def _key(run: BrowsedRun) -> str:
    """Return the name under which the decisions about a run are stored."""
    return str(run.path.resolve())


def _as_json(segment: Instance | None) -> str | None:
    return None if segment is None else json.dumps([segment.start, segment.end, segment.label])


def _instance(text: str | None) -> Instance | None:
    if text is None:
        return None
    start, end, label = json.loads(text)
    return Instance(start=start, end=end, label=label)


def add_review_routes(routes: APIRouter, library: Library, reviews: Reviews) -> None:
    """Add the routes of the queue."""

    @routes.get("/review", responses=failures(404, 422))
    def queue(query: Annotated[ReviewQuery, Query()]) -> ReviewPage:
        """Return proposals to review, in the order in which to review them."""
        return reviews.page(query)

    @routes.put("/review", responses=failures(404, 409, 422, 507))
    def decide(
        name: VideoId, new: NewReview, run: Annotated[int, Query(ge=0, le=99)] = 0
    ) -> Reviewed:
        """Accept, reject or edit a proposal, or take that back; the corrections follow."""
        library.video(name)
        return reviews.decide(library.run(run), name, new)
