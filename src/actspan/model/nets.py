"""Networks of every kind of model, and the form of their input and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from actspan.config.stages import PipelineConfig, TemConfig

Net = Literal["tem", "pem", "bmn", "classifier"]
# Networks that make proposals; a bundle has those of one kind of model (BSN: TEM and PEM), and may
# have a classifier.
NETS: tuple[Net, ...] = ("tem", "pem", "bmn")
BSN: frozenset[Net] = frozenset({"tem", "pem"})
BMN: frozenset[Net] = frozenset({"bmn"})


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


def nets_of(config: PipelineConfig) -> frozenset[Net]:
    """Return the networks of the kind of model that the settings describe: BSN's, or BMN's."""
    return BSN if config.bmn is None else BMN


def video_net(config: PipelineConfig) -> Net:
    """Return the network that sees features, whether the bundle contains it or not."""
    return "tem" if config.bmn is None else "bmn"


def input_shape(config: PipelineConfig, net: Net) -> tuple[int, ...]:
    """Return the shape of a network's input without the first axis: (C, T), or (features,)."""
    if net == "classifier":
        assert config.classifier is not None
        return (config.classifier.inputs,)
    if net == "pem":
        return (config.pem_inputs,)
    seen = config.video_network
    assert seen is not None
    return seen.channels, seen.length


def output_shapes(config: PipelineConfig, net: Net) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output of a network that makes proposals, without the first axis."""
    if net == "pem":
        return {"output": (1,)}
    T = config.cells
    if net == "tem":
        return {"output": ((config.tem or TemConfig()).outputs, T)}
    assert config.bmn is not None
    return {"confidence_map": (2, config.bmn.durations or T, T), "start": (T,), "end": (T,)}


ABSENT: Mapping[str, str] = {  # advice about a missing network
    "tem": "start from boundary scores (actspan propose --scores), or add one: actspan convert TEM "
    "--out BUNDLE",
    "pem": "add one: actspan convert PEM --out BUNDLE, or actspan train",
    "bmn": "convert one: actspan convert BMN --out BUNDLE, or actspan train",
    "classifier": "train one on labelled data, or take labels from a score file: --labels-from",
}
