"""Limits of a variant's difference from its checkpoint, by precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["LIMITS", "Limits", "precision_of"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that a variant must keep; None means no limit.

    Attributes
    ----------
    output : float
        Largest absolute difference of a probability, TEM's or PEM's.
    same : float, optional
        Minimum share of proposals with the same segment at the same rank.
    recall : float
        Percentage points by which AR@100 and AUC may change, up or down.
    all_recall : bool
        Apply `recall` to AR at smaller numbers of proposals, too.
    """

    output: float
    same: float | None
    recall: float
    all_recall: bool = True

    def broken(self, outputs: Mapping[str, float], same: float) -> Iterator[str]:
        """Return messages about the limits that outputs and proposals exceed.

        Parameters
        ----------
        outputs : mapping of str to float
            Largest difference by network.
        same : float
            Share of proposals with the same segment at the same rank.
        """
        for net, difference in outputs.items():
            if not difference <= self.output:  # NaN counts as a failure
                yield f"{net.upper()} differs by {difference:.2g}, at most {self.output:g}"
        if self.same is not None and same < self.same:
            yield f"{same:.2%} of proposals are the same, at least {self.same:.1%}"


# Full precision only changes the order of rounding. Half precision has 11 bits, bfloat16 has 8.
# An 8-bit graph differs slightly everywhere: it is judged by its proposals.
LIMITS: Mapping[str, Limits] = MappingProxyType(
    {
        "float32": Limits(output=1e-5, same=0.999, recall=0.01),
        "float16": Limits(output=1e-2, same=0.98, recall=0.05),
        "bfloat16": Limits(output=0.1, same=None, recall=0.3, all_recall=False),
        "int8": Limits(output=0.5, same=None, recall=0.3, all_recall=False),
    }
)

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
