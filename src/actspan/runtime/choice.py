"""Choice of the backend for a bundle: the given one, or the fastest that works here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from actspan.core.errors import ActSpanError, BackendError
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.runtime.backends import BACKENDS, Backend, find_backend
from actspan.runtime.opening import net_file, open_net, support_of

__all__ = ["Choice", "choose_backend"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen backend, with the reason.

    Attributes
    ----------
    name : str
    reason : str
        Reason in a few words, for people.
    """

    name: str
    reason: str


def choose_backend(bundle: Bundle, wanted: str = "auto") -> Choice:
    """Choose a backend for a bundle.

    "auto" takes the first of the table that is installed and for which the bundle has files:
    files compiled for this machine, then accelerators, then processors from fast to slow in the
    order that `python -m benchmarks.backends` measures. The order is fixed and not measured at run
    time, so two runs on a machine give the same bytes. A backend that is not verified must also
    open the bundle's networks.

    Parameters
    ----------
    bundle : Bundle
    wanted : str
        A backend, or "auto".

    Raises
    ------
    BackendError
        The backend is not known, or no backend works; gives the reason for each.

    Examples
    --------
    >>> choose_backend(Bundle.load("bsn/")).name  # doctest: +SKIP
    'openvino'
    """
    if wanted != "auto":
        find_backend(wanted)
        return Choice(wanted, "as asked")
    passed: dict[str, str] = {}
    for backend in BACKENDS.values():
        if not backend.auto:
            continue
        problem = _problem(bundle, backend)
        if not problem:
            return Choice(backend.name, _reason(backend, passed))
        passed[backend.name] = problem
    reasons = "; ".join(f"{name}: {why}" for name, why in passed.items())
    raise BackendError(f"{bundle.path}: no backend can run it here: {reasons}")


def _problem(bundle: Bundle, backend: Backend) -> str:
    nets = [net for net in NETS if (bundle.has_tem if net == "tem" else bundle.has_pem)]
    try:
        missing = [net for net in nets if not _has_file(bundle, net, backend)]
        if missing:
            return f"the bundle has no {backend.suffix} of {', '.join(missing)}"
        support = support_of(backend)
        if not support.usable:
            return support.problem
        if not backend.verified:
            for net in nets:
                open_net(bundle, net, backend=backend.name).close()
    except ActSpanError as error:
        return str(error)
    return ""


def _has_file(bundle: Bundle, net: Net, backend: Backend) -> bool:
    if net_file(bundle, net, backend) in bundle.files:
        return True
    return backend.suffix == ".onnx" and importlib.util.find_spec("onnx") is not None  # exportable


def _reason(backend: Backend, passed: dict[str, str]) -> str:
    reason = "the first in auto's order, fastest first, that is installed and fits this bundle"
    if not backend.verified:
        reason += "; nobody has verified it: run actspan verify"
    notable = [name for name in passed if support_of(BACKENDS[name]).installed]
    return reason + "".join(f"; {name} passed over: {passed[name]}" for name in notable)
