"""Weights to ONNX, without torch."""
