"""Networks of every kind of model, and the form of their input and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Net = Literal["tem", "pem", "bmn", "classifier"]
# Networks that make proposals; a bundle has those of one kind of model (BSN: TEM and PEM), and may
# have a classifier.
NETS: tuple[Net, ...] = ("tem", "pem", "bmn")


class NetForm(NamedTuple):
    """Names and axes of a network's input and outputs, in its graph and on every backend."""

    input: str
    axes: int  # of the input; the first one counts videos or proposals
    outputs: tuple[str, ...] = ("output",)

    @property
    def sees_video(self) -> bool:
        """True if the input are the features of videos, (B, C, T)."""
        return self.axes == 3


FORMS: Mapping[Net, NetForm] = {
    "tem": NetForm("video", 3),
    "pem": NetForm("video_feature", 2),
    "bmn": NetForm("video", 3, ("confidence_map", "start", "end")),
    "classifier": NetForm("pooled", 2),
}

ABSENT: Mapping[str, str] = {  # advice about a missing network
    "tem": "start from boundary scores (actspan propose --scores), or add one: actspan convert TEM "
    "--out BUNDLE",
    "pem": "add one: actspan convert PEM --out BUNDLE, or actspan train",
    "bmn": "convert one: actspan convert BMN --out BUNDLE, or actspan train",
    "classifier": "train one on labelled data, or take labels from a score file: --labels-from",
}
