"""The Open Inference Protocol v2: TEM, PEM and the whole pipeline for generic clients."""

from actspan.server.inference.models import InferenceModel, Network, WholePipeline
from actspan.server.inference.routes import STRUCTS, router

__all__ = ["STRUCTS", "InferenceModel", "Network", "WholePipeline", "router"]
