"""Ascend NPUs: CANN's `atc` compiles an `.om` with a fixed batch size.

UNVERIFIED: follows the vendor's documentation and the command lines of a published guide; tests
run a fake `atc`.

The graph has fixed sizes, two-dimensional convolutions (the only ones of the NPU), output scales
folded into the weights (half precision cannot represent 0.01) and opset 11, which every CANN reads.
PEM takes the rows of a whole video, (B, 1000, 32), as the exchange files contain them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from actspan.core.errors import CompileError
from actspan.deploy.compilation import (
    CompileJob,
    CompilePlan,
    Compiler,
    CompilerReport,
    Log,
    run_program,
)
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.optimize import read_model, rewrite_model
from actspan.deploy.variants import add_variant
from actspan.model.bmn.graph import build_bmn_for_npu
from actspan.model.bsn.graph import build_pem
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, NETS, Net, input_shape
from actspan.runtime.export import sample_inputs

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
    "install the CANN toolkit and the kernels of the chip (docs/deploy/ascend.md), and source its "
    "set_env.sh; or write a script for the NPU host: actspan compile BUNDLE --target ascend --print"
)


def atc_words(job: CompileJob, request: CompileRequest) -> list[str]:
    """Return the command as a list of words."""
    words = ["atc", "--framework=5", f"--model={job.source}", f"--output={job.stem}"]
    words += ["--input_format=ND", f"--input_shape={job.input}:{','.join(map(str, job.most))}"]
    words += ["--log=debug", f"--soc_version={request.soc}"]
    if request.precision == "fp32":  # by default atc computes in fp16 if it can
        words += ["--precision_mode=must_keep_origin_dtype"]
    return words


def atc_line(job: CompileJob, request: CompileRequest) -> str:
    """Return the command as the guide writes it, for a shell."""
    line = []
    for word in atc_words(job, request):
        name, equal, value = word.partition("=")
        quoted = f'"{value}"' if name == "--input_shape" else value and shlex.quote(value)
        line.append(f"{name}{equal}{quoted}")
    return " ".join(line)


def prepare(bundle: Bundle, request: CompileRequest, key: str) -> tuple[Bundle, list[CompileJob]]:
    """Write the graphs for atc; see `compilation`."""
    jobs = []
    for net in NETS:
        if f"{net}.onnx" not in bundle.files:
            continue
        for batch in request.batches:
            source = f"{net}.ascend.bs{batch}.onnx"
            bundle, sizes = _write_graph(bundle, net, batch, source)
            parts = [net, *(["fp16"] if request.precision == "fp16" else []), f"bs{batch}", "om"]
            jobs.append(CompileJob(net, source, (".".join(parts),), FORMS[net].input, sizes, sizes))
    return bundle, jobs


def _write_graph(bundle: Bundle, net: Net, batch: int, name: str) -> tuple[Bundle, tuple[int, ...]]:
    from actspan.deploy.passes.contract import PassSettings

    weights = bundle.weights(net)
    sizes: tuple[int, ...]
    if FORMS[net].sees_video:
        sizes = (batch, *input_shape(bundle.config, net))
        (sample,) = sample_inputs(bundle, net, weights, batch, sizes[2])
        settings = PassSettings(opset=OPSET, probes=({FORMS[net].input: sample},))
        if bundle.config.bmn is not None:
            model, passes = build_bmn_for_npu(weights, bundle.config.bmn, batch=batch), [*_PASSES]
        else:
            model, passes = read_model(bundle.file("tem.onnx")), ["fix-dims", *_PASSES]
            settings = replace(settings, batch=batch, length=sizes[2])
    else:
        sizes = (batch, bundle.config.pgm.keep, bundle.config.pem_inputs)
        model, passes = build_pem(weights, rank=3, batch=batch, proposals=sizes[1]), [*_PASSES]
        sample = np.random.default_rng(0).random(sizes, dtype=np.float32)
        settings = PassSettings(opset=OPSET, probes=({FORMS[net].input: sample},))
    done = rewrite_model(model, passes, settings, where=name)
    bundle, _ = add_variant(bundle, net, name, replace(done, probes=settings.probes))
    return bundle, sizes


def _run_atc(
    path: Path,
    env: Mapping[str, str],
    job: CompileJob,
    plan: CompilePlan,
    folder: Path,
    log: Log,
) -> CompilerReport:
    words = atc_words(job, plan.request)
    code, printed = run_program([str(path), *words[1:]], job, folder, log, env)
    if code != 0:
        raise CompileError(f"atc ended with {code}: {explain_atc(printed)}")
    wanted = folder / job.output
    others = sorted(folder.glob(f"{job.stem}_*.om"))  # newer versions add the host system
    if not wanted.is_file() and others:
        others[0].rename(wanted)
    if not wanted.is_file():
        raise CompileError(f"atc succeeded, but did not write {job.output}")
    return CompilerReport(words)


def find_compiler(request: CompileRequest) -> Compiler:
    """Find atc on PATH, or by CANN's `set_env.sh`."""
    env: Mapping[str, str] = os.environ
    program = shutil.which("atc")
    scripts = [] if program else [path for path in _scripts() if path.is_file()]
    for script in scripts:
        env = _source_environment(script)
        program = shutil.which("atc", path=env.get("PATH", ""))
        if program:
            break
    if not program:
        sourced = f"also after sourcing {', '.join(map(str, scripts))}"
        where = sourced if scripts else "and no set_env.sh of CANN was found"
        raise CompileError(f"target ascend: atc is not on PATH, {where}: {_GET}")
    path = Path(program)
    return Compiler(f"atc of {path.resolve()}", partial(_run_atc, path, env))


