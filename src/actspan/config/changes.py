"""Changes of a model's settings without a new model: `--set KEY=VALUE`, and files of settings."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from actspan.config.base import changed, dump_toml, merge, read_toml, to_dict
from actspan.config.stages import PipelineConfig
from actspan.core.errors import ConfigError
from actspan.core.files import StrPath

PIPELINE = "pipeline"  # the table of a file with these settings, as for `train --config`
_STAGES = ("rescale", "pgm", "fusion", "soft_nms")  # the networks do not depend on them
_BMN_STAGES = ("rescale", "matching", "fusion", "soft_nms")
_LABEL_FREE_STAGES = ("label_free", "fusion", "soft_nms")
_TRAINING = ("pgm.keep_training",)  # has no effect on a trained model
_NETWORKS = ("fusion.start", "fusion.end", "fusion.label_free")  # no effect without networks
_EXAMPLE = "soft_nms.decay=0.4"


def changeable(config: PipelineConfig | None = None) -> list[str]:
    """Return the keys of all settings of a model that can be changed after training.

    Examples
    --------
    >>> [key for key in changeable() if key.startswith("pgm")]
    ['pgm.peak_ratio', 'pgm.keep']
    """
    config = config or PipelineConfig()
    values = msgspec.to_builtins(config)  # with unset options
    return [key for key, _ in _flat(values) if _is_changeable(key, config)]


def read_changes(texts: Iterable[str] = (), file: Path | None = None) -> dict[str, Any]:
    """Return changes of settings as plain values in the shape of `PipelineConfig`.

    Parameters
    ----------
    texts : iterable of str
        KEY=VALUE each. They have precedence over the file.
    file : Path, optional
        TOML with the table `pipeline`, as for `train --config`.

    Raises
    ------
    ConfigError
        A key is unknown or has two values, or a value is not allowed; or the file cannot be read.

    Examples
    --------
    >>> read_changes(["soft_nms.decay=0.4", "rescale.edge=clamp"])
    {'soft_nms': {'decay': 0.4}, 'rescale': {'edge': 'clamp'}}
    """
    changes: dict[str, Any] = {}
    if file is not None:
        found = read_toml(file)
        if found.keys() != {PIPELINE} or not isinstance(found[PIPELINE], dict):
            others = ", ".join(sorted(found.keys() - {PIPELINE}))
            what = f"contains {others}" if others else "is empty"
            raise ConfigError(
                f"{file}: {what}; a file of settings has the table [{PIPELINE}], as in "
                f"[{PIPELINE}.soft_nms]"
            )
        changes = found[PIPELINE]
        changed(PipelineConfig(), changes, where=str(file))
    given: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not key or not equals:
            raise ConfigError(f"--set {text}: KEY=VALUE is needed, as in {_EXAMPLE}")
        if given.setdefault(key, value) != value:
            raise ConfigError(f"--set {key}: two values, {given[key]} and {value}; give one")
        change: dict[str, Any] = {}
        _put(change, key, _value(key, value))
        changed(PipelineConfig(), change, where=f"--set {text}")
        changes = merge(changes, change)
    return changes


def changes_of(settings: Mapping[str, Any] | StrPath | None) -> dict[str, Any]:
    """Return changes of settings, given as a mapping or a TOML file; none of None."""
    if settings is None or isinstance(settings, Mapping):
        return dict(settings or {})
    return read_changes(file=Path(settings))


def with_changes(config: PipelineConfig, changes: Mapping[str, Any]) -> PipelineConfig:
    """Return a model's settings with changes in the shape of `read_changes`.

    Raises ConfigError for an invalid change, and for one that contradicts the trained networks or
    has no effect.
    """
    if not changes:
        return config
    new = changed(config, dict(changes), where="settings")
    for key, was, now in differences(config, new):
        if not _is_changeable(key, config):
            usable = ", ".join(changeable(config))
            if config.label_free is not None:
                raise ConfigError(
                    f"settings: {key} has no effect without networks; change one of: {usable}"
                )
            if key.partition(".")[0] in (*_STAGES, *_BMN_STAGES) and key not in _TRAINING:
                networks = "BMN" if config.bmn is not None else "TEM and PEM"
                raise ConfigError(
                    f"settings: {key} has no effect on {networks}; change one of: {usable}"
                )
            why = "acts on training only" if key in _TRAINING else "the networks depend on it"
            raise ConfigError(
                f"settings: {key} cannot be changed from {_text(was)} to {_text(now)} after "
                f"training: {why}. Train again with it, or change one of: {usable}"
            )
        if key.startswith("rescale.") and new.mode == "window":
            raise ConfigError(
                f"settings: {key} has no effect on this model, which works on windows of snippets "
                "and does not rescale: leave it out"
            )
    return new


def differences(old: PipelineConfig, new: PipelineConfig) -> list[tuple[str, Any, Any]]:
    """Return key, old value and new value of every setting that differs; None is unset.

    Examples
    --------
    >>> differences(PipelineConfig(), with_changes(PipelineConfig(), {"pgm": {"keep": 200}}))
    [('pgm.keep', 1000, 200)]
    """
    before, after = (dict(_flat(to_dict(config))) for config in (old, new))
    keys = dict.fromkeys(chain(before, after))
    pairs = ((key, before.get(key), after.get(key)) for key in keys)
    return [(key, was, now) for key, was, now in pairs if was != now]


def changes_between(old: PipelineConfig, new: PipelineConfig) -> dict[str, Any]:
    """Return the changes that lead from one config to another, in the shape of `read_changes`."""
    changes: dict[str, Any] = {}
    for key, _, now in differences(old, new):
        _put(changes, key, now)
    return changes


def settings_text(changes: Mapping[str, Any]) -> list[str]:
    """Return changes as KEY=VALUE each, as `--set` takes them."""
    return [f"{key}={_text(value)}" for key, value in _flat(changes)]


def settings_file(changes: Mapping[str, Any]) -> str:
    """Return changes as TOML, as `--settings` takes it."""
    return dump_toml({PIPELINE: dict(changes)})


def _value(key: str, text: str) -> Any:
    """Return the value of a text in TOML's form; text in another form is a plain text."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = found["value"] if len(found) == 1 else text
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--set {key}={text}: a finite number is needed")
    return value


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *tables, name = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
    values[name] = value


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; a table is never a value."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _is_changeable(key: str, config: PipelineConfig) -> bool:
    stage = key.partition(".")[0]
    if config.label_free is not None:
        return stage in _LABEL_FREE_STAGES and key not in _NETWORKS
    stages = _STAGES if config.bmn is None else _BMN_STAGES
    return stage in stages and key not in _TRAINING


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as in TOML
    return "unset" if value is None else str(value)
