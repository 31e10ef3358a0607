"""Colours of the report, the viewer and the pictures, which mean the same everywhere.

Runs have the colours of Okabe and Ito, a little darker or lighter where a theme needs it. Hits and
misses are green and magenta, which colour-blind readers can tell apart; they also differ in form.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """Colour on light and on dark paper; pictures have the light one."""

    light: str
    dark: str


PAPER = Colour("#ffffff", "#16181b")
INK = Colour("#1d1f21", "#e9eaec")
SOFT = Colour("#565b61", "#a9afb6")
RULE = Colour("#d9dcdf", "#363b41")
TRUTH = Colour("#4a4f55", "#b6bcc3")
HIT = Colour("#3d7a17", "#8ccf5a")  # an instance that is found, and a proposal that finds one
MISS = Colour("#c01a79", "#f48cc6")
RUNS = (
    Colour("#0072b2", "#56b4e9"),
    Colour("#d55e00", "#f08b45"),
    Colour("#00805d", "#2fc79a"),
    Colour("#a8467c", "#dd92ba"),
    Colour("#8a6000", "#e6b23c"),
    Colour("#3d8fc0", "#9bd2f5"),
    Colour("#000000", "#ffffff"),
)

VARIABLES = {
    "paper": PAPER,
    "raised": Colour("#f4f5f7", "#1e2125"),
    "ink": INK,
    "soft": SOFT,
    "rule": RULE,
    "edge": Colour("#868c93", "#7b828a"),
    "link": Colour("#005b8f", "#7cc4f0"),
    "focus": Colour("#005b8f", "#7cc4f0"),
    "fault": Colour("#a33c00", "#ffa570"),
    "truth": TRUTH,
    "hit": HIT,
    "miss": MISS,
    **{f"run{number}": colour for number, colour in enumerate(RUNS)},
}
_ROLES = {"action": "run0", "start": "run2", "end": "run1", "corrected": "run4"}


def style_sheet() -> str:
    """Return the colours as variables of a style sheet, by theme, with the roles that share one."""
    lines = [f"  --{name}: light-dark({c.light}, {c.dark});" for name, c in VARIABLES.items()]
    lines += [f"  --{role}: var(--{name});" for role, name in _ROLES.items()]
    return (
        ":root {\n  color-scheme: light dark;\n" + "\n".join(lines) + "\n}\n"
        ':root[data-theme="light"] { color-scheme: light; }\n'
        ':root[data-theme="dark"] { color-scheme: dark; }\n'
    )
