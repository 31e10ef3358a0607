"""Steps of a compilation: prepare graphs, compile them or write a script, record the files.

Compiled files are added to the bundle atomically and with a checksum, like all files, and
`compiled.toml` records what each was made from.

A target is a row in `TARGETS` and a module of this package with three functions: `find_compiler`
returns a `Compiler`, or raises CompileError or MissingExtraError with the way to get one; `prepare`
writes the graphs for it into the bundle, and returns the bundle and the jobs; `script_lines`
returns shell commands that compile in the bundle's folder.
"""

from __future__ import annotations

import importlib
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from actspan.config.base import dump_toml, from_dict, read_toml
from actspan.core.errors import BundleError, CompileError
from actspan.core.temporary import temporary_folder
from actspan.deploy.deploy_requests import TARGETS, CompileRequest
from actspan.model.bundle import Bundle
from actspan.model.manifest import COMPILED, CompiledFile, CompiledFiles
from actspan.model.nets import Net
from actspan.runtime.opening import with_onnx

Sizes = tuple[int | None, ...]  # None: any size
Log = Callable[[str], None]  # called with every line that a vendor's compiler prints


def no_log(line: str) -> None:
    """Ignore a line; the default of every function that logs."""


@dataclass(frozen=True, slots=True)
class CompileJob:
    """One network to compile."""

    net: Net
    source: str  # ONNX file in the bundle
    outputs: tuple[str, ...]  # files to create in the bundle; a runtime opens the last one
    input: str  # name of the network's input
    least: Sizes  # smallest shape of the input
    most: Sizes  # largest shape
    notes: tuple[str, ...] = ()  # lines about what was skipped when its graph was made

    @property
    def output(self) -> str:
        """File that a runtime opens."""
        return self.outputs[-1]

    @property
    def stem(self) -> str:
        """Name of the output without its suffix."""
        return Path(self.output).stem

    @property
    def shapes(self) -> str:
        """Shapes for messages: `1x400x100 to 16x400x100`."""
        texts = ["x".join("?" if n is None else str(n) for n in s) for s in (self.least, self.most)]
        return " to ".join(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True)
class CompilePlan:
    """A bundle with every graph to compile, and the jobs."""

    bundle: Bundle
    request: CompileRequest
    jobs: tuple[CompileJob, ...]


@dataclass(frozen=True, slots=True)
class CompilerReport:
    """Report of a compiler on one job."""

    command: Sequence[str] = ()  # that created the outputs; empty if there was none
    notes: tuple[str, ...] = ()  # lines about what was skipped


@dataclass(frozen=True, slots=True)
class Compiler:
    """A vendor's compiler that is available."""

    version: str  # for messages and for the record: `atc of /usr/local/Ascend/...`
    # Compiles a job in a separate folder, which contains its ONNX file; raises CompileError.
    compile: Callable[[CompileJob, CompilePlan, Path, Log], CompilerReport]
    key: str = ""  # part of the names of files that run only on this machine


@dataclass(frozen=True, slots=True)
class CompileResult:
    """Result of a job."""

    job: CompileJob
    size: int  # bytes of all its outputs
    seconds: float
    notes: tuple[str, ...] = ()  # lines about what was skipped


def _module(request: CompileRequest) -> Any:
    return importlib.import_module(f"actspan.deploy.{TARGETS[request.target].module}")


def find_compiler(request: CompileRequest) -> Compiler:
    """Find the target's compiler on this machine; call this before anything is written."""
    compiler: Compiler = _module(request).find_compiler(request)
    return compiler


def prepare_plan(
    bundle: Bundle, request: CompileRequest, compiler: Compiler | None = None
) -> CompilePlan:
    """Write the graphs for the target's compiler into the bundle, and check each.

    Missing plain ONNX files are exported first. Without a compiler, another machine will compile.
    Raise ExportError, ParityError, BundleError or DataError if a graph cannot be made or kept.
    """
    bundle = with_onnx(bundle)
    key = "" if compiler is None else compiler.key
    bundle, jobs = _module(request).prepare(bundle, request, key)
    return CompilePlan(bundle, request, tuple(jobs))


def compile_plan(
    plan: CompilePlan, compiler: Compiler, log: Log = no_log
) -> tuple[Bundle, list[CompileResult]]:
    """Compile every network of a plan into its bundle; logs are kept in the bundle's folder.

    Raise CompileError if the compiler failed, BundleError if a file cannot be written; files
    compiled before are kept.
    """
    done = []
    for job in plan.jobs:
        begin = perf_counter()
        with temporary_folder() as folder:
            shutil.copy(plan.bundle.file(job.source), folder / job.source)
            try:
                report = compiler.compile(job, plan, folder, log)
            except CompileError as error:
                kept = _keep_logs(folder, plan.bundle)
                more = f"; its log: {', '.join(map(str, kept))}" if kept else ""
                raise CompileError(f"{job.output}: {error}{more}") from error
            _keep_logs(folder, plan.bundle)
            seconds = perf_counter() - begin
            plan, compiled = _add_outputs(plan, job, folder, compiler.version, report, seconds)
        done.append(compiled)
    return plan.bundle, done


