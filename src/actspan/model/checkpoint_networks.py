"""The network in a checkpoint: found by the names of its weights, under the usual keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from actspan.config.bmn import BmnConfig
from actspan.config.stages import PemConfig, TemConfig
from actspan.core.errors import CheckpointError
from actspan.core.wording import listed
from actspan.data.names import Ignored
from actspan.model.checkpoint_files import EXPECTED
from actspan.model.nets import Net
from actspan.model.weights import NetConfig, weight_shapes

# Keys under which trainers keep weights: first the network's own, then running averages.
_LEVELS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights"),
    *("tem", "pem", "bmn"),
    *("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema"),
)
_DEEPEST = 2  # nested levels: {"model": {"state_dict": ...}}
_NAMED = 8  # entries listed in a message
_OPENTAD = frozenset({"projection", "rpn_head", "roi_head"})  # parts of its networks


@dataclass(frozen=True, slots=True, eq=False)
class NetNames:
    """Names that a network's weights have in the checkpoints of one code."""

    net: Net
    code: Literal["actspan", "jjboy", "paddle"]
    weights: Mapping[str, str]  # name in the checkpoint: name in a bundle
    others: frozenset[str] = frozenset()  # entries beside the weights that belong to the form


def _own(net: Net, config: NetConfig) -> NetNames:
    return NetNames(net, "actspan", {name: name for name in weight_shapes(config)})


def _bmn(code: Literal["jjboy", "paddle"], layers: str, *others: str) -> NetNames:
    """Return the names of BMN from those of its layers in the order of `weight_shapes`."""
    weights = list(weight_shapes(BmnConfig()))
    names = [f"{layer}.{part}" for layer in layers.split() for part in ("weight", "bias")]
    return NetNames("bmn", code, dict(zip(names, weights, strict=True)), frozenset(others))


# BSN's codes use the names of a bundle.
_NETWORKS = (
    _own("tem", TemConfig()),
    _own("pem", PemConfig()),
    _own("bmn", BmnConfig()),
    _bmn(  # and OpenMMLab, whose `bm_mask` are the valid cells of the map
        "jjboy",
        "x_1d_b.0 x_1d_b.2 x_1d_s.0 x_1d_s.2 x_1d_e.0 x_1d_e.2 x_1d_p.0 x_3d_p.0 "
        "x_2d_p.0 x_2d_p.2 x_2d_p.4 x_2d_p.6",
        "sample_mask",
        "bm_mask",
    ),
    _bmn(
        "paddle",
        "b_conv1 b_conv2 ts_conv1 ts_conv2 te_conv1 te_conv2 p_conv1 p_conv3d1 "
        "p_conv2d1 p_conv2d2 p_conv2d3 p_conv2d4",
        "StructuredToParameterName@@",  # other names of the same weights
    ),
)
_BY_NAME = {name: network for network in _NETWORKS for name in network.weights}


class FoundNetwork(NamedTuple):
    """The weights of a network in a checkpoint."""

    names: NetNames
    levels: tuple[str, ...]  # keys that lead to the named weights
    prefix: str  # of each name ("module.")
    state: dict[str, Any]  # entries without the prefix; some may not belong to the network

    @property
    def net(self) -> Net:
        """The network's name in a bundle."""
        return self.names.net


def find_network(content: Any, path: Path, ignored: Ignored) -> FoundNetwork:
    """Find the network whose weights are under one of the usual keys, behind one prefix.

    Entries that do not belong to the network are added to `ignored`. Raises CheckpointError, which
    names `path`, if there is no TEM, PEM or BMN, or more than one of them.
    """
    levels = list(_levels(content))
    state_dict = content.get("state_dict", {}) if isinstance(content, Mapping) else None
    if not levels or not isinstance(state_dict, Mapping):
        raise CheckpointError(f"{path}: contains no state_dict of named weights; {EXPECTED}")
    networks = [network for trail, state in levels for network in _networks(trail, state)]
    whole = [n for n in networks if n.state.keys() >= n.names.weights.keys()]
    candidates = whole or networks[:1]
    if not whole and any(_is_opentad(state) for _, state in levels):
        what = "contains a network of OpenTAD, whose BMN differs from the published ones"
        raise CheckpointError(f"{path}: {what}, and is not supported; {EXPECTED}")
    if not candidates:
        inner = next((state for trail, state in levels if trail and state), content)
        names = listed(inner, _NAMED) or "nothing"
        raise CheckpointError(
            f"{path}: contains weights of neither TEM, PEM nor BMN ({names}); {EXPECTED}"
        )
    chosen = candidates[0]
    beside = [network.prefix for network in candidates if network.levels == chosen.levels]
    kinds = list(dict.fromkeys(network.net.upper() for network in candidates))
    if len(kinds) > 1:
        what = f"contains weights of a {' and of a '.join(kinds)}: save each to a separate file"
        raise CheckpointError(f"{path}: {what}; {EXPECTED}")
    if len(beside) > 1:
        what = f"contains {len(beside)} networks of one kind ({listed(beside)}): save only one"
        raise CheckpointError(f"{path}: {what}; {EXPECTED}")
    _note_others(content, chosen, ignored)
    return chosen


def _levels(content: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the mappings of a checkpoint that may contain weights, with the keys to them."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    for trail, value in waiting:  # the list grows during the loop
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            continue
        yield trail, value
        if len(trail) < _DEEPEST:
            waiting += [((*trail, key), value[key]) for key in _LEVELS if key in value]


def _networks(trail: tuple[str, ...], state: Mapping[str, Any]) -> Iterator[FoundNetwork]:
    """Yield every network with weights at a level, the one with the most weights first."""
    hits: Counter[tuple[NetNames, str]] = Counter()
    for name in state:
        parts = name.rsplit(".", 3)
        # The longest name counts: BMN's start.conv1.weight is not a TEM's behind a prefix.
        for known in (".".join(parts[-3:]), ".".join(parts[-2:])):
            if known in _BY_NAME:
                hits[_BY_NAME[known], name.removesuffix(known)] += 1
                break
    for (names, prefix), _ in hits.most_common():
        part = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        yield FoundNetwork(names, trail, prefix, part)


def _is_opentad(state: Mapping[str, Any]) -> bool:
    parts = {name.removeprefix("module.").partition(".")[0] for name in state}
    return len(parts & _OPENTAD) >= 2


def _note_others(content: Mapping[str, Any], network: FoundNetwork, ignored: Ignored) -> None:
    state = content
    for level in network.levels:
        for name in state:
            if name not in (level, "meta"):  # OpenMMLab's entry, which identifies the format
                ignored["entries", name] += 1
        state = state[level]
    for name in state:
        if not name.startswith(network.prefix) and name not in network.names.others:
            ignored["entries", name] += 1
