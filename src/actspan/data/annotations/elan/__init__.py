"""ELAN's .eaf: XML with tiers of annotations that refer to time slots, in milliseconds."""

from actspan.data.annotations.elan.reading import fits, read
from actspan.data.annotations.elan.writing import encode

__all__ = ["encode", "fits", "read"]
