"""Annotations, features and datasets: what people have, read and checked."""
