"""Choice of a backend for a bundle, and opening of networks."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from actspan.core.errors import ActSpanError, BackendError
from actspan.core.wording import suggestion
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, NETS, Net
from actspan.runtime.backends import BACKENDS, ORT, Backend, Support
from actspan.runtime.session import Session, SessionOptions, with_any_batch

_BATCH = re.compile(r"\.bs(\d+)\.")  # in the file name of an engine


def find_backend(name: str) -> tuple[Backend, int]:
    """Find a backend by name, with the number of the device: `ascend:1` is the second NPU.

    `onnxruntime:<provider>` selects any execution provider that ONNX Runtime knows, even if it is
    not in the table. Raise BackendError if no backend has this name.
    """
    base, _, number = name.rpartition(":")
    device = int(number) if base and number.isdecimal() else 0
    base = base if base and number.isdecimal() else name
    if base in BACKENDS:
        return BACKENDS[base], device
    module, _, provider = base.partition(":")
    if module == ORT and provider:
        _check_provider(base, provider)
        install = f"install an ONNX Runtime that is built with the {provider} execution provider"
        return Backend(base, ORT, provider, ".onnx", install, provider), device
    known = ["auto", *BACKENDS]
    raise BackendError(
        f"backend {name!r} is not known{suggestion(name, known)}; choose one of: {', '.join(known)}"
    )


def _check_provider(name: str, provider: str) -> None:
    """Check that the installed ONNX Runtime knows an execution provider."""
    import onnxruntime

    full = [*onnxruntime.get_all_providers(), *onnxruntime.get_available_providers()]
    known = {text.removesuffix("ExecutionProvider").lower() for text in full}
    if provider.lower() not in known:
        names = {row.removeprefix("onnxruntime:") for row in BACKENDS if "onnxruntime:" in row}
        raise BackendError(
            f"backend {name!r}: ONNX Runtime knows no such execution provider; choose one of: "
            f"{', '.join(f'onnxruntime:{text}' for text in sorted(known | names))}"
        )


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A chosen backend, with the reason in a few words."""

    name: str
    reason: str


def choose_backend(bundle: Bundle, wanted: str = "auto") -> BackendChoice:
    """Choose a backend for a bundle.

    "auto" takes the first of the table that is installed and for which the bundle has files:
    files compiled for this machine, then accelerators, then processors from fast to slow in the
    order that `python -m benchmarks.backends` measures. The order is fixed and not measured at run
    time, so two runs on a machine give the same bytes. A backend that is not verified must also
    open the bundle's networks. Raise BackendError if the backend is not known, or with the reason
    for each if none works.
    """
    if wanted != "auto":
        find_backend(wanted)
        return BackendChoice(wanted, "as requested")
    rejected: dict[str, str] = {}
    for backend in BACKENDS.values():
        if not backend.auto:
            continue
        problem = _problem_of(bundle, backend)
        if not problem:
            return BackendChoice(backend.name, _reason_of_choice(backend, rejected))
        rejected[backend.name] = problem
    reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
    raise BackendError(f"{bundle.path}: no backend can run it here: {reasons}")


def _problem_of(bundle: Bundle, backend: Backend) -> str:
    nets = [net for net in NETS if net in bundle.nets]
    exportable = backend.suffix == ".onnx" and importlib.util.find_spec("onnx") is not None
    try:
        missing = [net for net in nets if net_file(bundle, net, backend) not in bundle.files]
        if missing and not exportable:
            return f"the bundle has no {backend.suffix} of {', '.join(missing)}"
        support = backend.check()
        if not support.usable:
            return support.problem
        if not backend.verified:
            for net in nets:
                open_net(bundle, net, backend=backend.name).close()
    except ActSpanError as error:
        return str(error)
    return ""


def _reason_of_choice(backend: Backend, rejected: dict[str, str]) -> str:
    reason = "chosen by auto: the fastest that is installed and fits this bundle"
    if not backend.verified:
        reason += "; not verified: run actspan verify"
    installed = [name for name in rejected if BACKENDS[name].check().installed]
    return reason + "".join(f"; {name} passed over: {rejected[name]}" for name in installed)


def backend_of_backbone(wanted: str = "auto") -> str:
    """Return the name of the backend that opens the ONNX file of a backbone."""
    fits = wanted != "auto" and find_backend(wanted)[0].suffix == ".onnx"
    return wanted if fits else _backend_for_file(Path("backbone.onnx")).name


def check_backend(name: str) -> Support:
    """Check that a backend can be used here; raise BackendError if no backend has this name."""
    backend, device = find_backend(name)
    return backend.check(device)


def open_session(
    path: str | os.PathLike[str], *, backend: str = "auto", threads: int = 1, streams: int = 1
) -> Session:
    """Open the file of a network with its own shapes and names.

    Parameters
    ----------
    path : path
        An ONNX file, weights (`.safetensors`, for torch), or the output of a vendor's compiler.
    backend : str
        One of `BACKENDS`, with `:<number>` for a device other than the first; or "auto" for the
        first of the table that opens such files and is usable.
    threads, streams : int
        See `SessionOptions`.

    Raises
    ------
    BackendError, MissingExtraError
        The backend is unknown or not installed, or it refuses the file.
    """
    path = Path(path)
    device = 0
    if backend != "auto":
        chosen, device = find_backend(backend)
    options = SessionOptions(threads=threads, streams=streams, device=device)
    if not path.is_file():
        raise BackendError(f"{path}: no such file; write it: actspan export BUNDLE")
    if backend == "auto":
        chosen = _backend_for_file(path)
    elif path.suffix not in chosen.suffixes:
        opened = " and ".join(chosen.suffixes)
        raise BackendError(
            f"{path}: backend {backend} opens {opened} files, not {path.suffix or 'this'}"
        )
    module = importlib.import_module(f"actspan.runtime.{chosen.module}")
    session: Session = module.open_file(path, chosen, options)
    return session


