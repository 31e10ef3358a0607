"""Figures by matplotlib's object interface, without global state. It is imported when needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actspan.core.errors import ConfigError, DataError, require
from actspan.core.files import atomic_file

SUFFIXES = (".png", ".svg", ".pdf")

# These colours stay distinct for colour-blind readers (Okabe and Ito); strongest first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#262626"
GRID = "#DDDDDD"


def check_picture(path: Path | str) -> Path:
    """Check that a picture can be written to a path, before work starts.

    Raises
    ------
    ConfigError
        The suffix is not that of a known picture format.
    DataError
        The folder does not exist.
    MissingExtraError
        matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a picture's name must end in one of {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path}: its folder does not exist")
    require("matplotlib", extra="report", purpose="Drawing a picture")
    return path


def new_figure(width: float, height: float) -> Any:
    """Create an empty figure, size in inches, that needs no window system."""
    module = require("matplotlib.figure", extra="report", purpose="Drawing a picture")
    return module.Figure(figsize=(width, height), layout="constrained")


def tidy(axes: Any) -> None:
    """Give axes a light frame and grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def save(figure: Any, path: Path) -> None:
    """Write the picture atomically; the same figure gives the same bytes.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    matplotlib = require("matplotlib", extra="report", purpose="Drawing a picture")
    kind = path.suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    try:
        with matplotlib.rc_context({"svg.hashsalt": "actspan"}), atomic_file(path) as stream:
            figure.savefig(stream, format=kind, dpi=150, facecolor="white", metadata=undated)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
