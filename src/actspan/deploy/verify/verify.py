"""Verification of a bundle's variants on the same videos as its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actspan.core.errors import ActSpanError
from actspan.core.problems import Problem
from actspan.core.types import Proposals
from actspan.core.wording import counted
from actspan.deploy.verify.differences import (
    Agreement,
    Difference,
    compare_outputs,
    compare_proposals,
)
from actspan.deploy.verify.limits import LIMITS
from actspan.deploy.verify.material import Material, made_up, of_dataset
from actspan.deploy.verify.reference import Call, CheckpointSession
from actspan.deploy.verify.variants import Variant, find_variants, nets_of
from actspan.evaluation.recall import evaluate_recall
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import StageClock
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import check_backend
from actspan.runtime.session import Session

__all__ = ["VariantResult", "Verification", "verify_bundle"]

TEM_ROWS = 512  # videos (or windows) whose outputs are compared
PEM_ROWS = 1_000_000  # proposals

Report = Callable[[str, int, int], None]  # (stage, variants done, total variants)


@dataclass(frozen=True, slots=True)
class VariantResult:
    """Result of one variant.

    Attributes
    ----------
    variant : Variant
    outputs : mapping of net to Difference
        Empty if the variant did not run.
    agreement : Agreement, optional
    recall : mapping of str to float, optional
        `AR@1` ... `AR@100`, `AUC`, percent; None without ground truth.
    broken : tuple of str
        Limits that the variant exceeds.
    problem : str
        Why the variant did not run; empty if it ran.
    """

    variant: Variant
    outputs: Mapping[Net, Difference]
    agreement: Agreement | None = None
    recall: Mapping[str, float] | None = None
    broken: tuple[str, ...] = ()
    problem: str = ""

    @property
    def status(self) -> Literal["ok", "broken", "not run"]:
        """Status for tables."""
        return "not run" if self.problem else "broken" if self.broken else "ok"


@dataclass(frozen=True, slots=True)
class Verification:
    """Results of a bundle's variants, compared with its checkpoint.

    Attributes
    ----------
    bundle : Bundle
    material : str
        Name of the test videos.
    videos : int
    proposals : int
        Number of the checkpoint's proposals, in all videos.
    recall : mapping of str to float, optional
        Recall of the checkpoint, percent; None without ground truth.
    results : tuple of VariantResult
    notes : tuple of str
    problems : tuple of Problem
        Skipped videos of the dataset, with reasons.
    """

    bundle: Bundle
    material: str
    videos: int
    proposals: int
    recall: Mapping[str, float] | None
    results: tuple[VariantResult, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def ran(self) -> bool:
        """True if at least one variant ran."""
        return any(result.status != "not run" for result in self.results)

    @property
    def holds(self) -> bool:
        """True if every variant ran and kept its limits."""
        return all(result.status == "ok" for result in self.results)


def verify_bundle(
    bundle: Bundle | Path | str,
    *,
    dataset: Path | None = None,
    subset: str | None = None,
    backends: Iterable[str] | None = None,
    threads: int = 2,
    report: Report | None = None,
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
    backends : iterable of str, optional
        By default all that this project verifies, and those with compiled files. A requested
        backend that cannot run counts as a failure.
    threads : int
        Workers of the pipeline.

    Raises
    ------
    BundleError, DataError, BackendError
        The bundle, the dataset, or the name of a backend is invalid.

    Examples
    --------
    >>> verify_bundle("bsn/", backends=["onnxruntime"]).holds  # doctest: +SKIP
    True
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    if any(f"{net}.onnx" not in bundle.files for net in nets_of(bundle)):
        bundle, _ = export_bundle(bundle)
    variants = find_variants(bundle, backends)
    named = set(backends or ())
    material = of_dataset(dataset, subset, bundle) if dataset else made_up(bundle)
    job = _Job(bundle, material, threads)
    tell = report or (lambda *_: None)
    tell("checkpoint", 0, len(variants) + 1)
    job.run_checkpoint()
    results, skipped = [], []
    for number, variant in enumerate(variants, start=1):
        tell(variant.name, number, len(variants) + 1)
        problem = check_backend(variant.backend).problem
        if problem and variant.backend not in named:
            skipped.append(f"{variant.name} left out: {problem}")
            continue
        results.append(job.find_conflict(variant))
    tell("done", len(variants) + 1, len(variants) + 1)
    return Verification(
        bundle=bundle,
        material=material.name,
        videos=material.videos,
        proposals=sum(map(len, job.proposals.values())),
        recall=job.recall,
        results=tuple(results),
        notes=(*material.notes, *job.warnings, *skipped, *_tie_notes(results)),
        problems=material.problems,
    )


def _tie_notes(results: Iterable[VariantResult]) -> Iterator[str]:
    for result in results:
        if result.agreement is not None and result.agreement.ties:
            yield (
                f"{result.variant.name}: in {counted(len(result.agreement.ties), 'video')} two "
                "proposals of equal score changed places; the ranks after them, and the recall of "
                "these videos, are not judged"
            )


class _Job:
    """Reference results of the checkpoint, and the comparison of variants with them."""

    def __init__(self, bundle: Bundle, material: Material, threads: int) -> None:
        self._bundle, self._material, self._threads = bundle, material, threads
        self._calls: dict[Net, list[Call]] = {}
        self.proposals: dict[str, Proposals] = {}
        self.recall: Mapping[str, float] | None = None
        self.warnings: tuple[str, ...] = ()

    def run_checkpoint(self) -> None:
        """Compute the reference results of the checkpoint."""
        rows: dict[Net, int] = {"tem": TEM_ROWS, "pem": PEM_ROWS}
        sessions = {
            net: CheckpointSession(self._bundle, net, remember=rows[net])
            for net in nets_of(self._bundle)
        }
        self.proposals, clock = self._propose(dict(sessions))
        if self._material.truth:  # Synthetic features may give flat scores.
            self.warnings = clock.warnings(self._bundle.config.mode)
        self.recall = self._recall(self.proposals)
        self._calls = {net: session.calls for net, session in sessions.items()}

    def find_conflict(self, variant: Variant) -> VariantResult:
        """Run a variant and compare it; errors become part of the result."""
        try:
            with ExitStack() as stack:
                sessions: dict[Net, Session] = {
                    net: stack.enter_context(variant.open(self._bundle, net, streams=self._threads))
                    for net in nets_of(self._bundle)
                }
                outputs = {
                    net: compare_outputs(self._calls[net], session)
                    for net, session in sessions.items()
                }
                proposals, _ = self._propose(sessions)
        except ActSpanError as error:
            return VariantResult(variant, {}, problem=str(error))
        agreement = compare_proposals(self.proposals, proposals)
        recall = self._recall(proposals)
        settled = recall
        if agreement.ties:  # Either order is correct.
            same = {name: self.proposals[name] for name in agreement.ties}
            settled = self._recall(proposals | same)
        broken = tuple(self._broken(variant, outputs, agreement, settled))
        return VariantResult(variant, outputs, agreement, recall, broken)

    def _propose(self, sessions: Mapping[Net, Session]) -> tuple[dict[str, Proposals], StageClock]:
        pipeline = Pipeline(
            sessions.get("tem"),
            sessions.get("pem"),
            self._bundle.config,
            threads=self._threads,
            edge=self._material.edge,
        )
        with pipeline:
            outcomes = pipeline.run(self._material.jobs())
            found = {o.id: o.proposals for o in outcomes if o.proposals is not None}
        return found, pipeline.clock

    def _recall(self, proposals: Mapping[str, Proposals]) -> Mapping[str, float] | None:
        if not self._material.truth:
            return None
        return evaluate_recall(self._material.truth, proposals, subset=None).summary()

    def _broken(
        self,
        variant: Variant,
        outputs: Mapping[Net, Difference],
        agreement: Agreement,
        recall: Mapping[str, float] | None,
    ) -> Iterable[str]:
        limits = LIMITS[variant.precision]
        yield from limits.broken({net: d.max for net, d in outputs.items()}, agreement.settled)
        for name, value in (recall or {}).items():
            change = value - (self.recall or {})[name]
            judged = limits.all_recall or name in ("AR@100", "AUC")
            if judged and abs(change) > limits.recall:
                yield f"{name} changes by {change:+.3f} points, at most {limits.recall:g}"
