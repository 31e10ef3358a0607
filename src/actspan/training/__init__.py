"""Training: TEM, then candidates and BSP features in memory, then PEM (extra `train`)."""
