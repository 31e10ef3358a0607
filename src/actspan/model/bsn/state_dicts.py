"""Search for the weights of one network in a checkpoint, however they are nested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from actspan.config.stages import PemConfig, TemConfig
from actspan.core.errors import CheckpointError
from actspan.core.wording import listed
from actspan.data.names import Ignored
from actspan.model.bsn.checkpoint_files import EXPECTED
from actspan.model.weights import Net, weight_shapes

# Keys under which trainers keep weights: first the network's own, then running averages.
_LEVELS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights"),
    *("tem", "pem", "ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema"),
)
_DEEPEST = 2  # nested levels: {"model": {"state_dict": ...}}
_NETS: dict[Net, frozenset[str]] = {
    "tem": frozenset(weight_shapes(TemConfig())),
    "pem": frozenset(weight_shapes(PemConfig())),
}
_NAMED = 8  # entries named in a message


class Found(NamedTuple):
    """The weights of a network in a checkpoint.

    Attributes
    ----------
    net : "tem" or "pem"
    levels : tuple of str
        Keys that lead to the named weights.
    prefix : str
        Prefix of each name ("module.").
    state : dict of str to tensor
        Entries without the prefix; some may not belong to the network.
    """

    net: Net
    levels: tuple[str, ...]
    prefix: str
    state: dict[str, Any]


def find_network(content: Any, path: Path, ignored: Ignored) -> Found:
    """Find the network whose weights are under one of the usual keys, behind one prefix.

    Parameters
    ----------
    content : object
        Content of the file.
    path : Path
        Path of the file, for errors.
    ignored : Ignored
        Collects the entries that do not belong to the network.

    Raises
    ------
    CheckpointError
        There is no TEM and no PEM, or more than one of them.
    """
    levels = list(_levels(content))
    state_dict = content.get("state_dict", {}) if isinstance(content, Mapping) else None
    if not levels or not isinstance(state_dict, Mapping):
        raise CheckpointError(f"{path}: holds no state_dict of named weights; {EXPECTED}")
    networks = [network for trail, state in levels for network in _networks(trail, state)]
    whole = [n for n in networks if n.state.keys() >= _NETS[n.net]]
    found = _only(whole or networks[:1], path)
    if found is None:
        inner = next((state for trail, state in levels if trail and state), content)
        names = listed(inner, _NAMED) or "nothing"
        raise CheckpointError(f"{path}: holds weights of neither TEM nor PEM ({names}); {EXPECTED}")
    _note_others(content, found, ignored)
    return found


def _levels(content: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the mappings of a checkpoint that may hold weights, with the keys that lead to them."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    for trail, value in waiting:  # the list grows during the loop
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            continue
        yield trail, value
        if len(trail) < _DEEPEST:
            waiting += [((*trail, key), value[key]) for key in _LEVELS if key in value]


def _networks(trail: tuple[str, ...], state: Mapping[str, Any]) -> Iterator[Found]:
    """Yield every network with weights at a level, the one with the most weights first."""
    hits: dict[tuple[Net, str], int] = {}
    for name in state:
        for net, names in _NETS.items():
            known = ".".join(name.rsplit(".", 2)[-2:])
            if known in names:
                place = (net, name.removesuffix(known))
                hits[place] = hits.get(place, 0) + 1
    for net, prefix in sorted(hits, key=lambda place: -hits[place]):
        part = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        yield Found(net, trail, prefix, part)


def _only(networks: list[Found], path: Path) -> Found | None:
    """Return the first network; None if there is none.

    Raises
    ------
    CheckpointError
        There are networks of both kinds, or several at one level.
    """
    if not networks:
        return None
    if len({network.net for network in networks}) > 1:
        raise CheckpointError(
            f"{path}: holds weights of a TEM and of a PEM: save each to a file of its own; "
            f"{EXPECTED}"
        )
    first = networks[0]
    beside = [network.prefix for network in networks if network.levels == first.levels]
    if len(beside) > 1:
        raise CheckpointError(
            f"{path}: holds {len(beside)} networks of one kind ({listed(beside)}): save one of "
            f"them alone; {EXPECTED}"
        )
    return first


def _note_others(content: Mapping[str, Any], found: Found, ignored: Ignored) -> None:
    state = content
    for level in found.levels:
        for name in state:
            if name not in (level, "meta"):  # OpenMMLab's entry, which identifies the format
                ignored.add("entries", name)
        state = state[level]
    for name in state:
        if not name.startswith(found.prefix):
            ignored.add("entries", name)
