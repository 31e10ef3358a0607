"""Things that a reader ignored: one line per kind, every name or the number of the others."""

from __future__ import annotations

from actspan.core.wording import listed, suggestion
from actspan.data.names import Ignored


def test_one_line_per_kind() -> None:
    ignored = Ignored()
    assert not ignored
    ignored["columns", "type"] += 1
    ignored["columns", "type_idx"] += 1
    ignored["keys", "class"] += 2_000
    assert ignored
    assert ignored.notes("a.csv") == (
        "a.csv: ignored columns: type, type_idx",
        "a.csv: ignored keys: class (2,000)",
    )


def test_long_lists_are_cut_and_counted() -> None:
    ignored = Ignored()
    for place in range(40):
        ignored["columns", f"c{place}"] += 1
    assert ignored.notes("a.csv")[0].endswith("c11 and 28 more")
    assert listed(["a", "b"]) == "a, b"


def test_a_suggestion_is_close_or_absent() -> None:
    assert suggestion("validaton", ["training", "validation"]) == " (did you mean 'validation'?)"
    assert suggestion("x", ["training", "validation"]) == ""
