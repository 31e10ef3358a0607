"""Requests for labels of proposals. Commands make their options of them."""

from __future__ import annotations

from typing import Annotated, Any

from actspan.config.base import (
    Config,
    Existing,
    ExistingFile,
    OnError,
    OutputFile,
    Positive,
    doc,
)
from actspan.core.errors import ConfigError


class LabelChoice(Config, frozen=True):
    """Source of labels: a score file, a bundle's classifier, or none; ConfigError for both."""

    labels_from: Annotated[
        ExistingFile | None,
        doc("Label the proposals from a score file: {video: [{label, score}, ...]}."),
    ] = None
    classify: Annotated[bool, doc("Label the proposals with the model's classifier.")] = False
    top_labels: Annotated[Positive, doc("Labels per proposal.")] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classify and self.labels_from is not None:
            raise ConfigError(
                "take labels from a file or from the bundle's classifier, not from both"
            )

    @property
    def wanted(self) -> bool:
        """True if labels are wanted at all."""
        return self.classify or self.labels_from is not None

    def info(self) -> dict[str, Any] | None:
        """Return the entries for `run.toml`."""
        if not self.wanted:
            return None
        source = str(self.labels_from) if self.labels_from else "classifier"
        return {"from": source, "top": self.top_labels}


class LabelRequest(Config, frozen=True):
    """Request to label a result file or a run, with the classifier of `model` if it is given."""

    result: Existing
    labels: LabelChoice
    model: Annotated[Existing | None, doc("A bundle with a classifier of proposals.")] = None
    dataset: Annotated[Existing | None, doc("The dataset whose features the classifier uses.")] = (
        None
    )
    out: Annotated[
        OutputFile | None, doc("File for the detections. [default: detections.json in the run]")
    ] = None
    on_error: Annotated[
        OnError,
        doc("Stop at videos without labels or features, or leave them without detections."),
    ] = "fail"
    overwrite: Annotated[bool, doc("Replace the file in --out even if it is not a result.")] = False
