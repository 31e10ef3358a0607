"""Deployment in one call: convert, export, rewrite, compile, verify; then evaluate and time.

The verification comes last, so that one pass over the videos covers the compiled files too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from actspan.config.stages import Edge
from actspan.core.errors import CompileError, ConfigError, MissingExtraError
from actspan.core.files import atomic_file
from actspan.core.folders import atomic_folder, locked_folder
from actspan.core.parallel import chunked
from actspan.core.perf_lines import StepTimes, performance_lines
from actspan.core.progress import Progress, no_progress
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.deploy.compilation import (
    Compiler,
    Log,
    compile_plan,
    find_compiler,
    no_log,
    prepare_plan,
    write_script,
)
from actspan.deploy.deploy_requests import DeployRequest
from actspan.deploy.verification import Verification, verify_bundle
from actspan.evaluation.recall import evaluate_recall
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.model.conversion import convert_checkpoints
from actspan.model.manifest import MANIFEST, check_new_bundle
from actspan.model.nets import FORMS, Net, input_shape
from actspan.pipeline.kinds import steps_of
from actspan.pipeline.outcomes import Recordings, StageClock, VideoInput
from actspan.pipeline.steps import feature_inputs, pieces_of
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import check_backend, open_nets


@dataclass(frozen=True, slots=True)
class Step:
    """A row of the summary."""

    name: str
    file: str  # file that was created
    seconds: float  # NaN if the time is included in the row before
    result: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """Result of a deployment."""

    bundle: Bundle
    steps: tuple[Step, ...]
    verification: Verification
    left: tuple[str, ...] = ()  # remaining steps, and where to run them
    unverified: str = ""  # why the compiled files were not run; empty if they were


@dataclass(slots=True)
class _Summary:
    """Rows of the summary, as they are added."""

    log: Log
    rows: list[Step] = field(default_factory=list)

    @contextmanager
    def time(self, name: str) -> Iterator[list[tuple[str, str]]]:
        """Time a step; the block adds (file, result) pairs, and the first pair gets the time."""
        self.log(name)
        begin = perf_counter()
        files: list[tuple[str, str]] = []
        yield files
        seconds = perf_counter() - begin
        for number, (file, result) in enumerate(files):
            self.rows.append(Step(name, file, float("nan") if number else seconds, result))


def deploy(request: DeployRequest, log: Log = no_log) -> Deployment:
    """Deploy checkpoints, or a bundle, to a device.

    If the target's compiler is not available, all other steps run, and a script for the device's
    host is written to the bundle. A new bundle is removed if a step fails.

    Parameters
    ----------
    log : callable
        Called with the name of each step, and with every line that a vendor's compiler prints.

    Raises
    ------
    CheckpointError, BundleError, DataError
        An input cannot be used, or another process writes to the bundle; raised before anything is
        compiled.
    ParityError, CompileError
        A graph does not compute what its weights compute; the compiler is available, but fails.
    """
    out = request.out
    with locked_folder(out or request.sources[0]):
        is_new = out is not None and not (out / MANIFEST).exists()
        try:
            return _deploy(request, _Summary(log))
        except BaseException:  # so that it can be repeated
            if out is not None and is_new and (out / MANIFEST).exists():
                shutil.rmtree(out, ignore_errors=True)
            raise


def _deploy(request: DeployRequest, summary: _Summary) -> Deployment:
    compiler, lack = _compiler(request)
    bundle = _open(request, summary)
    with summary.time("export") as rows:
        bundle, checks = export_bundle(bundle)
        rows += [(c.file, f"within {c.numpy_difference:.1e} of the weights") for c in checks]
    with summary.time("passes") as rows:
        plan = prepare_plan(bundle, request, compiler)
        plain = {f"{job.net}.onnx" for job in plan.jobs}
        sources = dict.fromkeys(job.source for job in plan.jobs if job.source not in plain)
        rows += [(name, "as the weights") for name in sources]
    left: tuple[str, ...] = ()
    if compiler is not None:
        summary.log("compile")
        bundle, compiled = compile_plan(plan, compiler, summary.log)
        for compiled_file in compiled:
            job, size = compiled_file.job, f"{compiled_file.size / 1e3:,.0f} kB"
            result = f"{size}, {job.input}:{job.shapes}"
            summary.rows.append(Step("compile", job.output, compiled_file.seconds, result))
    else:
        with summary.time("compile") as rows:
            bundle, path = write_script(plan)
            rows.append((path.name, "not run: for the device's host"))
        host = f"on the device's host: copy {bundle.path} there, and run {path.name} in it"
        left = tuple(filter(None, (lack, host)))
    support = check_backend(request.backend)
    runs = support.usable and compiler is not None
    with summary.time("verify") as rows:
        found = verify_bundle(
            bundle,
            dataset=request.dataset,
            subset=request.subset if request.dataset is not None else None,
            backends=["onnxruntime", *[request.backend] * runs],
            threads=request.threads,
        )
        rows += [(result.variant.name, result.status) for result in found.results]
    reason = "" if runs else support.problem or "it is not compiled"
    unverified = reason and f"not verified on {request.backend} here: {reason}"
    return Deployment(bundle, tuple(summary.rows), found, left, unverified)


def _compiler(request: DeployRequest) -> tuple[Compiler | None, str]:
    """Return the compiler, or the reason why there is none."""
    if request.script_only:
        return None, ""
    try:
        return find_compiler(request), ""
    except (CompileError, MissingExtraError) as error:
        return None, str(error)


def _open(request: DeployRequest, summary: _Summary) -> Bundle:
    """Open the bundle to change: the given one, a copy of it, or one made of checkpoints."""
    sources, out = request.sources, request.out
    is_bundle = len(sources) == 1 and sources[0].is_dir()
    if is_bundle:
        bundle = Bundle.load(sources[0])
        if out is None or out.resolve() == sources[0].resolve():
            return bundle
    if out is None:
        raise ConfigError("checkpoints become a bundle: say which folder to write (--out)")
    check_new_bundle(out, overwrite=request.overwrite)
    with (
        summary.time("copy" if is_bundle else "convert") as rows,
        atomic_folder(out) as folder,
    ):
        if is_bundle:
            for name in bundle.files:
                shutil.copy(bundle.file(name), folder / name)
            shutil.copy(bundle.path / MANIFEST, folder / MANIFEST)
            rows.append((str(out), f"of {sources[0]}"))
        else:
            _, checkpoints = convert_checkpoints(
                list(sources), folder, preset=request.preset, length=request.length
            )
            for checkpoint in checkpoints:
                text = f"{checkpoint.parameters:,} parameters of {checkpoint.path.name}"
                rows.append((f"{checkpoint.kind}.safetensors", text))
    return Bundle.load(out)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracy and speed of a bundle on a dataset."""

    run: Path  # run folder; `tem_bs16.txt` and the like in it contain the performance summaries
    backend: str
    videos: int
    recall: Mapping[str, float]  # `AR@1` ... `AR@100`, `AUC`, percent
    times: Mapping[tuple[Net, int], StepTimes]  # by network and batch
    untimed: tuple[int, ...] = ()  # batch sizes that are larger than the dataset
    notes: tuple[str, ...] = ()  # assumptions about the dataset


