"""Check that colours mean the same in the viewer, in reports and in pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from actspan.core.colours import HIT, MISS, VARIABLES, Colour, style_sheet
from tests.server.live import serving


def test_the_viewer_has_the_colours_of_the_report(tmp_path: Path) -> None:
    with serving(tmp_path / "data", videos=None) as live:
        answer = live.ask("/colours.css")
        assert answer.headers["content-type"].startswith("text/css")
        assert answer.body.decode() == style_sheet()
        assert '<link rel="stylesheet" href="colours.css">' in live.ask("/").body.decode()


def contrast(colour: str, other: str) -> float:
    """Return the ratio of luminances, as WCAG defines it."""

    def luminance(text: str) -> float:
        parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(colour), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colour", [HIT, MISS, VARIABLES["soft"], VARIABLES["link"]])
def test_text_in_a_colour_can_be_read(colour: Colour) -> None:
    paper = VARIABLES["paper"]
    assert contrast(colour.light, paper.light) >= 4.5
    assert contrast(colour.dark, paper.dark) >= 4.5
