"""Ascend NPUs: CANN's `atc` compiles an `.om` with a fixed batch size.

UNVERIFIED: follows the vendor's documentation and the command lines of a published guide; tests
run a fake `atc`.

The graph has fixed sizes, two-dimensional convolutions (the only ones of the NPU), output scales
folded into the weights (half precision cannot represent 0.01) and opset 11, which every CANN reads.
PEM takes the rows of a whole video, (B, 1000, 32), as the exchange files hold them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from actspan.config.stages import TemConfig
from actspan.core.errors import CompileError
from actspan.deploy.compile.atc_errors import explain
from actspan.deploy.compile.plan import Compilation, CompileRequest, Job, Plan, Report
from actspan.deploy.compile.process import run_program
from actspan.deploy.optimize import read_model, rewrite_model
from actspan.deploy.variants import keep_variant
from actspan.model.bsn.graph import build_pem
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.runtime.export import sample_inputs
from actspan.runtime.opening import INPUT

__all__ = ["atc_line", "atc_words", "find_compiler", "prepare", "script_lines"]

OPSET = 11
_PASSES = ("opset", "fold-scale", "conv1d-to-conv2d")
_SET_ENV = (  # besides the folders in environment variables
    "/usr/local/Ascend/ascend-toolkit/set_env.sh",
    "/usr/local/Ascend/cann/set_env.sh",
    "~/Ascend/ascend-toolkit/set_env.sh",
    "~/Ascend/cann/set_env.sh",
)
_HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
_GET = (
    "install the CANN toolkit and the kernels of the chip (docs/targets/ascend.md), and source its "
    "set_env.sh; or write a script for the NPU host: actspan compile BUNDLE --target ascend --print"
)


def _options(job: Job, request: CompileRequest) -> Iterator[tuple[str, str]]:
    sizes = ",".join(map(str, job.most))
    yield "--framework", "5"
    yield "--model", job.source
    yield "--output", job.stem
    yield "--input_format", "ND"
    yield "--input_shape", f"{job.input}:{sizes}"
    yield "--log", "debug"
    yield "--soc_version", request.soc
    if request.precision == "fp32":  # by default atc computes in fp16 if it can
        yield "--precision_mode", "must_keep_origin_dtype"


def atc_words(job: Job, request: CompileRequest) -> list[str]:
    """Return the command as a list of words."""
    return ["atc", *(f"{name}={value}" for name, value in _options(job, request))]


def atc_line(job: Job, request: CompileRequest) -> str:
    """Return the command as the guide writes it, for a shell."""
    words = [
        f'{name}="{value}"' if name == "--input_shape" else f"{name}={shlex.quote(value)}"
        for name, value in _options(job, request)
    ]
    return " ".join(["atc", *words])


def prepare(bundle: Bundle, request: CompileRequest, key: str) -> tuple[Bundle, list[Job]]:
    """Write the graphs for atc; see `actspan.deploy.compile.plan.Driver.prepare`."""
    jobs = []
    for net in NETS:
        if f"{net}.onnx" not in bundle.files:
            continue
        for batch in request.batches:
            source = f"{net}.ascend.bs{batch}.onnx"
            bundle, sizes = _write_graph(bundle, net, batch, source)
            parts = [net, *(["fp16"] if request.precision == "fp16" else []), f"bs{batch}", "om"]
            jobs.append(Job(net, source, (".".join(parts),), INPUT[net], sizes, sizes))
    return bundle, jobs


def _write_graph(bundle: Bundle, net: Net, batch: int, name: str) -> tuple[Bundle, tuple[int, ...]]:
    from actspan.deploy.passes.contract import PassSettings

    weights = bundle.weights(net)
    sizes: tuple[int, ...]
    if net == "tem":
        tem = bundle.config.tem or TemConfig()
        sizes = (batch, tem.channels, tem.length)
        model, passes = read_model(bundle.file("tem.onnx")), ["fix-dims", *_PASSES]
        (sample,) = sample_inputs(bundle, net, weights, batch, tem.length)
        settings = PassSettings(batch, tem.length, OPSET, probes=({INPUT[net]: sample},))
    else:
        sizes = (batch, bundle.config.pgm.keep, bundle.config.bsp.size)
        model, passes = build_pem(weights, rank=3, batch=batch, proposals=sizes[1]), [*_PASSES]
        sample = np.random.default_rng(0).random(sizes, dtype=np.float32)
        settings = PassSettings(opset=OPSET, probes=({INPUT[net]: sample},))
    done = rewrite_model(model, passes, settings, where=name)
    bundle, _ = keep_variant(bundle, net, name, replace(done, probes=settings.probes))
    return bundle, sizes


@dataclass(frozen=True, slots=True)
class Atc:
    """The compiler `atc`; see `actspan.deploy.compile.plan.Compiler`.

    Attributes
    ----------
    path : Path
    env : mapping of str to str
        Its environment.
    """

    path: Path
    env: Mapping[str, str]
    key: str = ""

    @property
    def version(self) -> str:
        """Path of the compiler, which contains the version."""
        return f"atc of {self.path.resolve()}"

    def compile(self, job: Job, plan: Plan, folder: Path, report: Report) -> Compilation:
        """Compile a job; see `actspan.deploy.compile.plan.Compiler.compile`."""
        words = [str(self.path), *atc_words(job, plan.request)[1:]]
        log = folder / f"{job.stem}.log"
        code, printed = run_program(words, folder=folder, log=log, report=report, env=self.env)
        if code != 0:
            raise CompileError(f"atc ended with {code}: {explain(printed)}")
        _find_output(folder, job)
        return Compilation(["atc", *words[1:]])


def _find_output(folder: Path, job: Job) -> None:
    """Rename the output to the expected name: newer versions add the host system to it."""
    wanted = folder / job.output
    others = sorted(folder.glob(f"{job.stem}_*.om"))
    if not wanted.is_file() and others:
        others[0].rename(wanted)
    if not wanted.is_file():
        raise CompileError(f"atc ended well, but wrote no {job.output}")


def find_compiler(request: CompileRequest) -> Atc:
    """Find atc on PATH, or by CANN's `set_env.sh`; see `actspan.deploy.compile.plan.Driver`."""
    found = shutil.which("atc")
    if found is not None:
        return Atc(Path(found), os.environ)
    scripts = [path for path in _scripts() if path.is_file()]
    for script in scripts:
        env = _sourced(script)
        found = shutil.which("atc", path=env.get("PATH", ""))
        if found is not None:
            return Atc(Path(found), env)
    where = f"and {', '.join(map(str, scripts))} does not bring it" if scripts else "nor is CANN"
    raise CompileError(f"target ascend: atc is not on PATH, {where}: {_GET}")