def _keep_logs(folder: Path, bundle: Bundle) -> list[Path]:
    """Copy the logs to the compiled files; they are not recorded as files of the bundle."""
    return [Path(shutil.copy(log, bundle.path / log.name)) for log in sorted(folder.glob("*.log"))]


def _add_outputs(
    plan: CompilePlan,
    job: CompileJob,
    folder: Path,
    compiler: str,
    report: CompilerReport,
    seconds: float,
) -> tuple[CompilePlan, CompileResult]:
    """Add the outputs of a job in a folder to the bundle, and record them."""
    request, bundle = plan.request, plan.bundle
    record = CompiledFile(
        target=request.target,
        precision=request.precision,
        net=job.net,
        source=job.source,
        source_sha256=bundle.files[job.source].sha256,
        input=job.input,
        shapes=job.shapes,
        compiler=compiler,
        command=" ".join(report.command),
        soc=request.soc if request.target == "ascend" else "",
        seconds=round(seconds, 3),
    )
    for name in job.outputs:
        bundle = bundle.add_file(name, partial(shutil.copyfile, folder / name))
    records = CompiledFiles(files=read_records(bundle) | {job.output: record})
    bundle = bundle.add_file(COMPILED, dump_toml(records).encode())
    size = sum(bundle.files[name].size for name in job.outputs)
    compiled = CompileResult(job, size, record.seconds, (*job.notes, *report.notes))
    return replace(plan, bundle=bundle), compiled


def read_records(bundle: Bundle) -> dict[str, CompiledFile]:
    """Read the records of a bundle's compiled files, by name; leave out deleted files.

    Raise BundleError or ConfigError if the record is damaged.
    """
    if COMPILED not in bundle.files:
        return {}
    path = bundle.file(COMPILED)
    records = from_dict(CompiledFiles, read_toml(path), where=str(path)).files
    return {name: record for name, record in records.items() if name in bundle.files}


def write_script(plan: CompilePlan) -> tuple[Bundle, Path]:
    """Write the commands as `compile-<target>.sh` into the bundle, for another host.

    Raise CompileError if the target cannot be compiled by a command.
    """
    request, target = plan.request, TARGETS[plan.request.target]
    options = [f"--target {request.target}", *(f"--batch {batch}" for batch in request.batches)]
    options += [f"--precision {request.precision}"]
    options += [f"--soc {request.soc}"] if request.target == "ascend" else []
    lines = [
        "#!/usr/bin/env bash",
        f"# Compiles the networks in this folder for a device: {target.device}. Copy the folder",
        "# to a host with the vendor's tools, run this, copy back what it made, and record it:",
        f"#   actspan compile BUNDLE {' '.join(options)} --record",
        "set -e",
        'cd "$(dirname "$0")"',
        "",
        *_module(request).script_lines(plan),
        "",
    ]
    name = f"compile-{target.name}.sh"
    bundle = plan.bundle.add_file(name, "\n".join(lines).encode())
    path = bundle.path / name
    path.chmod(0o755)
    return bundle, path


def record_outputs(plan: CompilePlan) -> tuple[Bundle, list[CompileResult]]:
    """Record the files that the script wrote to the bundle's folder.

    Raise BundleError if a file is missing; nothing is recorded then.
    """
    folder = plan.bundle.path
    missing = [n for j in plan.jobs for n in j.outputs if not (folder / n).is_file()]
    if missing:
        raise BundleError(
            f"{folder}: {', '.join(missing)} missing: run compile-{plan.request.target}.sh "
            "(actspan compile --print) on the device's host, and copy its output into this "
            "folder"
        )
    done = []
    for job in plan.jobs:
        plan, compiled = _add_outputs(plan, job, folder, "on another host", CompilerReport(), 0.0)
        done.append(compiled)
    return plan.bundle, done


def run_program(
    words: Sequence[str],
    job: CompileJob,
    folder: Path,
    log: Log,
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a vendor's compiler in a folder, without a shell, and keep its output as a log there.

    Return its exit code (negative: the signal that ended it), and the output of both streams.
    Raise CompileError if it does not start.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  no shell
            list(words),
            cwd=folder,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise CompileError(f"{words[0]} does not start: {error.strerror}") from error
    printed = []
    with process, (folder / f"{job.stem}.log").open("w", encoding="utf-8") as stream:
        stream.write(f"$ {shlex.join(words)}\n")
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                printed.append(line)
                log(line.rstrip())
        except BaseException:  # after an interruption no compiler must keep running
            process.kill()
            raise
    return process.wait(), "".join(printed)
