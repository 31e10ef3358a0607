"""Opening a network: by file, or the right file of a bundle for a backend."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from actspan.bundle import Bundle, Net
from actspan.errors import BackendError
from actspan.runtime.backends import BACKENDS, Backend, Support, find_backend
from actspan.runtime.rows import AnyRows
from actspan.runtime.session import Resources, Session

__all__ = ["check_backend", "net_file", "open_net", "open_session"]

_BATCH = re.compile(r"\.bs(\d+)\.")  # of an engine's file name

INPUT: dict[Net, str] = {"tem": "video", "pem": "video_feature"}


def open_session(
    path: str | os.PathLike[str], *, backend: str = "auto", threads: int = 1, streams: int = 1
) -> Session:
    """Open a network's file as it is.

    Parameters
    ----------
    path : path
        An ONNX file, weights (`.safetensors`, for torch), or what a vendor's compiler made.
    backend : str
        One of `BACKENDS`, with `:<number>` for another device than the first; or "auto" for the
        first of the table that takes such files and is usable.
    threads : int
        CPU threads that share one call; 1 leaves it to one.
    streams : int
        Calls that come at the same time, from as many threads of the caller.

    Raises
    ------
    BackendError, MissingExtraError
        The backend is unknown or absent, or it refuses the file.

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
    """Open a network of a bundle, with any number of rows a call, whatever the file was made for.

    Engines of a fixed batch get their last rows padded and the answer trimmed. Input and output
    have their names in the bundle's ONNX files, whatever a compiler made of them.

    Parameters
    ----------
    bundle : Bundle
    net : "tem" or "pem"
    backend : str
        As for `open_session`, but not "auto": see `choose_backend`.
    variant : str
        Which file, where there are several: "fp16" is `tem.fp16.onnx`.
    threads, streams : int
        As for `open_session`.

    Raises
    ------
    BundleError
        The bundle has no such file, or it is damaged.
    BackendError, MissingExtraError
        The backend is unknown or absent, or it refuses the file.

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
    if path.suffix == ".xml":  # its weights lie beside it
        bundle.file(path.with_suffix(".bin").name)
    session = chosen.driver.open_file(path, chosen, Resources(threads, streams, device))
    try:
        return AnyRows.around(session, INPUT[net], rank=3 if net == "tem" else 2)
    except BackendError as error:
        session.close()
        raise BackendError(f"{path}: {error}") from error


def net_file(bundle: Bundle, net: Net, backend: Backend, variant: str = "") -> str:
    """Name of the file of a bundle that a backend opens.

    That is `tem.onnx`, `tem.fp16.onnx` for variant "fp16", or its compiled form where the bundle
    has one: `tem.xml`. Where a compiler's files all have variants (`tem.fp16.bs16.om`), the only
    one; of several that differ in their batch alone, the largest; of TensorRT's, those that were
    built for this GPU.

    Raises
    ------
    BackendError
        There are several and none was named.
    """
    stem = ".".join(filter(None, (net, variant or backend.graph)))
    plain = f"{stem}{backend.suffix}"
    if not variant and f"{stem}{backend.compiled}" in bundle.files:
        return f"{stem}{backend.compiled}"
    if stem != net or plain in bundle.files or backend.suffix in (".onnx", ".safetensors"):
        return plain  # where it is missing, the bundle says how it is made
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
    """Whether a backend can be used on this machine; never raises for one that is absent.

    Raises
    ------
    BackendError
        There is no backend of that name.
    """
    backend, device = find_backend(name)
    return support_of(backend, device)


def support_of(backend: Backend, device: int = 0) -> Support:
    """Whether a backend can be used, also where its driver cannot even be imported."""
    try:
        driver = backend.driver
    except ImportError as error:
        return Support("", f"{error}: {backend.install}")
    return driver.check(backend, device)


def _batch_of(name: str) -> int:
    """What an engine was compiled for, `tem.fp16.bs16.om`; 0 where its name does not say."""
    found = _BATCH.search(name)
    return int(found[1]) if found else 0


def _built_here(engines: list[str]) -> list[str]:
    """Those of TensorRT's engines that say this GPU and version; all where none does."""
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
