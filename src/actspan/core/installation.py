"""The commands that install ActSpan and its extras. Import this module late: it is for messages."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import urlsplit
from urllib.request import url2pathname

# What the documentation installs: "." in a checkout; "actspan" once a release is on an index.
DOCUMENTED = "."


def install_command(extra: str = "", *, again: bool = False) -> str:
    """Return the command that installs ActSpan, or an extra, from where it was installed.

    `again` replaces the installed files.

    Examples
    --------
    >>> install_command("video")  # doctest: +SKIP
    "pip install '/home/me/actspan[video]'"
    """
    option = "--force-reinstall --no-deps " if again else ""
    return f"pip install {option}{shlex.quote(_requirement(f'[{extra}]' if extra else ''))}"


def _requirement(extra: str) -> str:
    """Return what pip installs: the checkout, wheel or repository that it recorded.

    Without a record the package came from an index, or is not installed: the documented one.
    """
    try:
        record = distribution("actspan").read_text("direct_url.json")
    except PackageNotFoundError:
        return DOCUMENTED + extra
    if record is None:
        return f"actspan{extra}"
    origin = json.loads(record)
    url = urlsplit(origin["url"])
    if url.scheme == "file" and "vcs_info" not in origin:
        return url2pathname(url.path) + extra
    repository = f"{origin['vcs_info']['vcs']}+" if "vcs_info" in origin else ""
    return f"actspan{extra} @ {repository}{origin['url']}"
