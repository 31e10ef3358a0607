"""Inputs of `verify`: variants (every graph on every backend) with their limits, and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from actspan.config.stages import Edge, TemConfig
from actspan.core.problems import Problem, dataset_notes
from actspan.core.types import BoundaryScores, Features, Float32, Video
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.pipeline.outcomes import ScoredVideo, VideoInput
from actspan.pipeline.steps import feature_inputs
from actspan.runtime.backends import BACKENDS, Backend
from actspan.runtime.opening import find_backend, open_net
from actspan.runtime.session import Session


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a variant's difference from its checkpoint; None means no limit."""

    output: float  # largest absolute difference of a probability, TEM's or PEM's
    same: float | None  # least share of proposals with the same segment at the same rank
    recall: float  # percentage points by which AR@100 and AUC may change, up or down
    all_recall: bool = True  # apply `recall` to AR at smaller numbers of proposals, too

    def broken(self, outputs: Mapping[str, float], same: float) -> Iterator[str]:
        """Yield messages about exceeded limits, from the largest difference of each network."""
        for net, difference in outputs.items():
            if not difference <= self.output:  # NaN counts as a failure
                yield f"{net.upper()} differs by {difference:.2g}, at most {self.output:g}"
        if self.same is not None and same < self.same:
            yield f"{same:.2%} of proposals are the same, at least {self.same:.1%}"


# Full precision only changes the order of rounding. Half precision has 11 bits, bfloat16 has 8.
# An 8-bit graph differs slightly everywhere: it is judged by its proposals.
LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        "float32": Limits(output=1e-5, same=0.999, recall=0.01),
        "float16": Limits(output=1e-2, same=0.98, recall=0.05),
        "bfloat16": Limits(output=0.1, same=None, recall=0.3, all_recall=False),
        "int8": Limits(output=0.5, same=None, recall=0.3, all_recall=False),
    }
)

_ROUGHEST_FIRST = {
    "int8": ("int8", "qdq", "w8a8"),
    "bfloat16": ("bf16", "bfloat16"),
    "float16": ("fp16", "f16", "float16", "half"),
}


