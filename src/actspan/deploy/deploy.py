"""Convert, export, rewrite, compile and verify; report each step's files, time and result.

The verification comes last, so that one pass over the videos covers the compiled files too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from actspan.core.errors import CompileError, ConfigError, MissingExtraError
from actspan.core.files import atomic_folder
from actspan.deploy.compile.compile import compile_plan, find_compiler, prepare_plan, write_script
from actspan.deploy.compile.plan import CompilePlan, Compiler, Log, no_log
from actspan.deploy.deploy_requests import DeployRequest
from actspan.deploy.verify.verify import Verification, verify_bundle
from actspan.model.bsn.checkpoints import convert_checkpoints
from actspan.model.bundle import Bundle
from actspan.model.manifest import MANIFEST, check_new_bundle
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import check_backend


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
        found: list[tuple[str, str]] = []
        yield found
        seconds = perf_counter() - begin
        for number, (file, result) in enumerate(found):
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
        An input cannot be used; raised before anything is compiled.
    ParityError, CompileError
        A graph does not compute what its weights compute; the compiler is available, but fails.

    Examples
    --------
    >>> deploy(DeployRequest("openvino", sources=(tem, pem), out="bsn/"))  # doctest: +SKIP
    """
    out = request.out
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
        bundle = _compile(plan, compiler, summary)
    else:
        with summary.time("compile") as rows:
            bundle, path = write_script(plan)
            rows.append((path.name, "not run: for the device's host"))
        host = f"on the device's host: copy {bundle.path} there, and run {path.name} in it"
        left = tuple(filter(None, (lack, host)))
    support = check_backend(request.backend)
    runs = support.usable and compiler is not None
    backends = ["onnxruntime", *[request.backend] * runs]
    with summary.time("verify") as rows:
        found = _verify(bundle, request, backends)
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
    sources, out = request.sources, request.out
    if len(sources) == 1 and sources[0].is_dir():
        bundle = Bundle.load(sources[0])
        if out is None or out.resolve() == sources[0].resolve():
            return bundle
        with summary.time("copy") as rows:
            rows.append((str(out), f"of {sources[0]}"))
            check_new_bundle(out, overwrite=request.overwrite)
            with atomic_folder(out) as folder:
                for name in bundle.files:
                    shutil.copy(bundle.file(name), folder / name)
                shutil.copy(bundle.path / MANIFEST, folder / MANIFEST)
        return Bundle.load(out)
    if out is None:
        raise ConfigError("checkpoints become a bundle: say which folder to write (--out)")
    check_new_bundle(out, overwrite=request.overwrite)
    with summary.time("convert") as rows:
        with atomic_folder(out) as folder:
            _, found = convert_checkpoints(list(sources), folder, length=request.length)
        for c in found:
            text = f"{c.parameters:,} parameters of {c.path.name}"
            rows.append((f"{c.kind}.safetensors", text))
    return Bundle.load(out)


def _compile(plan: CompilePlan, compiler: Compiler, summary: _Summary) -> Bundle:
    summary.log("compile")
    bundle, done = compile_plan(plan, compiler, summary.log)
    for one in done:
        result = f"{one.size / 1e3:,.0f} kB, {one.job.input}:{one.job.shapes}"
        summary.rows.append(Step("compile", one.job.output, one.seconds, result))
    return bundle


def _verify(bundle: Bundle, request: DeployRequest, backends: Sequence[str]) -> Verification:
    return verify_bundle(
        bundle,
        dataset=request.dataset,
        subset=request.subset if request.dataset is not None else None,
        backends=backends,
        threads=request.threads,
    )