def _scripts() -> Iterator[Path]:
    for name in _HOMES:
        if os.environ.get(name):
            home = Path(os.environ[name])
            yield home / "set_env.sh"
            yield home.parent / "set_env.sh"
    for text in _SET_ENV:
        yield Path(text).expanduser()


def _sourced(script: Path) -> dict[str, str]:
    """Return the environment after sourcing a bash script."""
    try:
        done = subprocess.run(  # noqa: S603  a script of the vendor's, at a path of ours
            ["bash", "-c", '. "$1" >/dev/null && env -0', "bash", str(script)],  # noqa: S607
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise CompileError(f"{script}: bash does not start: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise CompileError(f"{script}: cannot be sourced: {said or f'code {done.returncode}'}")
    pairs = (entry.partition("=") for entry in done.stdout.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs if name}


def script_lines(plan: Plan) -> list[str]:
    """Return the lines of the script; see `actspan.deploy.compile.plan.Driver`."""
    return [
        "# CANN's environment, unless it is set up already",
        "for script in " + " ".join(_SET_ENV[:2]) + ' "$HOME"/Ascend/ascend-toolkit/set_env.sh; do',
        '  if ! command -v atc >/dev/null && [ -f "$script" ]; then . "$script" || true; fi',
        "done",
        "",
        *(atc_line(job, plan.request) for job in plan.jobs),
    ]
