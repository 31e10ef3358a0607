"""Weights to ONNX, without torch, and rewrites of ONNX graphs."""
