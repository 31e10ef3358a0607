"""Words of messages: numbers with nouns, times, lists of names, suggestions; Markdown tables."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence

# C0 and C1, directions of writing, and halves of surrogate pairs, which cannot be encoded.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def counted(number: int, thing: str) -> str:
    """Return a number with a noun; its plural ends in s, or in es after an s.

    Examples
    --------
    >>> counted(1, "video"), counted(4728, "video"), counted(2, "class")
    ('1 video', '4,728 videos', '2 classes')
    """
    plural = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{'' if number == 1 else plural}"


def clock(seconds: float, digits: int = 1) -> str:
    """Return a time as minutes and seconds, with hours if there are any.

    Examples
    --------
    >>> clock(107), clock(3725.25, 2), clock(59.96), clock(600, 0)
    ('1:47.0', '1:02:05.25', '1:00.0', '10:00')
    """
    units = math.floor(max(seconds, 0.0) * 10**digits + 0.5)
    whole, fraction = divmod(units, 10**digits)
    minutes, rest = divmod(whole, 60)
    start = f"{minutes // 60}:{minutes % 60:02d}" if minutes >= 60 else f"{minutes}"
    return f"{start}:{rest:02d}" + (f".{fraction:0{digits}d}" if digits else "")


def quoted(path: object) -> str:
    """Return a path quoted for a shell, for commands in messages.

    Examples
    --------
    >>> quoted("my videos"), quoted("videos/")
    ("'my videos'", 'videos/')
    """
    return shlex.quote(str(path))


def visible(text: str) -> str:
    r"""Return a text for a terminal, with codes for characters that would control it.

    Names of videos, files and labels come from others. Line breaks and tabs stay.

    Examples
    --------
    >>> visible("a\x1b[2Jb"), visible("a\u202eb")
    ('a\\u001b[2Jb', 'a\\u202eb')
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def it_or_them(number: int) -> str:
    """Return the pronoun for a number of things: "it" or "them".

    Examples
    --------
    >>> it_or_them(1), it_or_them(2)
    ('it', 'them')
    """
    return "it" if number == 1 else "them"


def listed(names: Iterable[str], most: int = 3) -> str:
    """Return the first names, and the number of the others.

    Examples
    --------
    >>> listed(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    names = list(names)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def rounded(value: float) -> str:
    """Return a number with the fewest digits that are within one percent, without an exponent.

    Examples
    --------
    >>> rounded(0.000998), rounded(0.3333), rounded(25.03), rounded(84650.0)
    ('0.001', '0.33', '25', '85,000')
    """
    texts = (float(f"{value:.{digits}g}") for digits in (1, 2, 3))
    shortest = next((x for x in texts if abs(x - value) <= 0.01 * abs(value)), value)
    return f"{shortest:,.9f}".rstrip("0").rstrip(".")


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to a wrong one, if one is close.

    Examples
    --------
    >>> closest("validaton", ["training", "validation"])
    'validation'
    """
    from difflib import get_close_matches  # imported late: most commands do not need it

    return next(iter(get_close_matches(name, list(known), n=1)), None)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question that suggests the known name closest to a wrong one, else "".

    A name that is itself among the known ones is not wrong, and gets no suggestion.

    Examples
    --------
    >>> suggestion("validaton", ["training", "validation"])
    " (did you mean 'validation'?)"
    >>> suggestion("x", ["training"])
    ''
    """
    close = closest(name, known)
    return "" if close in (None, name) else f" (did you mean {close!r}?)"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    table = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(row) + " |" for row in table]
