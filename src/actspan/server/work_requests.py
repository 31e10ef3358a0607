"""Requests for jobs on the served videos, and what is answered about them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from actspan.server.error_responses import RequestBody

Name = Field("", max_length=100, description="Name to show; made from the model if empty.")


class NewProposals(RequestBody):
    """Request to propose over all served videos."""

    model: str = Field(
        "label-free",
        max_length=40,
        description="label-free, served (the model of the command line), or a trained model's id.",
    )
    name: str = Name


class NewTraining(RequestBody):
    """Request to train a model from all annotated videos, then to propose over all videos."""

    name: str = Name
    preset: str = Field("default", max_length=40)
    epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Of every network, each as long as those of the preset, which has 20.",
    )
    held_out: float = Field(
        0.2,
        ge=0,
        le=0.8,
        description="Share of the annotated videos that are not learned from, so that the model "
        "can be evaluated on them; not used if the ground truth has a validation subset.",
    )
    seed: int = Field(0, ge=0, le=2**31)


class TrainedModel(BaseModel):
    """Model that was trained here."""

    id: str
    name: str
    created: float
    trained: list[str] = Field(description="Ids of the videos that it learned from.")
    held_out: list[str] = Field(description="Ids of the annotated videos that it did not see.")


class WorkOverview(BaseModel):
    """Models to propose with, and videos to train from, as they are now."""

    videos: int = Field(description="Served videos; without any, there is no work.")
    unproposed: int = Field(description="Listed videos that can be read, and no run has.")
    annotated: int = Field(description="Those with corrections or ground truth.")
    held_out: int = Field(description="Those of them that a training would not learn from.")
    partly_reviewed: int = Field(
        description="Those of them of which some of the best proposals are reviewed, not all."
    )
    models: dict[str, str] = Field(description="Names of the models by id, trained ones last.")
    presets: list[str] = Field(description="Presets of training, the usual one first.")
