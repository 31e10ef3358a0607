"""Training: TEM, then candidates and BSP features in memory, then PEM (extra `train`)."""

from actspan.training.report import Report
from actspan.training.train import train, trainable

__all__ = ["Report", "train", "trainable"]
