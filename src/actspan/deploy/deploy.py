"""Convert, export, rewrite, compile and verify; report each step's files, time and result.

The verification comes last, so that one pass over the videos covers the compiled files too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from actspan.core.errors import CompileError, ConfigError, MissingExtraError
from actspan.core.files import atomic_folder
from actspan.deploy.compile import compile_plan, find_compiler, prepare_plan, write_script
from actspan.deploy.compile.plan import TARGETS, Compiler, CompileRequest, Plan
from actspan.deploy.verify.verify import Verification, verify_bundle
from actspan.model.bsn.checkpoints import convert_checkpoints
from actspan.model.bundle import Bundle
from actspan.model.manifest import MANIFEST, check_new_bundle
from actspan.runtime.export import export_bundle
from actspan.runtime.opening import check_backend

__all__ = ["DeployRequest", "Deployment", "Step", "deploy"]

Tell = Callable[[str], None]  # the current step, or a line that a compiler prints


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """Settings of `deploy`.

    Attributes
    ----------
    sources : tuple of Path
        Checkpoints, or one bundle.
    out : Path, optional
        The bundle to create; by default a given bundle is changed in place.
    compile : CompileRequest
    dataset : Path, optional
        Dataset to verify on; synthetic features by default.
    subset : str, optional
        Subset of that dataset.
    length : int
        T, the temporal scale of a checkpoint's TEM.
    threads : int
        Number of workers of the verification.
    script_only : bool
        Write the commands for another host, and compile nothing.
    overwrite : bool
        Replace an existing bundle.
    """

    sources: tuple[Path, ...]
    out: Path | None
    compile: CompileRequest
    dataset: Path | None = None
    subset: str | None = "validation"
    length: int = 100
    threads: int = 2
    script_only: bool = False
    overwrite: bool = False

    @property
    def backend(self) -> str:
        """Runtime that opens the compiled files."""
        return TARGETS[self.compile.target].backends[self.compile.precision]


@dataclass(frozen=True, slots=True)
class Step:
    """A row of the summary.

    Attributes
    ----------
    name : str
    file : str
        File that was created.
    seconds : float
        NaN if the time is included in the row before.
    result : str
    """

    name: str
    file: str
    seconds: float
    result: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """Result of a deployment.

    Attributes
    ----------
    bundle : Bundle
    steps : tuple of Step
    verification : Verification
    left : tuple of str
        Remaining steps, and where to run them; empty if there are none.
    unverified : str
        Why the compiled files were not run; empty if they were.
    """

    bundle: Bundle
    steps: tuple[Step, ...]
    verification: Verification
    left: tuple[str, ...] = ()
    unverified: str = ""


@dataclass(slots=True)
class _Table:
    """Rows of the summary, as they are added."""

    tell: Tell
    rows: list[Step] = field(default_factory=list)

    @contextmanager
    def time(self, name: str) -> Iterator[list[tuple[str, str]]]:
        """Time a step; the block adds (file, result) pairs, and the first pair gets the time."""
        self.tell(name)
        begin = perf_counter()
        found: list[tuple[str, str]] = []
        yield found
        seconds = perf_counter() - begin
        for number, (file, result) in enumerate(found):
            self.rows.append(Step(name, file, float("nan") if number else seconds, result))


def deploy(request: DeployRequest, tell: Tell | None = None) -> Deployment:
    """Deploy checkpoints, or a bundle, to a device.

    If the target's compiler is not available, all other steps run, and a script for the device's
    host is written to the bundle. A new bundle is removed if a step fails.

    Raises
    ------
    CheckpointError, BundleError, DataError
        An input cannot be used; raised before anything is compiled.
    ParityError
        A graph does not compute what its weights compute.
    CompileError
        The compiler is available, but fails.

    Examples
    --------
    >>> target = CompileRequest("openvino")
    >>> deploy(DeployRequest((tem, pem), Path("bsn/"), target))  # doctest: +SKIP
    """
    with _whole_or_absent(request):
        return _deploy(request, _Table(tell or (lambda _: None)))


@contextmanager
def _whole_or_absent(request: DeployRequest) -> Iterator[None]:
    """Remove the bundle that a block created if the block fails, so that it can be repeated."""
    out = request.out
    is_new = out is not None and not (out / MANIFEST).exists()
    try:
        yield
    except BaseException:
        if out is not None and is_new and (out / MANIFEST).exists():
            shutil.rmtree(out, ignore_errors=True)
        raise


def _deploy(request: DeployRequest, table: _Table) -> Deployment:
    compiler, lack = _compiler(request)
    bundle = _open(request, table)
    with table.time("export") as rows:
        bundle, checks = export_bundle(bundle)
        rows += [(c.file, f"within {c.numpy_difference:.1e} of the weights") for c in checks]
    with table.time("passes") as rows:
        plan = prepare_plan(bundle, request.compile, compiler)
        rows += [(name, "as the weights") for name in _sources(plan)]
    left: tuple[str, ...] = ()
    if compiler is None:
        bundle, left = _leave_script(plan, lack, table)
    else:
        bundle = _compile(plan, compiler, table)
    support = check_backend(request.backend)
    runs = support.usable and compiler is not None
    found = _verify(bundle, request, ["onnxruntime", *[request.backend] * runs], table)
    reason = "" if runs else support.problem or "it is not compiled"
    unverified = reason and f"not verified on {request.backend} here: {reason}"
    return Deployment(bundle, tuple(table.rows), found, left, unverified)


def _compiler(request: DeployRequest) -> tuple[Compiler | None, str]:
    """Return the compiler, or the reason why there is none."""
    if request.script_only:
        return None, ""
    try:
        return find_compiler(request.compile), ""
    except (CompileError, MissingExtraError) as error:
        return None, str(error)


def _open(request: DeployRequest, table: _Table) -> Bundle:
    sources, out = request.sources, request.out
    if len(sources) == 1 and sources[0].is_dir():
        bundle = Bundle.load(sources[0])
        if out is None or out.resolve() == sources[0].resolve():
            return bundle
        with table.time("copy") as rows:
            rows.append((str(out), f"of {sources[0]}"))
            return _copy(bundle, out, request.overwrite)
    if out is None:
        raise ConfigError("checkpoints become a bundle: say which folder to write (--out)")
    check_new_bundle(out, overwrite=request.overwrite)
    with table.time("convert") as rows:
        with atomic_folder(out) as folder:
            _, found = convert_checkpoints(list(sources), folder, length=request.length)
        rows += [
            (f"{c.kind}.safetensors", f"{c.parameters:,} parameters of {c.path.name}")
            for c in found
        ]
    return Bundle.load(out)


def _copy(bundle: Bundle, out: Path, overwrite: bool) -> Bundle:
    check_new_bundle(out, overwrite=overwrite)
    with atomic_folder(out) as folder:
        for name in bundle.files:
            shutil.copy(bundle.file(name), folder / name)
        shutil.copy(bundle.path / MANIFEST, folder / MANIFEST)
    return Bundle.load(out)


def _sources(plan: Plan) -> Sequence[str]:
    """Return the graphs that passes created."""
    plain = {f"{job.net}.onnx" for job in plan.jobs}
    return [name for name in dict.fromkeys(j.source for j in plan.jobs) if name not in plain]


def _compile(plan: Plan, compiler: Compiler, table: _Table) -> Bundle:
    table.tell("compile")
    bundle, done = compile_plan(plan, compiler, table.tell)
    for one in done:
        result = f"{one.size / 1e3:,.0f} kB, {one.job.input}:{one.job.shapes}"
        table.rows.append(Step("compile", one.job.output, one.seconds, result))
    return bundle


def _leave_script(plan: Plan, lack: str, table: _Table) -> tuple[Bundle, tuple[str, ...]]:
    with table.time("compile") as rows:
        bundle, path = write_script(plan)
        rows.append((path.name, "not run: for the device's host"))
    host = f"on the device's host: copy {bundle.path} there, and run {path.name} in it"
    return bundle, tuple(filter(None, (lack, host)))


def _verify(
    bundle: Bundle, request: DeployRequest, backends: Sequence[str], table: _Table
) -> Verification:
    with table.time("verify") as rows:
        found = verify_bundle(
            bundle,
            dataset=request.dataset,
            subset=request.subset if request.dataset is not None else None,
            backends=backends,
            threads=request.threads,
        )
        rows += [(result.variant.name, result.status) for result in found.results]
    return found
