"""Inline SVG for pages. Elements are built with an XML library, so that text is escaped.

Colours and strokes are CSS classes of the page. A chart therefore follows light, dark and print.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 420.0  # units of every chart; about the pixels of a phone, so that text stays readable
LINE = 13.0  # height of a line of text


def new_chart(height: float, label: str) -> ET.Element:
    """Return an empty chart; `label` is its text for screen readers."""
    box = f"0 0 {WIDTH:g} {height:g}"
    return ET.Element("svg", {"viewBox": box, "role": "img", "aria-label": label, "class": "chart"})


def add(
    parent: ET.Element, tag: str, kind: str = "", text: str = "", **places: float | str
) -> ET.Element:
    """Append an element.

    Parameters
    ----------
    kind : str
        CSS classes.
    text : str
        Text content.
    **places
        Attributes, with `_` for `-`; numbers are rounded to a tenth.
    """
    attributes = {
        name.replace("_", "-"): value if isinstance(value, str) else f"{value:.1f}"
        for name, value in places.items()
    }
    if kind:
        attributes["class"] = kind
    element = ET.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def add_bar(
    parent: ET.Element, box: tuple[float, float, float, float], kind: str, tip: str
) -> ET.Element:
    """Append a bar (x, y, width, height) with the tooltip `tip`."""
    x, y, width, height = box
    bar = add(parent, "rect", kind, x=x, y=y, width=max(width, 0.0), height=height)
    add(bar, "title", text=tip)
    return bar


def add_line(parent: ET.Element, points: Sequence[tuple[float, float]], kind: str) -> ET.Element:
    """Append a line through points."""
    return add(parent, "polyline", kind, points=_joined(points))


def add_area(parent: ET.Element, points: Sequence[tuple[float, float]], kind: str) -> ET.Element:
    """Append a filled area."""
    return add(parent, "polygon", kind, points=_joined(points))


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def markup(chart: ET.Element) -> str:
    """Return the chart as text, escaped."""
    return ET.tostring(chart, encoding="unicode")


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear mapping of values low ... high to coordinates first ... last of the chart."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Return about five round values."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** _floor_log10(rough)
        step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * 0.999)
        first = -(-self.low // step)
        count = int((self.high + 1e-9) // step - first) + 1
        return [(first + k) * step for k in range(count)]


def _floor_log10(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


@dataclass(frozen=True, slots=True)
class Frame:
    """Pair of scales; `y` runs upwards."""

    x: Scale
    y: Scale

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return the coordinates of a pair of values."""
        return self.x(x), self.y(y)

    def draw(self, chart: ET.Element, x_label: str, y_label: str) -> None:
        """Draw the grid, the ticks and the names of the axes."""
        for value in self.y.ticks():
            y = self.y(value)
            add(chart, "line", "grid", x1=self.x.first, x2=self.x.last, y1=y, y2=y)
            text = f"{value:.6g}"
            add(chart, "text", "tick", text, x=self.x.first - 5, y=y + 4, text_anchor="end")
        for value in self.x.ticks():
            x, foot = self.x(value), self.y.first
            add(chart, "line", "grid", x1=x, x2=x, y1=foot, y2=foot + 4)
            add(chart, "text", "tick", f"{value:.6g}", x=x, y=foot + 16, text_anchor="middle")
        middle = (self.x.first + self.x.last) / 2
        add(chart, "text", "axis", x_label, x=middle, y=self.y.first + 32, text_anchor="middle")
        add(chart, "text", "axis", y_label, x=2.0, y=self.y.last - 9)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move falling or rising places as little as needed until they are `gap` apart.

    Examples
    --------
    >>> spread([10.0, 12.0, 40.0], 5.0, 0.0, 50.0)
    [10.0, 15.0, 40.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    floor = low
    for i in order:
        moved[i] = max(places[i], floor)
        floor = moved[i] + gap
    ceiling = high
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved
