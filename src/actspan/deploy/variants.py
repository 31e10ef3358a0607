"""Variants of a bundle: its ONNX files after graph passes, and backends that run them.

A file is named after its network and the passes that changed the bundle's networks, in order:
`tem.conv2d.fp16.onnx` and, although PEM has no convolution, `pem.conv2d.fp16.onnx`, so that one
name finds both. Passes that changed neither are not in the name; a network that no pass
changed has no such file, and its plain one is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from actspan.core.wording import quoted
from actspan.deploy.optimize import RewrittenModel, read_model, rewrite_model, with_implied
from actspan.model.bundle import Bundle
from actspan.model.forward import network_outputs
from actspan.model.nets import FORMS, NETS, Net
from actspan.runtime.backends import BACKENDS, Backend
from actspan.runtime.export import ExportCheck, check_probabilities, sample_inputs
from actspan.runtime.opening import find_backend, open_net
from actspan.runtime.session import Session

if TYPE_CHECKING:
    import onnx

    from actspan.deploy.passes.contract import PassSettings


@dataclass(frozen=True, slots=True)
class VariantFiles:
    """A bundle with one variant of its networks."""

    bundle: Bundle  # with the new files
    checks: tuple[ExportCheck, ...]  # one per new file
    rewritten: Mapping[Net, RewrittenModel]  # for every exported network, changed or not

    def file(self, net: Net) -> str:
        """Return the file of a network: its plain one if the passes do not change it."""
        return next((check.file for check in self.checks if check.net == net), f"{net}.onnx")


def variant_name(net: Net, tags: Sequence[str]) -> str:
    """Return the file name of a variant.

    Examples
    --------
    >>> variant_name("tem", ["conv2d", "fp16"])
    'tem.conv2d.fp16.onnx'
    """
    return ".".join([net, *tags, "onnx"])


def export_variants(
    bundle: Bundle,
    passes: Sequence[str],
    settings: PassSettings | None = None,
    *,
    calibrate: Path | None = None,
) -> VariantFiles:
    """Run graph passes over the exported networks of a bundle, and add the results to it.

    Parameters
    ----------
    bundle : Bundle
        A bundle whose networks are exported.
    passes : sequence of str
        Names, in the order in which they run. `fix-dims` applies only to TEM and BMN:
        the number of proposals stays free.
    settings : PassSettings, optional
        Its batch and length are used if `fix-dims` is among the passes.
    calibrate : Path, optional
        A dataset folder, which int8 needs.

    Raises
    ------
    ExportError, ParityError, BundleError
        A pass is not known, or cannot be applied; a variant differs from its weights by more than
        its passes allow; a file is damaged, or cannot be written.
    """
    from actspan.deploy.passes.contract import PassSettings

    settings = settings or PassSettings()
    free = replace(settings, batch=None, length=None, dims={})
    rewritten: dict[Net, RewrittenModel] = {}
    for net in NETS:
        if f"{net}.onnx" not in bundle.files:
            continue
        net_settings = settings if FORMS[net].sees_video and "fix-dims" in passes else free
        names = [name for name in passes if FORMS[net].sees_video or name != "fix-dims"]
        file = bundle.file(f"{net}.onnx")
        model = read_model(file)
        batch, length = _fixed_sizes(model, net)
        inputs = sample_inputs(
            bundle,
            net,
            bundle.weights(net),
            net_settings.batch or batch,
            net_settings.length or length,
        )
        net_settings = replace(net_settings, probes=tuple({FORMS[net].input: x} for x in inputs))
        if calibrate is not None and "int8" in passes:
            from actspan.deploy.passes.calibration import DatasetCalibration

            net_settings = replace(
                net_settings, calibration=DatasetCalibration(calibrate, net, bundle)
            )
        rewritten[net] = rewrite_model(model, names, net_settings, where=str(file))
    order = with_implied(passes, settings if "fix-dims" in passes else free)
    tags: dict[str, str] = {}  # of the passes that changed one of the networks
    for done in rewritten.values():
        changed = (report.name for report in done.reports if report.changed)
        tags |= zip(changed, done.tags, strict=True)
    in_order = [tags[name] for name in dict.fromkeys(order) if name in tags]
    checks = []
    for net, done in rewritten.items():
        if done.changed:
            bundle, check = add_variant(bundle, net, variant_name(net, in_order), done)
            checks.append(check)
    return VariantFiles(bundle, tuple(checks), rewritten)


def _fixed_sizes(model: onnx.ModelProto, net: Net) -> tuple[int | None, int | None]:
    """Return the batch size and the number of cells of a graph; None where they are free."""
    (value,) = model.graph.input
    sizes = [size.dim_value or None for size in value.type.tensor_type.shape.dim]
    return sizes[0], sizes[-1] if FORMS[net].sees_video else None


def add_variant(
    bundle: Bundle, net: Net, name: str, rewritten: RewrittenModel
) -> tuple[Bundle, ExportCheck]:
    """Compare a rewritten graph with the weights, and add it to the bundle as a file.

    Both are run on `rewritten.probes`, or on random samples if there are none. Raise ParityError
    if they differ by more than the passes allow; nothing is written then.
    """
    from actspan.deploy.passes.numeric import run

    weights = bundle.weights(net)
    name_of_input = FORMS[net].input
    inputs = [probe[name_of_input] for probe in rewritten.probes] or list(
        sample_inputs(bundle, net, weights, *_fixed_sizes(rewritten.model, net))
    )
    outputs = run(rewritten.model, [{name_of_input: x} for x in inputs])
    settings = bundle.settings(net)
    difference = max(
        check_probabilities(
            y,
            *expected,
            where=f"{name}: not written: it differs from the NumPy network",
            remedy=f"leave a pass out: actspan export {quoted(bundle.path)} --passes ...",
            slack=rewritten.tolerance,
        )
        for x, of_x in zip(inputs, outputs, strict=True)
        for y, expected in zip(of_x, network_outputs(settings, weights, x), strict=True)
    )
    data = rewritten.model.SerializeToString(deterministic=True)
    check = ExportCheck(
        net=net,
        file=name,
        opset=next(o.version for o in rewritten.model.opset_import if not o.domain),
        size=len(data),
        numpy_difference=difference,
        passes=tuple(report.name for report in rewritten.reports if report.changed),
    )
    return bundle.add_file(name, data), check


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a variant's difference from its checkpoint; None means no limit."""

    output: float  # largest absolute difference of a probability
    same: float | None  # least share of proposals with the same segment at the same rank
    recall: float  # percentage points by which AR@100 and AUC may change, up or down
    all_recall: bool = True  # apply `recall` to AR at smaller numbers of proposals, too
    kept: float | None = None  # least share of proposals with the same segment at any rank

    def broken(
        self, outputs: Mapping[str, float], same: float = 1.0, kept: float = 1.0
    ) -> Iterator[str]:
        """Yield messages about exceeded limits, from the largest difference of each network."""
        for net, difference in outputs.items():
            if not difference <= self.output:  # NaN counts as a failure
                yield f"{net.upper()} differs by {difference:.2g}, at most {self.output:g}"
        if self.same is not None and same < self.same:
            yield f"{same:.2%} of proposals are the same, at least {self.same:.1%}"
        if self.kept is not None and kept < self.kept:
            yield f"{kept:.2%} of proposals are kept, at least {self.kept:.1%}"


