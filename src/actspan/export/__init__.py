"""Weights to ONNX, without torch, and rewrites of ONNX graphs."""

from actspan.export.export import ExportCheck, export_bundle

__all__ = ["ExportCheck", "export_bundle"]