def _backend_for_file(path: Path) -> Backend:
    suitable = [b for b in BACKENDS.values() if b.auto and path.suffix in b.suffixes]
    reasons = []
    for backend in suitable:
        support = backend.check()
        if support.usable:
            return backend
        reasons.append(f"{backend.name}: {support.problem}")
    if suitable:
        raise BackendError(f"{path}: no backend for it is usable here: {'; '.join(reasons)}")
    kinds = sorted({suffix for b in BACKENDS.values() for suffix in b.suffixes})
    raise BackendError(f"{path}: no backend opens such a file; they open: {', '.join(kinds)}")


def open_net(
    bundle: Bundle,
    net: Net,
    *,
    backend: str,
    variant: str = "",
    threads: int = 1,
    streams: int = 1,
) -> Session:
    """Open a network of a bundle that takes any number of rows per call.

    For engines of a fixed batch, the last rows are padded and the output is trimmed. Input and
    output have the same names as in the bundle's ONNX files, even if a compiler renamed them.

    Parameters
    ----------
    backend, threads, streams
        The same as for `open_session`, but not "auto"; see `choose_backend`.
    variant : str
        Variant of the file, if there are several: "fp16" is `tem.fp16.onnx`.

    Raises
    ------
    BundleError, BackendError, MissingExtraError
        The bundle has no such file, or it is damaged; the backend is unknown or not installed, or
        it refuses the file.
    """
    chosen, device = find_backend(backend)
    name = net_file(bundle, net, chosen, variant)
    if name not in bundle.files and not chosen.check(device).installed:
        raise BackendError(f"backend {backend} is not installed: {chosen.install}")
    path = bundle.file(name)
    if path.suffix == ".xml":  # the weights are in a second file
        bundle.file(path.with_suffix(".bin").name)
    options = SessionOptions(threads=threads, streams=streams, device=device)
    module = importlib.import_module(f"actspan.runtime.{chosen.module}")
    session: Session = module.open_file(path, chosen, options)
    try:
        return with_any_batch(session, FORMS[net])
    except BackendError as error:
        session.close()
        raise BackendError(f"{path}: {error}") from error


def net_file(bundle: Bundle, net: Net, backend: Backend, variant: str = "") -> str:
    """Return the name of the file of a bundle that a backend opens.

    This is `tem.onnx`, `tem.fp16.onnx` for variant "fp16", or the compiled form if the bundle has
    one: `tem.xml`. If all compiled files have variants (`tem.fp16.bs16.om`), it is the only one;
    if they differ only in their batch, it is the largest. TensorRT engines built for this GPU are
    preferred. Raise BackendError if there are several files, and none was chosen.
    """
    stem = ".".join(filter(None, (net, variant or backend.graph)))
    plain = f"{stem}{backend.suffix}"
    if not variant and f"{stem}{backend.compiled}" in bundle.files:
        return f"{stem}{backend.compiled}"
    if stem != net or plain in bundle.files or backend.suffix in (".onnx", ".safetensors"):
        return plain  # if it is missing, the bundle raises an error that says how to make it
    files = sorted(
        f for f in bundle.files if f.startswith(f"{net}.") and f.endswith(backend.suffix)
    )
    if backend.module == "tensorrt" and files:
        from actspan.runtime.tensorrt import this_gpu

        key = this_gpu()
        files = [name for name in files if key and f".{key}." in name] or files
    if len({_BATCH.sub(".", name) for name in files}) > 1:
        raise BackendError(
            f"{bundle.path}: there are {', '.join(files)}; keep the one that {backend.name} "
            f"is to open as {plain}"
        )
    return max(files, key=lambda name: int((_BATCH.findall(name) or [0])[0]), default=plain)


def open_nets(
    bundle: Bundle, nets: Iterable[Net], backend: str, threads: int
) -> dict[Net, Session]:
    """Open networks of a bundle for calls from `threads` workers; each call uses one thread.

    Missing ONNX files are exported first. `backend` may be "auto".
    """
    chosen = choose_backend(bundle, backend).name
    nets = list(nets)
    missing = [net for net in nets if f"{net}.onnx" not in bundle.files]
    if missing and find_backend(chosen)[0].suffix == ".onnx":
        bundle = with_onnx(bundle)
    return {n: open_net(bundle, n, backend=chosen, threads=1, streams=threads) for n in nets}


def with_onnx(bundle: Bundle) -> Bundle:
    """Return the bundle with ONNX files of its networks; export those that are missing."""
    if all(f"{net}.onnx" in bundle.files for net in bundle.nets):
        return bundle
    from actspan.runtime.export import export_bundle

    exported, _ = export_bundle(bundle, check_torch=False)
    return exported