# Points of AR@100 and AUC by which a fast mode of `propose --precision` may change the result.
FAST_RECALL = 0.1

# Full precision only changes the order of rounding. Half precision has 11 bits, bfloat16 has 8.
# An 8-bit graph differs slightly everywhere: it is judged by its proposals.
# BMN scores every pair of cells, and neighbours differ by less than half precision resolves. They
# change places, so the ranks of its proposals are not judged there.
LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        "float32": Limits(output=1e-5, same=0.999, recall=0.01),
        "float16": Limits(output=1e-2, same=0.98, recall=0.05),
        "float16 of BMN": Limits(output=1e-2, same=None, kept=0.95, recall=0.3, all_recall=False),
        "bfloat16": Limits(output=0.1, same=None, recall=FAST_RECALL, all_recall=False),
        "mixed": Limits(output=0.5, same=None, recall=FAST_RECALL, all_recall=False),
        "int8": Limits(output=0.5, same=None, recall=0.3, all_recall=False),
    }
)


def limits_of(precision: str, nets: Iterable[str]) -> Limits:
    """Return the limits of a precision for a model with these networks."""
    of_bmn = LIMITS.get(f"{precision} of BMN") if "bmn" in nets else None
    return of_bmn or LIMITS[precision]


_ROUGHEST_FIRST = {
    "int8": ("int8", "qdq", "w8a8"),
    "bfloat16": ("bf16", "bfloat16"),
    "float16": ("fp16", "f16", "float16", "half"),
}


