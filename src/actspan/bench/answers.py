"""Comparison of the answers of a benchmark with those of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from actspan.bench.result import Accuracy
from actspan.core.types import Proposals
from actspan.data.rescale import Edge
from actspan.deploy.verify.differences import compare_outputs, compare_proposals
from actspan.deploy.verify.limits import LIMITS
from actspan.deploy.verify.reference import Call, CheckpointSession
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Job
from actspan.runtime.session import Session

__all__ = ["Checkpoint"]

_ROWS: Mapping[Net, int] = {"tem": 512, "pem": 100_000}  # outputs that are compared one by one


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Outputs of a model's weights on a few videos, computed in double precision.

    Attributes
    ----------
    calls : mapping of net to sequence of Call
    proposals : mapping of video id to Proposals
        Seconds, best first.
    """

    calls: Mapping[Net, Sequence[Call]]
    proposals: Mapping[str, Proposals]

    @classmethod
    def ask(cls, bundle: Bundle, jobs: Sequence[Job], *, edge: Edge, threads: int) -> Self:
        """Compute the outputs of the weights for these videos."""
        sessions = {net: CheckpointSession(bundle, net, remember=_ROWS[net]) for net in NETS}
        pipeline = Pipeline(
            sessions["tem"], sessions["pem"], bundle.config, threads=threads, edge=edge
        )
        with pipeline:
            outcomes = pipeline.run(jobs)
            found = {o.id: o.proposals for o in outcomes if o.proposals is not None}
        return cls({net: session.calls for net, session in sessions.items()}, found)

    def compare_networks(self, sessions: Mapping[Net, Session]) -> dict[str, float]:
        """Return the largest difference of each network's outputs from the checkpoint's."""
        return {
            net: compare_outputs(self.calls[net], session).max for net, session in sessions.items()
        }

    def judge(
        self,
        outputs: Mapping[str, float],
        proposals: Mapping[str, Proposals],
        precision: str,
        recall: Mapping[str, float] | None,
    ) -> dict[str, Accuracy]:
        """Compare outputs and proposals with the limits of a precision.

        Parameters
        ----------
        outputs : mapping of net to float
            Largest differences, from `compare_networks`.
        proposals : mapping of video id to Proposals
            Measured proposals of at least the checkpoint's videos, seconds, best first.
        precision : str
            A key of `actspan.deploy.verify.LIMITS`.
        recall : mapping of str to float, optional
            Recall over all measured videos, percent.

        Returns
        -------
        dict of str to Accuracy
            Accuracy by `tem`, `pem` and `bsn`.
        """
        limits, of = LIMITS[precision], f"{len(self.proposals)} videos"
        found = compare_proposals(self.proposals, proposals)
        judged: dict[str, Accuracy] = {
            net: Accuracy(
                max_difference=difference,
                of=of,
                broken=tuple(limits.broken({net: difference}, same=1.0)),
            )
            for net, difference in outputs.items()
        }
        judged["bsn"] = Accuracy(
            recall=recall,
            max_difference=max(outputs.values()),
            same=found.same,
            of=of,
            broken=tuple(limits.broken(outputs, found.settled)),
        )
        return judged
