"""Inline SVG for pages: elements are built, never pasted, so that no text can break out.

Colours and strokes are CSS classes of the page, so that a chart follows light, dark and print.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 420.0  # units of every chart: about the pixels of a phone, so that letters stay readable
LINE = 13.0  # of text


def new_chart(height: float, label: str) -> ET.Element:
    """An empty chart; `label` is what a screen reader says of it."""
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
        Its content.
    **places
        Attributes, `_` for `-`; numbers are rounded to a tenth.
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
    """Append a bar (x, y, width, height) that says `tip` when pointed at."""
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
    """The chart as text, escaped."""
    return ET.tostring(chart, encoding="unicode")


@dataclass(frozen=True, slots=True)
class Scale:
    """Values low ... high on the way from one place of the chart to another."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round values, some five of them."""
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
    """A pair of scales; `y` runs upwards."""

    x: Scale
    y: Scale

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The place of a pair of values."""
        return self.x(x), self.y(y)

    def draw(self, chart: ET.Element, x_label: str, y_label: str) -> None:
        """Grid, ticks and names of the axes."""
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
