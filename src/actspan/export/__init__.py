"""Weights to ONNX, without torch."""

from actspan.export.export import ExportCheck, export_bundle

__all__ = ["ExportCheck", "export_bundle"]
