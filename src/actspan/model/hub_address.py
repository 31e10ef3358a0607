"""Addresses of repositories on a hub: hf://owner/name[@revision]."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from actspan.core.errors import HubError

# One slash, too: pathlib joins the two.
_SCHEME = re.compile(r"hf:/{0,2}(?!/)", re.IGNORECASE)
_NAME = r"[A-Za-z0-9][\w.-]{0,95}"
_ADDRESS = re.compile(rf"(?P<repository>{_NAME}/{_NAME})(@(?P<revision>[\w.+-][\w.+/-]{{0,199}}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Address of a repository: `repository` is owner/name, `revision` a branch, tag or commit.

    Examples
    --------
    >>> address = HubAddress.parse("hf://actspan/demo@v1")
    >>> address.repository, address.revision, str(address)
    ('actspan/demo', 'v1', 'hf://actspan/demo@v1')
    """

    repository: str
    revision: str | None = None  # None: the newest commit of the main branch

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address, with or without hf://; raise HubError if it is not one."""
        found = _ADDRESS.fullmatch(_SCHEME.sub("", text.strip(), count=1))
        if found is None:
            raise HubError(
                f"{text}: not the address of a repository; write hf://owner/name or "
                "hf://owner/name@revision"
            )
        return cls(found["repository"], found["revision"])

    @property
    def commit(self) -> str | None:
        """The revision if it is a whole commit, which cannot change; else None."""
        return self.revision if _COMMIT.fullmatch(self.revision or "") else None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")
