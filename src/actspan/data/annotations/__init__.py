"""Annotations in many formats: one file per format, and one table of formats (`FORMS`)."""

from actspan.data.annotations.activitynet import document_of as activitynet_document
from actspan.data.annotations.authors import AUTHORS_JSON, AUTHORS_TABLE
from actspan.data.annotations.base import AMBIGUOUS, Annotations, Unit, canonical_id
from actspan.data.annotations.forms import (
    DATASET_JSON,
    DATASET_TABLE,
    FORMS,
    Form,
    find_annotations,
    read_annotations,
)
from actspan.data.annotations.saving import encode_annotations, write_annotations

__all__ = [
    "AMBIGUOUS",
    "AUTHORS_JSON",
    "AUTHORS_TABLE",
    "DATASET_JSON",
    "DATASET_TABLE",
    "FORMS",
    "Annotations",
    "Form",
    "Unit",
    "activitynet_document",
    "canonical_id",
    "encode_annotations",
    "find_annotations",
    "read_annotations",
    "write_annotations",
]
