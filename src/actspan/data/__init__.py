"""Annotations, features and datasets: reading and checking."""
