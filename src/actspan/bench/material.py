"""Material of `actspan bench`: a model and videos, given or synthetic, and the expected output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from actspan.bench import synthetic
from actspan.bench.records import CHANNELS, LENGTH, WHOLE, Accuracy, BenchRequest, Stage
from actspan.core.errors import BackendError, BundleError
from actspan.core.progress import Progress
from actspan.core.segments import Proposals
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.deploy.reference import (
    CheckpointSession,
    compare_outputs,
    compare_proposals,
    position_slack,
)
from actspan.deploy.variants import Variant, find_variants, limits_of
from actspan.jobs.feature_source import inputs_from_features
from actspan.model.bundle import Bundle
from actspan.model.nets import NETS, Net, nets_of
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import VideoInput
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import choose_backend, find_backend
from actspan.runtime.session import Session

VIDEOS = 128  # number of synthetic videos
_DISTINCT = 600  # further synthetic videos share files with these
_WINDOWS = 5  # duration of a synthetic recording, in windows
_CHECKED = 16  # videos whose output is compared with the checkpoint's
_CHECKED_ROWS: Mapping[Net, int] = {
    "tem": 512,
    "pem": 100_000,
    "bmn": 32,
}  # outputs compared one by one


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """A model and videos, ready to run."""

    bundle: Bundle
    variant: Variant  # backend, graph and precision
    sessions: dict[Net, Session]
    pipeline: Pipeline  # with these sessions
    dataset: Dataset  # checked
    inputs: tuple[VideoInput, ...]  # one per video
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Output of the checkpoint in double precision on the first videos."""

    differences: Mapping[str, float]  # largest difference of each session's outputs from it
    proposals: Mapping[str, Proposals]
    slack: Mapping[str, float]  # of the same segments, seconds

    @classmethod
    def of(cls, material: Material, streams: int) -> Reference:
        """Compute the output, and compare that of the material's sessions."""
        exact = {
            net: CheckpointSession(material.bundle, net, remember=_CHECKED_ROWS[net])
            for net in material.sessions
        }
        config, edge = material.bundle.config, material.dataset.edge
        with Pipeline(exact, config, threads=streams, edge=edge) as pipeline:
            outcomes = pipeline.run(material.inputs[:_CHECKED])
            last = [o for o in outcomes if o.proposals is not None]  # few videos
        proposals = {o.id: o.proposals for o in last if o.proposals is not None}
        slack = {o.id: position_slack(o, config) for o in last}
        differences: dict[str, float] = {
            net: compare_outputs(exact[net].calls, session).max
            for net, session in material.sessions.items()
        }
        return cls(differences, proposals, slack)

    def accuracy(
        self, proposals: Mapping[str, Proposals], precision: str, recall: Mapping[str, float] | None
    ) -> dict[str, Accuracy]:
        """Compare networks and proposals with the limits of a precision.

        `recall` is that of `proposals`.
        """
        limits, of = limits_of(precision, self.differences), f"{len(self.proposals)} videos"
        comparison = compare_proposals(self.proposals, proposals, self.slack)
        accuracy: dict[str, Accuracy] = {
            net: Accuracy(
                max_difference=difference,
                of=of,
                broken=tuple(limits.broken({net: difference})),
            )
            for net, difference in self.differences.items()
        }
        whole = Accuracy(
            recall=recall,
            max_difference=max(self.differences.values()),
            same=comparison.same,
            of=of,
            broken=tuple(limits.broken(self.differences, comparison.settled, comparison.kept)),
        )
        return accuracy | dict.fromkeys(WHOLE, whole)


def with_accuracy(stage: Stage, batch: int, accuracy: Mapping[str, Accuracy]) -> Stage:
    """Add the accuracy of its outputs to a network, or of the proposals to the whole."""
    scope = "end-to-end" if stage.name in WHOLE else "interface"
    if stage.name not in accuracy or (stage.scope, stage.batch) != (scope, batch):
        return stage
    return msgspec.structs.replace(stage, accuracy=accuracy[stage.name])


