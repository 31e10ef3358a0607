"""Counts of things that a reader ignores, so that they are reported."""

from __future__ import annotations

from collections import Counter

from actspan.core.wording import listed

_NAMED = 12  # names in one line; the others are only counted


class Ignored:
    """Names that a reader found and ignored, counted per kind.

    Parameters
    ----------
    said : str
        Text of a line about one kind, with `{}` for the kind.

    Examples
    --------
    >>> ignored = Ignored()
    >>> ignored.add("columns", "type")
    >>> ignored.add("keys", "class", 2)
    >>> ignored.notes("a.csv")
    ('a.csv: ignored columns: type', 'a.csv: ignored keys: class (2)')
    """

    def __init__(self, said: str = "ignored {}") -> None:
        self._said = said
        self._counts: dict[str, Counter[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: str, name: str, count: int = 1) -> None:
        """Count `name` among the ignored things of a kind, given in the plural ("columns")."""
        self._counts.setdefault(kind, Counter())[name] += count

    def notes(self, where: object) -> tuple[str, ...]:
        """Return one line per kind; `where` names the file at the start of each."""
        return tuple(
            f"{where}: {self._said.format(kind)}: {listed(map(_counted, counts.items()), _NAMED)}"
            for kind, counts in self._counts.items()
        )


def _counted(item: tuple[str, int]) -> str:
    name, count = item
    return name if count == 1 else f"{name} ({count:,})"
