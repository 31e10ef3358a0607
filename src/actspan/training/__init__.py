"""Training: TEM, then candidates and BSP features in memory, then PEM (extra `train`)."""

from actspan.training.parts import trainable
from actspan.training.report import Report
from actspan.training.train import train

__all__ = ["Report", "train", "trainable"]
