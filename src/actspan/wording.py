"""Words of messages that depend on a number."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """So many of a thing whose plural ends in s.

    Examples
    --------
    >>> counted(1, "video"), counted(4728, "video")
    ('1 video', '4,728 videos')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
