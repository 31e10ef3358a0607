"""Material of `actspan bench`: a model and videos, given or made up, opened and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actspan.bench import made_up
from actspan.core.errors import BackendError, BundleError
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.deploy.verify.variants import Variant, find_variants
from actspan.jobs.proposing.inputs import jobs_from_features
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import Job
from actspan.runtime.backends import find_backend
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import choose_backend
from actspan.runtime.session import Session

__all__ = ["Report", "Request", "Setup", "prepare"]

Report = Callable[[str, int, int], None]  # (what, done, in all)

VIDEOS = 128  # number of made-up videos
_DISTINCT = 600  # further made-up videos share files with these
_WINDOWS = 5  # duration of a made-up recording, in windows


@dataclass(frozen=True, slots=True)
class Request:
    """Settings of `run_benchmark`.

    Attributes
    ----------
    model : Path, optional
        A bundle. Default: made-up networks of the published sizes.
    dataset : Path, optional
        A dataset folder. Default: made-up features.
    subset : str, optional
        A subset of the dataset. Default: all videos.
    videos : int, optional
        Largest number of videos of the dataset, or number of made-up videos.
    batches : tuple of int
    variant : str
        Variant of the graphs in the bundle: "fp16" for `tem.fp16.onnx`.
    threads, streams : int
        Threads that share a call of the runtime, and concurrent calls.
    seconds : float
        Longest time of each measurement, unless its median settles before.
    channels, length : int
        Sizes of made-up networks: features per snippet, and cells per video.
    snippets : int, optional
        Snippets per made-up video. Default: the number of cells.
    on_error : "fail" or "skip"
        What to do about problems in the dataset.
    command : str
        Command line that repeats the benchmark.
    """

    model: Path | None = None
    dataset: Path | None = None
    subset: str | None = None
    videos: int | None = None
    batches: tuple[int, ...] = (1, 16)
    backend: str = "auto"
    variant: str = ""
    threads: int = 1
    streams: int = 1
    seconds: float = 3.0
    channels: int = made_up.CHANNELS
    length: int = made_up.LENGTH
    snippets: int | None = None
    on_error: Literal["fail", "skip"] = "fail"
    command: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """A model and videos, ready to run.

    Attributes
    ----------
    bundle : Bundle
    variant : Variant
        Backend, graph and precision.
    sessions : mapping of net to Session
    pipeline : Pipeline
        The pipeline with these sessions.
    dataset : Dataset
        The checked dataset.
    jobs : tuple of Job
        One job per video.
    material : str
        Description of the model and the videos.
    """

    bundle: Bundle
    variant: Variant
    sessions: dict[Net, Session]
    pipeline: Pipeline
    dataset: Dataset
    jobs: tuple[Job, ...]
    material: str


@contextmanager
def prepare(request: Request, folder: Path, report: Report | None) -> Iterator[Setup]:
    """Make missing material in `folder`, check the rest, and open the networks.

    Raises
    ------
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit.
    """
    bundle = _bundle(request, folder)
    variant = _variant(bundle, request)
    if find_backend(variant.backend)[0].suffix == ".onnx" and not _has_onnx(bundle):
        bundle, _ = export_bundle(bundle, check_torch=False)
    dataset = _dataset(request, bundle, folder)
    dataset, jobs = jobs_from_features(dataset, bundle, request.on_error, report)
    with ExitStack() as stack:
        sessions: dict[Net, Session] = {}
        for net in NETS:
            session = variant.open(bundle, net, threads=request.threads, streams=request.streams)
            sessions[net] = stack.enter_context(session)
        pipeline = Pipeline(
            sessions["tem"],
            sessions["pem"],
            bundle.config,
            threads=request.streams,
            edge=dataset.edge,
        )
        stack.enter_context(pipeline)
        material = f"{_model_name(request)}; {_videos_name(request, dataset, bundle)}"
        yield Setup(bundle, variant, sessions, pipeline, dataset, tuple(jobs), material)


def _bundle(request: Request, folder: Path) -> Bundle:
    if request.model is None:
        path = folder / "made-up"
        return made_up.make_bundle(path, channels=request.channels, length=request.length)
    bundle = Bundle.load(request.model)
    if not (bundle.has_tem and bundle.has_pem):
        lacking = "PEM" if bundle.has_tem else "TEM"
        raise BundleError(
            f"{bundle.path}: holds no {lacking}; a benchmark runs both networks: "
            "actspan convert TEM PEM --out BUNDLE"
        )
    return bundle


def _has_onnx(bundle: Bundle) -> bool:
    return all(f"{net}.onnx" in bundle.files for net in NETS)


def _variant(bundle: Bundle, request: Request) -> Variant:
    backend = choose_backend(bundle, request.backend).name
    found = find_variants(bundle, [backend])
    for variant in found:
        if variant.graph == request.variant:
            return variant
    if not request.variant and found:  # for example only compiled for a batch: the runtime chooses
        return Variant(backend, "", found[0].precision)
    there = ", ".join(variant.graph for variant in found if variant.graph) or "none"
    raise BackendError(
        f"{bundle.path}: no variant {request.variant!r} for {backend}; there are: {there}; "
        "actspan export --passes writes more"
    )


def _dataset(request: Request, bundle: Bundle, folder: Path) -> Dataset:
    if request.dataset is None:
        made_up.make_dataset(
            folder / "videos",
            request.videos or VIDEOS,
            distinct=_DISTINCT,
            snippets=_snippets(request, bundle),
            channels=_size(bundle)[0],
            adapt=made_up.standardised_for(bundle),
        )
        return Dataset.load(folder / "videos")
    dataset = Dataset.load(request.dataset).subset(request.subset, bundle.set_apart)
    return dataset.select(dataset.videos[: request.videos])


def _size(bundle: Bundle) -> tuple[int, int]:
    """Return the number of channels, and of cells per video or window."""
    assert bundle.config.tem is not None
    return bundle.config.tem.channels, bundle.config.tem.length


def _snippets(request: Request, bundle: Bundle) -> int:
    usual = _WINDOWS if bundle.config.mode == "window" else 1
    return request.snippets or usual * _size(bundle)[1]


def _model_name(request: Request) -> str:
    if request.model is not None:
        return f"model {request.model.resolve().name}"
    size = (request.channels, request.length)
    published = size == (made_up.CHANNELS, made_up.LENGTH)
    return (
        f"MADE-UP networks, TEM for {size[0]} channels x {size[1]} cells"
        f"{' (the published sizes)' if published else ''}"
    )


def _videos_name(request: Request, dataset: Dataset, bundle: Bundle) -> str:
    count = counted(len(dataset), "video")
    if request.dataset is None:
        snippets, channels = _snippets(request, bundle), _size(bundle)[0]
        return f"{count} of MADE-UP features, {snippets} snippets x {channels} channels"
    subset = f", {request.subset}" if request.subset else ""
    return f"{count} of {request.dataset.resolve().name}{subset}"