def evaluate_deployed(
    bundle: Bundle,
    request: DeployRequest,
    dataset: Path,
    run: Path,
    progress: Progress = no_progress,
) -> Evaluation:
    """Propose with a deployed bundle, evaluate the proposals, and time the steps.

    The dataset has annotations; `run` is the run folder to create. Times are counted like a
    vendor's benchmark, in one thread, over real videos, for each batch size of the request. Raise
    DataError, BundleError or BackendError if a part is missing, damaged, or does not fit.
    """
    backend, subset = request.backend, request.subset
    job = ProposeRequest(
        model=bundle.path,
        dataset=dataset,
        out=run,
        subset=subset,
        backend=backend,
        threads=request.threads,
        overwrite=request.overwrite,
    )
    summary = propose(job, progress)
    videos = Dataset.load(dataset).subset(subset, bundle.set_apart)
    recall = evaluate_recall(videos.videos, run, subset=None).summary()
    network = bundle.config.video_network
    channels = None if network is None else network.channels
    checked = check_dataset(videos, channels=channels)
    inputs = list(feature_inputs(checked, checked.videos.ids, bundle.config))
    times: dict[tuple[Net, int], StepTimes] = {}
    for batch in request.batches:
        for net, step_times in _time_steps(bundle, inputs, backend, batch, checked.edge).items():
            times[net, batch] = step_times
            with atomic_file(run / f"{net}_bs{batch}.txt") as stream:
                stream.write("\n".join([*performance_lines(step_times), ""]).encode())
    timed = {batch for _, batch in times}
    untimed = tuple(batch for batch in request.batches if batch not in timed)
    return Evaluation(run, backend, summary.videos, recall, times, untimed, summary.notes)


def _time_steps(
    bundle: Bundle, inputs: Iterable[VideoInput], backend: str, batch: int, edge: Edge
) -> dict[Net, StepTimes]:
    """Process videos to proposals in one thread, one batch at a time, and time every step.

    A sample is a video, or a window of a long recording. In BSN candidates and their features count
    as TEM's last step, so PEM has nothing to read; Soft-NMS is PEM's last step. In BMN both follow
    the network. An incomplete batch at the end is left out; return {} if there is no other.
    """
    loading, clock, config = StageClock(), StageClock(), bundle.config
    recordings = Recordings(config) if config.mode == "window" else None
    samples = calls = 0
    sessions = open_nets(bundle, bundle.nets, backend, 1)
    with ExitStack() as stack:
        for net, session in sessions.items():
            rows = batch * config.pgm.keep if net == "pem" else batch
            zeros = np.zeros((rows, *input_shape(config, net)), np.float32)
            stack.enter_context(session).run({FORMS[net].input: zeros})
        steps = steps_of(config, sessions, edge)
        for chunk in chunked(pieces_of(inputs, config), batch):
            if len(chunk) < batch:
                break
            with loading.time("read"):
                features = steps.load(chunk)
            done = steps.walk(chunk, features, clock)
            with clock.time("soft-nms"):
                for outcome in steps.outcomes(done, done.confidence):
                    if recordings is not None:
                        recordings.add(outcome)
            samples, calls = samples + len(chunk), calls + 1
    if not calls:
        return {}

    def times(read: float, preprocess: float, inference: float, last: float) -> StepTimes:
        total = read + preprocess + inference + last
        return StepTimes(samples, total, read, preprocess, inference, inference, last, calls)

    s = clock.seconds
    if config.bmn is not None:
        last = s["candidates"] + s["soft-nms"]
        return {"bmn": times(loading.seconds["read"], s["read"], s["bmn"], last)}
    return {
        "tem": times(loading.seconds["read"], s["read"], s["tem"], s["candidates"]),
        "pem": times(0.0, 0.0, s["pem"], s["soft-nms"]),
    }