@contextmanager
def open_material(request: BenchRequest, folder: Path, progress: Progress) -> Iterator[Material]:
    """Make missing material in `folder`, check the rest, and open the networks.

    Raises
    ------
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit.
    """
    bundle = _bundle(request, folder)
    variant = _variant(bundle, request)
    has_onnx = all(f"{net}.onnx" in bundle.files for net in bundle.nets)
    if find_backend(variant.backend)[0].suffix == ".onnx" and not has_onnx:
        bundle, _ = export_bundle(bundle, check_torch=False)
    dataset, videos_name = _dataset(request, bundle, folder)
    dataset, inputs = inputs_from_features(dataset, bundle, request.on_error, progress)
    with ExitStack() as stack:
        sessions: dict[Net, Session] = {}
        for net in sorted(bundle.nets, key=NETS.index):
            session = variant.open(bundle, net, threads=request.threads, streams=request.streams)
            sessions[net] = stack.enter_context(session)
        pipeline = Pipeline(
            sessions,
            bundle.config,
            threads=request.streams,
            edge=dataset.edge,
        )
        stack.enter_context(pipeline)
        name = f"{_model_name(request)}; {counted(len(dataset), 'video')} of {videos_name}"
        yield Material(bundle, variant, sessions, pipeline, dataset, tuple(inputs), name)


def _bundle(request: BenchRequest, folder: Path) -> Bundle:
    if request.model is None:
        path = folder / "synthetic"
        return synthetic.make_bundle(path, channels=request.channels, length=request.length)
    bundle = Bundle.load(request.model)
    if bundle.missing_nets:
        lacking = " and no ".join(net.upper() for net in NETS if net in bundle.missing_nets)
        needed = [net.upper() for net in NETS if net in nets_of(bundle.config)]
        raise BundleError(
            f"{bundle.path}: contains no {lacking}; a benchmark runs {' and '.join(needed)}: "
            f"actspan convert {' '.join(needed)} --out BUNDLE"
        )
    return bundle


def _variant(bundle: Bundle, request: BenchRequest) -> Variant:
    backend = choose_backend(bundle, request.backend).name
    variants = find_variants(bundle, [backend])
    for variant in variants:
        if variant.graph == request.variant:
            return variant
    if (
        not request.variant and variants
    ):  # for example only compiled for a batch: the runtime chooses
        return Variant(backend, "", variants[0].precision)
    available = ", ".join(variant.graph for variant in variants if variant.graph) or "none"
    raise BackendError(
        f"{bundle.path}: no variant {request.variant!r} for {backend}; available: {available}; "
        "actspan export --passes writes more"
    )


def _dataset(request: BenchRequest, bundle: Bundle, folder: Path) -> tuple[Dataset, str]:
    """Open or make the dataset; return it with its name."""
    if request.dataset is not None:
        dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
        subset = f", {request.subset}" if request.subset else ""
        name = f"{request.dataset.resolve().name}{subset}"
        return dataset.select(dataset.videos[: request.videos]), name
    network = bundle.config.video_network
    assert network is not None
    windows = _WINDOWS if bundle.config.mode == "window" else 1
    snippets = request.snippets or windows * network.length
    adapted = synthetic.standardised_for(bundle)
    synthetic.make_dataset(
        folder / "videos",
        request.videos or VIDEOS,
        distinct=_DISTINCT,
        snippets=snippets,
        channels=network.channels,
        save=lambda file, values: np.save(file, adapted(values)),
    )
    name = f"SYNTHETIC features, {snippets} snippets x {network.channels} channels"
    return Dataset.load(folder / "videos"), name


def _model_name(request: BenchRequest) -> str:
    if request.model is not None:
        return f"model {request.model.resolve().name}"
    size = (request.channels, request.length)
    published = size == (CHANNELS, LENGTH)
    return (
        f"SYNTHETIC networks, TEM for {size[0]} channels x {size[1]} cells"
        f"{' (the published sizes)' if published else ''}"
    )