def _scripts() -> Iterator[Path]:
    for name in _HOMES:
        if os.environ.get(name):
            home = Path(os.environ[name])
            yield home / "set_env.sh"
            yield home.parent / "set_env.sh"
    for text in _SET_ENV:
        yield Path(text).expanduser()


def _source_environment(script: Path) -> dict[str, str]:
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
        output = done.stderr.decode(errors="replace").strip()
        raise CompileError(f"{script}: cannot be sourced: {output or f'code {done.returncode}'}")
    pairs = (entry.partition("=") for entry in done.stdout.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs if name}


def script_lines(plan: CompilePlan) -> list[str]:
    """Return the lines of the script."""
    return [
        "# CANN's environment, unless it is set up already",
        "for script in " + " ".join(_SET_ENV[:2]) + ' "$HOME"/Ascend/ascend-toolkit/set_env.sh; do',
        '  if ! command -v atc >/dev/null && [ -f "$script" ]; then . "$script" || true; fi',
        "done",
        "",
        *(atc_line(job, plan.request) for job in plan.jobs),
    ]


# Explanations of atc's error codes for these networks. The codes are those of the vendor's
# registry of the graph engine; the advice is this project's.
_SHAPE = (
    "the shape does not fit the graph: write the graphs again (actspan export, actspan compile), "
    "and do not change the file names in the command"
)
_SOC = (
    "an option has a value that this CANN does not know. Most often it is the chip: npu-smi info "
    "shows its name; pass it in the form Ascend310, Ascend310P3, Ascend910B, ... with --soc"
)
_OPERATORS = (
    "this CANN does not know an operator, or does not find its operators: source set_env.sh "
    "(ASCEND_OPP_PATH), install the kernels package of this chip, or use a newer CANN"
)
_SOC_OPERATOR = (
    "the requested chip has no such operator: is --soc what npu-smi info shows, and are "
    "the kernels of that chip installed?"
)
_FILE = "a file cannot be read or written: look at the path, its rights and the free space"
_CHIP = (
    "the operators of this chip cannot be compiled: the kernels package is missing or of another "
    "version than the toolkit, or the Python packages that CANN needs are (decorator, sympy, "
    "attrs, psutil, cffi, scipy, numpy below 2)"
)

ATC_HELP: Mapping[str, str] = MappingProxyType(
    {
        "E10001": _SOC,
        "E10002": _SHAPE,
        "E10003": _SOC,
        "E10007": "an option is missing that this CANN requires: see atc --help of your version",
        "E10010": "this CANN does not know --log=debug; run the printed command with --log=info",
        "E10011": _SHAPE,
        "E10013": _SOC,
        "E10014": _SOC,
        "E10016": "the graph has no input of that name: it was exported by another tool; use the "
        "bundle's own graphs (actspan export, actspan compile)",
        "E10021": "the path is too long for atc: move the bundle to a shorter one",
        "E10501": _OPERATORS,
        "E11005": _SHAPE,
        "E13000": _FILE,
        "E13001": _FILE,
        "E13003": _FILE,
        "E13004": _FILE,
        "E13005": "the graph is not read: the protobuf of this CANN is older than the file; use a "
        "newer CANN",
        "E13010": _OPERATORS,
        "E13024": "an environment variable is wrong: open a new shell and source set_env.sh alone",
        "E14001": "an operator of the graph does not fit this chip: with --precision fp32 try "
        "fp16; else use a newer CANN",
        "E16002": _OPERATORS,
        "E16005": "the graph names several operator sets: write it again (actspan compile)",
        "E19999": "atc failed without an error code: look for the first lines with "
        "ERROR in the log, and in ~/ascend/log. Frequent reasons: the environment of another "
        "version, no space in /tmp, too little memory",
        "E40001": _CHIP,
        "E40002": "CANN's operators need another Python: put one that this CANN names (3.7 to "
        "3.11, by its version) first on PATH",
        "E40021": _CHIP,
        "EZ3002": _SOC_OPERATOR,
        "EZ3003": _SOC_OPERATOR,
        "EZ9999": "an operator failed to compile inside CANN: use a version that fits the driver "
        "(npu-smi info), and look into ~/ascend/log",
    }
)

# E10001: text; newer: E10001: [PID: 7] 2025-01-10-11:04:47.527 text, or a title(E10001): text
_CODE = re.compile(r"\b(E[A-Z\d]\d{4})\)?:[ \t]*(?:\[PID: \d+\]\s+[\d.:-]+\s+)?(.*)")
_INNER = ("E19999", "EZ9999")  # often follow a more specific code
_DEVLIB = (
    "CANN was installed on a host without an NPU: add its stand-in for the driver, export "
    "LD_LIBRARY_PATH=$ASCEND_TOOLKIT_HOME/$(uname -m)-linux/devlib:$LD_LIBRARY_PATH"
)


def explain_atc(printed: str) -> str:
    """Explain the first error code that atc prints, and what to do.

    Examples
    --------
    >>> explain_atc("E10007: --soc_version is required.").partition(";")[0]
    'E10007: --soc_version is required.'
    """
    if "libascend_hal.so" in printed:
        return f"libascend_hal.so is not found; {_DEVLIB}"
    errors = [(match[1], match[2].strip()) for match in _CODE.finditer(printed)]
    if not errors:
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"
    code, text = next((pair for pair in errors if pair[0] not in _INNER), errors[0])
    return "; ".join(filter(None, (f"{code}: {text}", ATC_HELP.get(code))))
