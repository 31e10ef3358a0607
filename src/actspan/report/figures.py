"""Figures by matplotlib's object interface, without global state: as files, or inside a page."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from actspan.core import colours
from actspan.core.colours import RUNS, VARIABLES
from actspan.core.errors import ConfigError, DataError, require
from actspan.core.files import atomic_file

SUFFIXES = (".png", ".svg", ".pdf")

COLOURS = tuple(colour.light for colour in RUNS)
INK, SOFT, GRID, PAPER = (
    colour.light for colour in (colours.INK, colours.SOFT, colours.RULE, colours.PAPER)
)
# In a page they are variables of its style sheet, which follow light, dark and print.
_VARIABLES = {colour.light: f"var(--{name})" for name, colour in VARIABLES.items()}
_TIP = "tip: "  # begins the id of an artist with a tooltip
_FONT_SIZE = re.compile(r"([\d.]+)px")


def check_picture(path: Path | str) -> Path:
    """Check that a picture can be written to a path, before work starts.

    Raises ConfigError for an unknown suffix, DataError if the folder does not exist, and
    MissingExtraError without matplotlib.
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


def new_chart(width: float, height: float, x: str, y: str = "") -> tuple[Any, Any]:
    """Create a figure, size in inches, and its only axes, with these labels."""
    figure = new_figure(width, height)
    axes = figure.subplots()
    tidy(axes, x, y)
    return figure, axes


def tidy(axes: Any, x: str = "", y: str = "") -> None:
    """Give axes a light frame and grid, and labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)


def set_tip(artist: Any, text: str) -> None:
    """Give an artist a tooltip in pages."""
    artist.set_gid(_TIP + text)


def save(figure: Any, path: Path) -> None:
    """Write the picture atomically; the same figure gives the same bytes. Raises DataError."""
    kind = path.suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    try:
        with _drawing(), atomic_file(path) as stream:
            figure.savefig(stream, format=kind, dpi=150, facecolor="white", metadata=undated)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def inline_svg(figure: Any, label: str) -> str:
    """Return a figure as an SVG element for a page; `label` is its text for screen readers.

    The page's policy forbids styles, so they become attributes. Nothing names another address.
    """
    buffer = BytesIO()
    with _drawing({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib has just written it
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _make_plain(element)
    box = root.attrib["viewBox"]
    root.attrib = {"viewBox": box, "role": "img", "aria-label": label, "class": "chart"}
    return ET.tostring(root, encoding="unicode")


@contextmanager
def _drawing(settings: dict[str, Any] | None = None) -> Iterator[None]:
    matplotlib = require("matplotlib", extra="report", purpose="Drawing a picture")
    chosen = matplotlib.rc_context({"svg.hashsalt": "actspan", **(settings or {})})
    with chosen, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # letters of other scripts
        yield


def _make_plain(element: ET.Element) -> None:
    """Turn an element's styles into attributes, and drop namespaces and ids of groups."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    for declaration in attributes.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key in ("font", "font-size") and (size := _FONT_SIZE.search(value)):
            attributes["font-size"] = size[1]
        elif key and not key.startswith("font"):
            attributes[key] = _VARIABLES.get(value, value)
    name = attributes.pop("id", "") if element.tag == "g" else ""
    element.attrib = attributes
    if name.startswith(_TIP):
        title = ET.Element("title")
        title.text = name.removeprefix(_TIP)
        element.insert(0, title)