def precision_of(variant: str, backend: str = "float32") -> str:
    """Return the precision whose limits apply: the lower of graph variant and backend.

    The precision of a variant is in its name: `tem.fp16.onnx`, `tem.conv2d-int8.onnx`.
    """
    words = set(variant.lower().replace("-", ".").replace("_", ".").split("."))
    for precision, names in _ROUGHEST_FIRST.items():
        if backend == precision or words.intersection(names):
            return precision
    return backend if backend in LIMITS else "float32"


@dataclass(frozen=True, slots=True)
class Variant:
    """A graph of a bundle on a backend."""

    backend: str  # name for `open_session`
    # Variant in the file name: "fp16" is `tem.fp16.onnx`; empty for `tem.onnx`. A network without
    # such a file runs its plain one.
    graph: str = ""
    precision: str = "float32"  # precision whose limits apply
    # Suffix of compiled files that replace ONNX: ".xml"; empty if there are none.
    compiled: str = ""

    @property
    def name(self) -> str:
        """Name for tables."""
        name = f"{self.backend}, {self.graph}" if self.graph else self.backend
        return f"{name} ({self.compiled})" if self.compiled else name

    def open(self, bundle: Bundle, net: Net, *, streams: int, threads: int = 1) -> Session:
        """Open a session of a network for this variant; errors are those of `open_net`."""
        suffix = find_backend(self.backend)[0].suffix
        has_own = bool(self.graph) and f"{net}.{self.graph}{suffix}" in bundle.files
        variant = self.graph if has_own else ""
        return open_net(
            bundle, net, backend=self.backend, variant=variant, streams=streams, threads=threads
        )


def find_variants(bundle: Bundle, backends: Iterable[str] | None = None) -> list[Variant]:
    """Find every graph of a bundle, whose networks are exported, on every backend.

    `backends` are by default those that this project verifies in full precision, and those for
    which the bundle has compiled files. Raise BackendError if one is not known.
    """
    if backends is None:
        plain, rows = (".onnx", ".safetensors"), BACKENDS.values()
        backends = [b.name for b in rows if b.verified and b.precision == "float32"]
        backends += [b.name for b in rows if b.suffix not in plain and _graphs(bundle, b)]
    variants = []
    for name in backends:
        backend, _ = find_backend(name)
        for graph in _graphs(bundle, backend) or [""]:
            compiled = not graph and any(f"{net}{backend.compiled}" in bundle.files for net in NETS)
            precision = precision_of(graph, backend.precision)
            variants.append(Variant(name, graph, precision, backend.compiled if compiled else ""))
    return variants


def _graphs(bundle: Bundle, backend: Backend) -> list[str]:
    """Return the variants of TEM and PEM files that the backend opens, such as "fp16"."""
    if backend.graph:
        has_graph = any(f"{net}.{backend.graph}{backend.suffix}" in bundle.files for net in NETS)
        return [""] if has_graph else []
    graphs = set()
    for name in bundle.files:
        net, _, rest = name.partition(".")
        if net in NETS and f".{rest}".endswith(backend.suffix):
            graphs.add(f".{rest}".removesuffix(backend.suffix).removeprefix("."))
    return sorted(graphs)
