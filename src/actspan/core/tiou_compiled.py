"""Overlap of two segments, for use in kernels: compiled forms of `actspan.core.tiou`."""

from __future__ import annotations

from actspan.core.jit import inlined


@inlined
def tiou(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Compute the intersection over union of two segments, 0 if both are empty."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = (end_a - start_a) - inter + end_b - start_b
    return inter / union if union > 0.0 else 0.0


@inlined
def evaluated_tiou(start_a: float, end_a: float, start_b: float, end_b: float) -> float:
    """Compute the intersection over union in the evaluator's order, 0 if both are empty."""
    inter = max(min(end_a, end_b) - max(start_a, start_b), 0.0)
    union = ((end_b - start_b) + (end_a - start_a)) - inter
    return inter / union if union > 0.0 else 0.0
