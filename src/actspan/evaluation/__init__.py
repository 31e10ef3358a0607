"""Evaluation of proposals and detections by the ActivityNet protocol."""
