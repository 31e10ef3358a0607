"""Explanations of the error codes of Ascend's compiler for these networks.

The codes are those of the vendor's registry of the graph engine; the advice is this project's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["HELP", "explain"]

_SHAPE = (
    "the shape does not fit the graph: write the graphs again (actspan export, actspan compile), "
    "and do not change the file names in the command"
)
_SOC = (
    "an option has a value that this CANN does not know. Most often it is the chip: npu-smi info "
    "shows its name, atc wants it as Ascend310, Ascend310P3, Ascend910B, ...: give that with --soc"
)
_OPERATORS = (
    "this CANN does not know an operator, or does not find its operators: source set_env.sh "
    "(ASCEND_OPP_PATH), install the kernels package of this chip, or use a newer CANN"
)
_SOC_OPERATOR = (
    "the chip that was asked for has no such operator: is --soc what npu-smi info shows, and are "
    "the kernels of that chip installed?"
)
_FILE = "a file cannot be read or written: look at the path, its rights and the free space"
_CHIP = (
    "the operators of this chip cannot be compiled: the kernels package is missing or of another "
    "version than the toolkit, or the Python packages that CANN needs are (decorator, sympy, "
    "attrs, psutil, cffi, scipy, numpy below 2)"
)

HELP: Mapping[str, str] = MappingProxyType(
    {
        "E10001": _SOC,
        "E10002": _SHAPE,
        "E10003": _SOC,
        "E10007": "an option is missing that this CANN wants: see atc --help of your version",
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
        "E19999": "atc gives up without a reason of its own: the first lines that say ERROR in the "
        "log, and those in ~/ascend/log, are what to look for. Frequent: sourced for another "
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


def explain(printed: str) -> str:
    """Explain the first error code that atc prints, and what to do.

    Examples
    --------
    >>> explain("E10007: --soc_version is required.").partition(";")[0]
    'E10007: --soc_version is required.'
    """
    if "libascend_hal.so" in printed:
        return f"libascend_hal.so is not found; {_DEVLIB}"
    found = [(match[1], match[2].strip()) for match in _CODE.finditer(printed)]
    if not found:
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"
    code, text = next((pair for pair in found if pair[0] not in _INNER), found[0])
    return "; ".join(filter(None, (f"{code}: {text}", HELP.get(code))))
