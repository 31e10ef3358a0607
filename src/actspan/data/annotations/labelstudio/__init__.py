"""Label Studio's JSON: reading annotated tasks, and writing tasks with predictions to correct."""

from actspan.data.annotations.labelstudio.reading import fits, read
from actspan.data.annotations.labelstudio.writing import encode

__all__ = ["encode", "fits", "read"]