def precision_of(variant: str, backend: str = "float32") -> str:
    """Return the precision whose limits apply: the lower of graph variant and backend.

    The precision of a variant is in its name: `tem.fp16.onnx`, `tem.conv2d-int8.onnx`.
    """
    words = set(variant.lower().replace("-", ".").replace("_", ".").split("."))
    for precision, names in _ROUGHEST_FIRST.items():
        if backend == precision or words.intersection(names):
            return precision
    return backend if backend in LIMITS else "float32"


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a bundle."""

    backend: str  # name for `open_session`
    # Variant in the file name: "fp16" is `tem.fp16.onnx`; empty for `tem.onnx`. A network without
    # such a file runs its plain one.
    graph: str = ""
    precision: str = "float32"  # precision whose limits apply
    # Suffix of compiled files that replace ONNX: ".xml"; empty if there are none.
    compiled: str = ""

    @property
    def name(self) -> str:
        """Name for tables."""
        name = f"{self.backend}, {self.graph}" if self.graph else self.backend
        return f"{name} ({self.compiled})" if self.compiled else name

    def open(self, bundle: Bundle, net: Net, *, streams: int, threads: int = 1) -> Session:
        """Open a session of a network for this variant; errors are those of `open_net`."""
        suffix = find_backend(self.backend)[0].suffix
        has_own = bool(self.graph) and f"{net}.{self.graph}{suffix}" in bundle.files
        variant = self.graph if has_own else ""
        return open_net(
            bundle, net, backend=self.backend, variant=variant, streams=streams, threads=threads
        )


def find_variants(bundle: Bundle, backends: Iterable[str] | None = None) -> list[Variant]:
    """Find every graph of the bundle on every backend.

    Parameters
    ----------
    bundle : Bundle
        A bundle with exported ONNX files.
    backends : iterable of str, optional
        Only these, in this order. Default: those that this project verifies, and those for which
        the bundle holds compiled files.

    Raises
    ------
    BackendError
        A backend is not known.
    """
    names = _usual(bundle) if backends is None else list(backends)
    return [variant for name in names for variant in _of_backend(bundle, name)]


def _usual(bundle: Bundle) -> list[str]:
    plain = (".onnx", ".safetensors")
    compiled = [b.name for b in BACKENDS.values() if b.suffix not in plain and _graphs(bundle, b)]
    # Backends with different numerics run only if requested.
    exact = [b.name for b in BACKENDS.values() if b.verified and b.precision == "float32"]
    return [*exact, *compiled]


def _of_backend(bundle: Bundle, name: str) -> Iterator[Variant]:
    backend, _ = find_backend(name)
    for graph in _graphs(bundle, backend) or [""]:
        compiled = not graph and any(f"{net}{backend.compiled}" in bundle.files for net in NETS)
        precision = precision_of(graph, backend.precision)
        yield Variant(name, graph, precision, backend.compiled if compiled else "")


def _graphs(bundle: Bundle, backend: Backend) -> list[str]:
    """Return the variants of TEM and PEM files that the backend opens, such as "fp16"."""
    if backend.graph:
        there = any(f"{net}.{backend.graph}{backend.suffix}" in bundle.files for net in NETS)
        return [""] if there else []
    found = set()
    for name in bundle.files:
        net, _, rest = name.partition(".")
        if net in NETS and f".{rest}".endswith(backend.suffix):
            found.add(f".{rest}".removesuffix(backend.suffix).removeprefix("."))
    return sorted(found)


VIDEOS = 32  # number of synthetic videos


@dataclass(frozen=True, slots=True)
class SampleVideos:
    """Videos to run variants on."""

    name: str  # for reports
    jobs: Callable[[], Iterator[VideoInput]]  # returns new jobs, the same ones each time
    count: int
    truth: tuple[Video, ...] = ()  # videos with instances, if recall can be measured
    edge: Edge = "clamp"  # how rescaling fills cells beyond the outer snippets
    notes: tuple[str, ...] = ()  # assumptions that were made
    problems: tuple[Problem, ...] = ()  # skipped videos, with reasons


def of_dataset(path: Path, subset: str | None, bundle: Bundle) -> SampleVideos:
    """Return the videos of a subset that have features, and the skipped ones.

    Raises
    ------
    DataError
        The dataset cannot be read, or no video of the subset has usable features.
    """
    channels = None if bundle.config.tem is None else bundle.config.tem.channels
    dataset = Dataset.load(path).subset(subset, bundle.set_apart)
    dataset.require_fit(bundle.config)
    dataset = check_dataset(dataset, channels=channels, on_error="skip", trained_on=bundle.features)

    def inputs() -> Iterator[VideoInput]:
        return feature_inputs(dataset, dataset.videos.ids, bundle.config)

    name = f"{path.resolve().name}, {subset or 'all'}"
    truth = tuple(v for v in dataset.videos if len(v.segments))
    notes = (*dataset.notes, *dataset_notes(dataset.problems))
    return SampleVideos(name, inputs, len(dataset), truth, dataset.edge, notes, dataset.problems)


def synthetic_videos(bundle: Bundle, *, videos: int = VIDEOS, seed: int = 0) -> SampleVideos:
    """Create smooth random features; random boundary scores if the bundle has no TEM.

    Their scale is that of the network's standardisation if it has one, otherwise the deviation
    is 2.
    """
    make = _scores if bundle.config.tem is None else _features(bundle, bundle.config.tem)

    def inputs() -> Iterator[VideoInput]:
        return (VideoInput(f"made-up-{i}", partial(make, seed, i)) for i in range(videos))

    return SampleVideos(f"made-up, seed {seed}", inputs, videos)


def _features(bundle: Bundle, config: TemConfig) -> Callable[[int, int], Features]:
    weights = bundle.weights("tem")
    scale = weights.get("input.scale", np.float32(0.5))
    deviation = 1.0 / np.where(scale == 0, 1, scale)
    mean = weights.get("input.mean", np.float32(0))

    def make(seed: int, number: int) -> Features:
        rng = np.random.default_rng((seed, number))
        curves = _smooth(rng.standard_normal((config.length, config.channels), np.float32))
        return Features((mean + deviation * curves).astype(np.float32), stride=1.0, length=1.0)

    return make


def _scores(seed: int, number: int) -> ScoredVideo:
    rng = np.random.default_rng((seed, number))
    curves = _smooth(rng.standard_normal((100, 3), np.float32))
    scores = 1.0 / (1.0 + np.exp(1.5 - 2.0 * curves))
    return ScoredVideo(BoundaryScores.from_array(scores.T), 100.0)


def _smooth(noise: Float32) -> Float32:
    """Draw random rows that resemble their neighbours, deviation 1: (T, C)."""
    kernel = np.array([1, 2, 3, 2, 1], dtype=np.float32)
    kernel /= np.sqrt((kernel**2).sum())
    columns = [np.convolve(column, kernel, mode="same") for column in noise.T]
    return np.stack(columns, axis=1).astype(np.float32)
