"""Opening of a model by its place: the first call of most programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actspan.config.changes import changes_of, with_changes
from actspan.core.files import StrPath
from actspan.model.bundle import Bundle
from actspan.model.locations import bundle_folder
from actspan.pipeline.core import Pipeline
from actspan.runtime.precision import NetworkPrecision


def load(
    model: StrPath | Bundle | None = None,
    *,
    backend: str = "auto",
    precision: NetworkPrecision = "fp32",
    threads: int | None = None,
    backbone: str | None = None,
    settings: Mapping[str, Any] | StrPath | None = None,
) -> Pipeline:
    """Open a model, ready to propose; close it at the end, or use it in a `with` block.

    Parameters
    ----------
    model : str, path or Bundle, optional
        A bundle: its folder, an archive of it (.zip, .tar.gz), a URL of either, or
        `hf://owner/name` on the Hub. Without it proposals are label-free: where the stream changes.
    backend : str
        Inference runtime; see `actspan backends`.
    precision : "fp32", "bf16" or "int8"
        Precision of the networks; see `Pipeline.load`.
    threads : int, optional
        Number of workers; all cores by default.
    backbone : str, optional
        `onnx:FILE` for videos, if the model was trained on features of a custom encoder.
    settings : mapping, path, optional
        Changes of the model's settings, as in {"soft_nms": {"decay": 0.4}}, or a TOML file of them.

    Raises
    ------
    BundleError
        There is no bundle, or it is damaged or contains no PEM.
    BackendError
        The runtime is absent or refuses the model.
    ConfigError
        A setting is unknown or out of range.

    Examples
    --------
    >>> with load() as model:
    ...     found = model.propose([[0.0]] * 8 + [[1.0]] * 8, stride=0.5)  # doctest: +SKIP
    """
    bundle = model if isinstance(model, Bundle) else Bundle.load(bundle_folder(model))
    config = with_changes(bundle.config, changes_of(settings))
    options: dict[str, Any] = {"backend": backend, "threads": threads, "backbone": backbone}
    options["precision"] = precision
    return Pipeline.load(bundle, config=config, **options)
