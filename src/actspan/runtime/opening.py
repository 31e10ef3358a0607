"""Opening of networks: by file, or the right file of a bundle for a backend."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from actspan.core.errors import BackendError
from actspan.model.bundle import Bundle
from actspan.model.weights import Net
from actspan.runtime.backends import BACKENDS, Backend, Support, find_backend
from actspan.runtime.rows import AnyRows
from actspan.runtime.session import Resources, Session

__all__ = ["check_backend", "net_file", "open_net", "open_session"]

_BATCH = re.compile(r"\.bs(\d+)\.")  # in the file name of an engine

INPUT: dict[Net, str] = {"tem": "video", "pem": "video_feature"}


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
    threads : int
        CPU threads per call; with 1, the calling thread computes alone.
    streams : int
        Number of concurrent calls, from as many threads of the caller.

    Raises
    ------
    BackendError, MissingExtraError
        The backend is unknown or not installed, or it refuses the file.

    Examples
    --------
    >>> open_session("bsn/tem.onnx").input_shapes  # doctest: +SKIP
    mappingproxy({'video': (None, 400, None)})
    """
    path = Path(path)
    resources = Resources(threads, streams)
    if backend != "auto":
        chosen, device = find_backend(backend)
        resources = Resources(threads, streams, device)
    if not path.is_file():
        raise BackendError(f"{path}: there is no such file; write it: actspan export BUNDLE")
    if backend == "auto":
        chosen = _first_for(path)
    elif path.suffix not in _suffixes(chosen):
        opened = " and ".join(_suffixes(chosen))
        raise BackendError(
            f"{path}: backend {backend} opens {opened} files, not {path.suffix or 'this'}"
        )
    return chosen.driver.open_file(path, chosen, resources)


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
    bundle : Bundle
    net : "tem" or "pem"
    backend : str
        The same as for `open_session`, but not "auto"; see `choose_backend`.
    variant : str
        Variant of the file, if there are several: "fp16" is `tem.fp16.onnx`.
    threads, streams : int
        The same as for `open_session`.

    Raises
    ------
    BundleError
        The bundle has no such file, or it is damaged.
    BackendError, MissingExtraError
        The backend is unknown or not installed, or it refuses the file.

    Examples
    --------
    >>> with open_net(bundle, "tem", backend="openvino", streams=2) as tem:  # doctest: +SKIP
    ...     scores = tem.run({"video": x})["output"]  # (B, C, T) to (B, 3, T)
    """
    chosen, device = find_backend(backend)
    name = net_file(bundle, net, chosen, variant)
    if name not in bundle.files and not support_of(chosen, device).installed:
        raise BackendError(f"backend {backend} is not installed: {chosen.install}")
    path = bundle.file(name)
    if path.suffix == ".xml":  # the weights are in a second file
        bundle.file(path.with_suffix(".bin").name)
    session = chosen.driver.open_file(path, chosen, Resources(threads, streams, device))
    try:
        return AnyRows.wrap(session, INPUT[net], rank=3 if net == "tem" else 2)
    except BackendError as error:
        session.close()
        raise BackendError(f"{path}: {error}") from error


def net_file(bundle: Bundle, net: Net, backend: Backend, variant: str = "") -> str:
    """Return the name of the file of a bundle that a backend opens.

    This is `tem.onnx`, `tem.fp16.onnx` for variant "fp16", or the compiled form if the bundle has
    one: `tem.xml`. If all compiled files have variants (`tem.fp16.bs16.om`), it is the only one;
    if they differ only in their batch, it is the largest. TensorRT engines built for this GPU are
    preferred.

    Raises
    ------
    BackendError
        There are several files, and none was chosen.
    """
    stem = ".".join(filter(None, (net, variant or backend.graph)))
    plain = f"{stem}{backend.suffix}"
    if not variant and f"{stem}{backend.compiled}" in bundle.files:
        return f"{stem}{backend.compiled}"
    if stem != net or plain in bundle.files or backend.suffix in (".onnx", ".safetensors"):
        return plain  # if it is missing, the bundle raises an error that says how to make it
    found = sorted(
        f for f in bundle.files if f.startswith(f"{net}.") and f.endswith(backend.suffix)
    )
    if backend.module == "tensorrt":
        found = _built_here(found)
    if len({_BATCH.sub(".", name) for name in found}) > 1:
        raise BackendError(
            f"{bundle.path}: there are {', '.join(found)}; keep the one that {backend.name} "
            f"shall open as {plain}"
        )
    return max(found, key=_batch_of, default=plain)


def check_backend(name: str) -> Support:
    """Check that a backend can be used on this machine; never raises if it is not installed.

    Raises
    ------
    BackendError
        No backend has this name.
    """
    backend, device = find_backend(name)
    return support_of(backend, device)


def support_of(backend: Backend, device: int = 0) -> Support:
    """Check that a backend can be used, even if its driver cannot be imported."""
    try:
        driver = backend.driver
    except ImportError as error:
        return Support("", f"{error}: {backend.install}")
    return driver.check(backend, device)


def _batch_of(name: str) -> int:
    """Return the batch size in an engine's name (`tem.fp16.bs16.om`), or 0."""
    found = _BATCH.search(name)
    return int(found[1]) if found else 0


def _built_here(engines: list[str]) -> list[str]:
    """Return the TensorRT engines named after this GPU and version, or all if there are none."""
    from actspan.runtime.tensorrt import this_gpu

    key = this_gpu()
    return [name for name in engines if key and f".{key}." in name] or engines


def _suffixes(backend: Backend) -> list[str]:
    return [suffix for suffix in (backend.suffix, backend.compiled) if suffix]


def _first_for(path: Path) -> Backend:
    takers = [b for b in BACKENDS.values() if b.auto and path.suffix in _suffixes(b)]
    for backend in takers:
        if support_of(backend).usable:
            return backend
    raise BackendError(f"{path}: {_why_none(takers)}")


def _why_none(takers: Sequence[Backend]) -> str:
    if not takers:
        kinds = sorted({suffix for b in BACKENDS.values() for suffix in _suffixes(b)})
        return f"no backend opens such a file; they open: {', '.join(kinds)}"
    reasons = (f"{backend.name}: {support_of(backend).problem}" for backend in takers)
    return "no backend for it is usable here: " + "; ".join(reasons)
