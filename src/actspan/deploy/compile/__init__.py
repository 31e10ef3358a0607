"""Compilation of a bundle's networks for a device, here or by a script on its host.

A target is a line in the table of `plan.py` and a module beside it that runs the vendor's
compiler. Compiled files are added to the bundle atomically and with a checksum, like all files,
and `compiled.toml` records what each was made from.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from actspan.core.errors import BundleError, CompileError
from actspan.deploy.compile.plan import (
    TARGETS,
    Compiler,
    CompileRequest,
    Job,
    Plan,
    Report,
)
from actspan.deploy.compile.record import CompiledFile, add_record
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS
from actspan.runtime.export import export_bundle


@dataclass(frozen=True, slots=True)
class Compiled:
    """Result of a job.

    Attributes
    ----------
    job : Job
    size : int
        Bytes of all its outputs.
    seconds : float
    notes : tuple of str
        Lines about what was skipped.
    """

    job: Job
    size: int
    seconds: float
    notes: tuple[str, ...] = ()


def find_compiler(request: CompileRequest) -> Compiler:
    """Find the target's compiler on this machine; call this before anything is written.

    Raises
    ------
    CompileError, MissingExtraError
        There is no compiler; the message says how to get it.
    """
    return TARGETS[request.target].driver.find_compiler(request)


def prepare_plan(bundle: Bundle, request: CompileRequest, compiler: Compiler | None = None) -> Plan:
    """Write the graphs for the target's compiler into the bundle, and check each.

    Parameters
    ----------
    bundle : Bundle
        A bundle; missing plain ONNX files are exported first.
    compiler : Compiler, optional
        Compiler of this machine; None if another machine will compile.

    Raises
    ------
    ExportError, ParityError, BundleError, DataError
        A graph cannot be made or kept.
    """
    nets = [net for net in NETS if (bundle.has_tem if net == "tem" else bundle.has_pem)]
    if any(f"{net}.onnx" not in bundle.files for net in nets):
        bundle, _ = export_bundle(bundle)
    driver = TARGETS[request.target].driver
    bundle, jobs = driver.prepare(bundle, request, "" if compiler is None else compiler.key)
    return Plan(bundle, request, tuple(jobs))


def compile_plan(
    plan: Plan, compiler: Compiler, report: Report | None = None
) -> tuple[Bundle, list[Compiled]]:
    """Compile every network of a plan into its bundle; logs are kept in the bundle's folder.

    Parameters
    ----------
    report : callable, optional
        Called with every line that a vendor's program prints.

    Raises
    ------
    CompileError
        The compiler failed; files compiled before are kept.
    BundleError
        A file cannot be written.

    Examples
    --------
    >>> request = CompileRequest("openvino")  # doctest: +SKIP
    >>> compiler = find_compiler(request)  # doctest: +SKIP
    >>> compile_plan(prepare_plan(bundle, request, compiler), compiler)  # doctest: +SKIP
    """
    done = []
    for job in plan.jobs:
        bundle, compiled = _compile(plan, job, compiler, report or (lambda _: None))
        plan = replace(plan, bundle=bundle)
        done.append(compiled)
    return plan.bundle, done


def _compile(plan: Plan, job: Job, compiler: Compiler, report: Report) -> tuple[Bundle, Compiled]:
    begin = perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(plan.bundle.file(job.source), folder / job.source)
        try:
            compilation = compiler.compile(job, plan, folder, report)
        except CompileError as error:
            kept = _keep_logs(folder, plan.bundle)
            more = f"; its log: {', '.join(map(str, kept))}" if kept else ""
            raise CompileError(f"{job.output}: {error}{more}") from error
        _keep_logs(folder, plan.bundle)
        seconds = perf_counter() - begin
        record = _record(plan, job, compiler.version, " ".join(compilation.command), seconds)
        bundle, compiled = _take(plan.bundle, job, folder, record)
        return bundle, replace(compiled, notes=(*compiled.notes, *compilation.notes))


def _keep_logs(folder: Path, bundle: Bundle) -> list[Path]:
    """Copy the logs to the compiled files; they are not recorded as files of the bundle."""
    return [Path(shutil.copy(log, bundle.path / log.name)) for log in sorted(folder.glob("*.log"))]


def _record(plan: Plan, job: Job, compiler: str, command: str, seconds: float) -> CompiledFile:
    request = plan.request
    return CompiledFile(
        target=request.target,
        precision=request.precision,
        net=job.net,
        source=job.source,
        source_sha256=plan.bundle.files[job.source].sha256,
        input=job.input,
        shapes=job.shapes,
        compiler=compiler,
        command=command,
        soc=request.soc if request.target == "ascend" else "",
        seconds=round(seconds, 3),
    )


def _take(bundle: Bundle, job: Job, folder: Path, record: CompiledFile) -> tuple[Bundle, Compiled]:
    for name in job.outputs:

        def write(path: Path, name: str = name) -> None:
            shutil.copyfile(folder / name, path)

        bundle = bundle.add_file(name, write)
    bundle = add_record(bundle, job.output, record)
    size = sum(bundle.files[name].size for name in job.outputs)
    return bundle, Compiled(job, size, record.seconds, job.notes)


def write_script(plan: Plan) -> tuple[Bundle, Path]:
    """Write the commands as a shell script beside the graphs, for another host.

    Returns
    -------
    Bundle
        The bundle with the script.
    Path
        `compile-<target>.sh`, in the bundle.

    Raises
    ------
    CompileError
        The target cannot be compiled by a command.
    """
    request, target = plan.request, TARGETS[plan.request.target]
    lines = [
        "#!/usr/bin/env bash",
        f"# Compiles the networks in this folder for a device: {target.device}. Copy the folder",
        "# to a host with the vendor's tools, run this, copy back what it made, and record it:",
        f"#   actspan compile BUNDLE {_options(request)} --record",
        "set -e",
        'cd "$(dirname "$0")"',
        "",
        *target.driver.script_lines(plan),
    ]
    name = f"compile-{target.name}.sh"

    def write(path: Path) -> None:
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        path.chmod(0o755)

    bundle = plan.bundle.add_file(name, write)
    return bundle, bundle.path / name


def _options(request: CompileRequest) -> str:
    words = [f"--target {request.target}", *(f"--batch {batch}" for batch in request.batches)]
    words += [f"--precision {request.precision}"]
    if request.target == "ascend":
        words += [f"--soc {request.soc}"]
    return " ".join(words)


def take_outputs(plan: Plan) -> tuple[Bundle, list[Compiled]]:
    """Record the files that the script wrote to the bundle's folder.

    Raises
    ------
    BundleError
        A file is missing; nothing is recorded.
    """
    bundle = plan.bundle
    missing = [n for j in plan.jobs for n in j.outputs if not (bundle.path / n).is_file()]
    if missing:
        raise BundleError(
            f"{bundle.path}: {', '.join(missing)} not there: run compile-{plan.request.target}.sh "
            "(actspan compile --print) on the device's host, and copy what it makes into this "
            "folder"
        )
    done = []
    for job in plan.jobs:
        record = _record(plan, job, "on another host", "", 0.0)
        bundle, compiled = _take(bundle, job, bundle.path, record)
        done.append(compiled)
    return bundle, done
