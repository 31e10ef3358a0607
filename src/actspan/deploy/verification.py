"""Verification of a bundle's variants on the same videos as its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actspan.core.errors import ActSpanError
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.wording import counted
from actspan.deploy.reference import (
    Agreement,
    CheckpointSession,
    Difference,
    SampleVideos,
    compare_outputs,
    compare_proposals,
    dataset_videos,
    position_slack,
    synthetic_videos,
)
from actspan.deploy.variants import Variant, find_variants, limits_of
from actspan.evaluation.recall import evaluate_recall
from actspan.model.bundle import Bundle
from actspan.model.nets import NETS, Net
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import StageClock
from actspan.runtime.opening import check_backend, with_onnx
from actspan.runtime.session import Session

# Rows whose outputs are compared: videos or windows of TEM and BMN, proposals of PEM.
_ROWS: Mapping[Net, int] = {"tem": 512, "pem": 1_000_000, "bmn": 64}

Recall = Mapping[str, float]  # `AR@1` ... `AR@100`, `AUC`, percent


@dataclass(frozen=True, slots=True)
class VariantResult:
    """Result of one variant."""

    variant: Variant
    outputs: Mapping[Net, Difference]  # empty if the variant did not run
    agreement: Agreement | None = None
    recall: Recall | None = None  # None without ground truth
    broken: tuple[str, ...] = ()  # limits that the variant exceeds
    problem: str = ""  # why the variant did not run; empty if it ran

    @property
    def status(self) -> Literal["ok", "broken", "not run"]:
        """Status for tables."""
        return "not run" if self.problem else "broken" if self.broken else "ok"

    @property
    def failures(self) -> list[str]:
        """Reasons why the status is not "ok"."""
        return [*self.broken, *filter(None, [self.problem])]


@dataclass(frozen=True, slots=True)
class Verification:
    """Results of a bundle's variants, compared with its checkpoint."""

    bundle: Bundle
    material: str  # name of the test videos
    videos: int
    proposals: int  # of the checkpoint, in all videos
    recall: Recall | None  # of the checkpoint; None without ground truth
    results: tuple[VariantResult, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()  # skipped videos of the dataset

    @property
    def ran(self) -> bool:
        """True if at least one variant ran."""
        return any(result.status != "not run" for result in self.results)

    @property
    def passed(self) -> bool:
        """True if every variant ran and kept its limits."""
        return all(result.status == "ok" for result in self.results)


def verify_bundle(
    bundle: Bundle | Path | str,
    *,
    dataset: Path | None = None,
    subset: str | None = None,
    backends: Sequence[str] | None = None,
    threads: int = 2,
    progress: Progress = no_progress,
) -> Verification:
    """Compare every variant of a bundle with its checkpoint.

    The checkpoint's weights are computed in double precision; every variant then gets the same
    inputs (outputs are compared) and takes the same videos to proposals (segments, ranks and
    recall are compared).

    Parameters
    ----------
    bundle : Bundle or path
        A bundle; missing plain ONNX files are exported first.
    dataset : path, optional
        A dataset folder; by default synthetic features, without recall.
    subset : str, optional
        Subset of the dataset; all videos by default.
    backends : sequence of str, optional
        By default all that this project verifies, and those with compiled files. A requested
        backend that cannot run counts as a failure.
    threads : int
        Workers of the pipeline.

    Raises
    ------
    BundleError, DataError, BackendError
        The bundle, the dataset, or the name of a backend is invalid.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    nets = [net for net in NETS if net in bundle.nets]
    bundle = with_onnx(bundle)
    variants = find_variants(bundle, backends)
    videos = dataset_videos(dataset, subset, bundle) if dataset else _synthetic(bundle)
    steps = len(variants) + 1
    progress("checkpoint", 0, steps)
    sessions = {net: CheckpointSession(bundle, net, remember=_ROWS[net]) for net in nets}
    proposals, clock, slack = _propose(bundle, videos, sessions, threads)
    recall = _recall(videos, proposals)
    checkpoint = _Checkpoint(bundle, videos, threads, sessions, proposals, recall, slack)
    results, notes = [], list(videos.notes)
    if videos.truth:  # Synthetic features may give flat scores.
        notes += clock.warnings(bundle.config.mode)
    for number, variant in enumerate(variants, start=1):
        progress(variant.name, number, steps)
        problem = check_backend(variant.backend).problem
        if problem and variant.backend not in (backends or ()):
            notes.append(f"{variant.name} left out: {problem}")
        else:
            results.append(checkpoint.compare(variant))
    progress("done", steps, steps)
    for result in results:
        if result.agreement is not None and result.agreement.ties:
            notes.append(
                f"{result.variant.name}: in {counted(len(result.agreement.ties), 'video')} two "
                "proposals of equal score changed places; the ranks after them, and the recall of "
                "these videos, are not compared"
            )
    return Verification(
        bundle=bundle,
        material=videos.name,
        videos=videos.count,
        proposals=sum(map(len, proposals.values())),
        recall=recall,
        results=tuple(results),
        notes=tuple(notes),
        problems=videos.problems,
    )


def _synthetic(bundle: Bundle) -> SampleVideos:
    # BMN takes a second per video in double precision.
    return synthetic_videos(bundle, videos=32 if bundle.config.bmn is None else 8)


def _propose(
    bundle: Bundle, videos: SampleVideos, sessions: Mapping[Net, Session], threads: int
) -> tuple[dict[str, Proposals], StageClock, dict[str, float]]:
    """Return the proposals of the videos, the time of the stages, and the slack of segments."""
    proposals, slack = {}, {}
    with Pipeline(sessions, bundle.config, threads=threads, edge=videos.edge) as pipeline:
        for outcome in pipeline.run(videos.jobs()):
            if outcome.proposals is not None:
                proposals[outcome.id] = outcome.proposals
                slack[outcome.id] = position_slack(outcome, bundle.config)
    return proposals, pipeline.clock, slack


def _recall(videos: SampleVideos, proposals: Mapping[str, Proposals]) -> Recall | None:
    if not videos.truth:
        return None
    return evaluate_recall(videos.truth, proposals, subset=None).summary()


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """Reference results of the checkpoint, with which variants are compared."""

    bundle: Bundle
    videos: SampleVideos
    threads: int
    sessions: Mapping[Net, CheckpointSession]  # with their recorded calls
    proposals: Mapping[str, Proposals]
    recall: Recall | None
    slack: Mapping[str, float]  # of the same segments, seconds

    def compare(self, variant: Variant) -> VariantResult:
        """Run a variant and compare it; errors become part of the result."""
        try:
            with ExitStack() as stack:
                sessions: dict[Net, Session] = {}
                for net in self.sessions:
                    session = variant.open(self.bundle, net, streams=self.threads)
                    sessions[net] = stack.enter_context(session)
                outputs = {
                    net: compare_outputs(self.sessions[net].calls, session)
                    for net, session in sessions.items()
                }
                proposals, *_ = _propose(self.bundle, self.videos, sessions, self.threads)
        except ActSpanError as error:
            return VariantResult(variant, {}, problem=str(error))
        agreement = compare_proposals(self.proposals, proposals, self.slack)
        recall = settled = _recall(self.videos, proposals)
        if agreement.ties:  # Either order is correct.
            same = {name: self.proposals[name] for name in agreement.ties}
            settled = _recall(self.videos, proposals | same)
        broken = tuple(self._broken(variant, outputs, agreement, settled))
        return VariantResult(variant, outputs, agreement, recall, broken)

    def _broken(
        self,
        variant: Variant,
        outputs: Mapping[Net, Difference],
        agreement: Agreement,
        recall: Recall | None,
    ) -> Iterator[str]:
        limits = limits_of(variant.precision, outputs)
        yield from limits.broken(
            {net: d.max for net, d in outputs.items()}, agreement.settled, agreement.kept
        )
        for name, value in (recall or {}).items():
            change = value - (self.recall or {})[name]
            judged = limits.all_recall or name in ("AR@100", "AUC")
            if judged and abs(change) > limits.recall:
                yield f"{name} changes by {change:+.3f} points, at most {limits.recall:g}"
