"""Variants to verify: every graph of a bundle on every backend that opens it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from actspan.deploy.verify.limits import precision_of
from actspan.model.bundle import Bundle
from actspan.model.weights import NETS, Net
from actspan.runtime.backends import BACKENDS, Backend, find_backend
from actspan.runtime.opening import open_net
from actspan.runtime.session import Session

__all__ = ["Variant", "find_variants", "nets_of"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a bundle.

    Attributes
    ----------
    backend : str
        Name for `open_session`.
    graph : str
        Variant in the file name: "fp16" is `tem.fp16.onnx`; empty for `tem.onnx`. A network
        without such a file runs its plain one.
    precision : str
        Precision whose limits apply.
    compiled : str
        Suffix of compiled files that replace ONNX: ".xml"; empty if there are none.
    """

    backend: str
    graph: str = ""
    precision: str = "float32"
    compiled: str = ""

    @property
    def name(self) -> str:
        """Name for tables."""
        name = f"{self.backend}, {self.graph}" if self.graph else self.backend
        return f"{name} ({self.compiled})" if self.compiled else name

    def open(self, bundle: Bundle, net: Net, *, streams: int, threads: int = 1) -> Session:
        """Open a session of a network for this variant.

        Raises
        ------
        BackendError, BundleError
            The runtime is absent, or refuses the file; or the file is damaged.
        """
        suffix = find_backend(self.backend)[0].suffix
        has_own = bool(self.graph) and f"{net}.{self.graph}{suffix}" in bundle.files
        variant = self.graph if has_own else ""
        return open_net(
            bundle, net, backend=self.backend, variant=variant, streams=streams, threads=threads
        )


def nets_of(bundle: Bundle) -> list[Net]:
    """Return the networks that a bundle holds."""
    return [net for net in NETS if (bundle.has_tem if net == "tem" else bundle.has_pem)]


def find_variants(bundle: Bundle, backends: Iterable[str] | None = None) -> list[Variant]:
    """Find every graph of the bundle on every backend.

    Parameters
    ----------
    bundle : Bundle
        A bundle with exported ONNX files.
    backends : iterable of str, optional
        Only these, in this order. Default: those that this project verifies, and those for which
        the bundle holds compiled files.

    Raises
    ------
    BackendError
        A backend is not known.
    """
    names = _usual(bundle) if backends is None else list(backends)
    return [variant for name in names for variant in _of_backend(bundle, name)]


def _usual(bundle: Bundle) -> list[str]:
    plain = (".onnx", ".safetensors")
    compiled = [b.name for b in BACKENDS.values() if b.suffix not in plain and _graphs(bundle, b)]
    # Backends with different numerics run only if requested.
    exact = [b.name for b in BACKENDS.values() if b.verified and b.precision == "float32"]
    return [*exact, *compiled]


def _of_backend(bundle: Bundle, name: str) -> Iterator[Variant]:
    backend, _ = find_backend(name)
    for graph in _graphs(bundle, backend) or [""]:
        compiled = not graph and any(f"{net}{backend.compiled}" in bundle.files for net in NETS)
        precision = precision_of(graph, backend.precision)
        yield Variant(name, graph, precision, backend.compiled if compiled else "")


def _graphs(bundle: Bundle, backend: Backend) -> list[str]:
    """Return the variants of TEM and PEM files that the backend opens, such as "fp16"."""
    if backend.graph:
        there = any(f"{net}.{backend.graph}{backend.suffix}" in bundle.files for net in NETS)
        return [""] if there else []
    found = set()
    for name in bundle.files:
        net, _, rest = name.partition(".")
        if net in NETS and f".{rest}".endswith(backend.suffix):
            found.add(f".{rest}".removesuffix(backend.suffix).removeprefix("."))
    return sorted(found)
