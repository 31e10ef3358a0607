"""Answers and request bodies of the viewer's routes, as the API's description states them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actspan.server.corrections import LATEST, LONGEST_LABEL, MOST_SEGMENTS
from actspan.server.problems import unknown_names

Start = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]
Label = Annotated[str, Field(max_length=LONGEST_LABEL)]


class Suppression(BaseModel):
    """Settings of Soft-NMS that a run was made with."""

    threshold_short: float
    threshold_long: float
    decay: float
    keep: int


class RunAbout(BaseModel):
    """Run that is served."""

    name: str
    created: str | None
    mode: str
    has_curves: bool
    can_suppress: bool
    suppression: Suppression


class ExportForm(BaseModel):
    """File format in which corrections can be exported."""

    name: str
    what: str


class About(BaseModel):
    """Everything that can be browsed."""

    runs: list[RunAbout]
    ground_truth: str = Field(description="Where it is from; empty where there is none.")
    has_media: bool
    labels: list[str] = Field(description="Of the ground truth, by name.")
    forms: list[ExportForm]


class Judged(BaseModel):
    """Evaluation of a run on one video."""

    auc: float = Field(description="Percent.")
    missed: int = Field(description="Instances that no proposal reaches at the lowest tIoU.")


class ListedRun(BaseModel):
    """Result of one run on a video."""

    proposals: int
    score: float | None = Field(description="The best one.")
    judged: Judged | None


class ListedVideo(BaseModel):
    """Row of the list."""

    id: str
    seconds: float | None
    instances: int
    labels: list[str]
    has_media: bool
    corrected: bool
    runs: list[ListedRun]


class Listed(BaseModel):
    """Page of the list."""

    total: int = Field(description="How many fit, on all pages.")
    judging: bool = Field(description="Whether figures are still being computed.")
    videos: list[ListedVideo]


class Given(BaseModel):
    """Request body; unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown_fields(cls, values: Any) -> Any:
        """Return the values unchanged, or raise ValueError with similar field names."""
        given = values if isinstance(values, dict) else {}
        if unknown := [name for name in given if name not in cls.model_fields]:
            raise ValueError(unknown_names("field", unknown, cls.model_fields))
        return values


class Instance(Given):
    """Labelled segment, seconds."""

    start: Start
    end: Start
    label: Label = ""


class Corrected(BaseModel):
    """Corrections of a video; `segments` is null if there are none."""

    revision: int
    segments: list[Instance] | None
    changed: str | None = None


class CurvesAbout(BaseModel):
    """Size and tiling of a video's three curves."""

    cells: int
    levels: int = Field(description="A column of level k stands for 2^k cells.")
    tile: int = Field(description="Columns a tile.")
    span: float = Field(description="Seconds that the cells cover.")


class ShownVideo(BaseModel):
    """Video, with the facts that are needed to request its data."""

    id: str
    seconds: float | None
    subset: str
    ground_truth: list[Instance]
    has_media: bool
    curves: list[CurvesAbout | None] = Field(description="A run each.")
    corrections: Corrected


class ProposalColumns(BaseModel):
    """Proposals, best first, seconds."""

    start: list[float]
    end: list[float]
    score: list[float]
    labels: list[str] | None


class NewCorrections(Given):
    """Segments that replace a video's corrections."""

    revision: int = Field(ge=0, le=2**53, description="What the change was made on.")
    segments: list[Instance] = Field(max_length=MOST_SEGMENTS)
