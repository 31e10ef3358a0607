"""Comparison of every variant of a model with its checkpoint: outputs, proposals, recall."""

from actspan.verify.limits import LIMITS, Limits
from actspan.verify.variants import Variant, find_variants
from actspan.verify.verify import VariantResult, Verification, verify_bundle

__all__ = [
    "LIMITS",
    "Limits",
    "Variant",
    "VariantResult",
    "Verification",
    "find_variants",
    "verify_bundle",
]
