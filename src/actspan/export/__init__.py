"""Weights to ONNX, without torch, and rewrites of ONNX graphs."""

from actspan.export.checks import ExportCheck
from actspan.export.export import export_bundle

__all__ = ["ExportCheck", "export_bundle"]
