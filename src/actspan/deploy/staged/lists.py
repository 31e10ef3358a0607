"""Files for a host without ActSpan: a list of inputs, and a script that runs a network."""

from __future__ import annotations

import re
from pathlib import Path

from actspan.core.errors import StageError
from actspan.core.files import atomic_file
from actspan.deploy.staged.stage import Stage, StagedNet

_SCRIPT = Path(__file__).with_name("standalone.py")


def write_list(
    stage: Stage, net: StagedNet, out: Path | None = None, prefix: str | None = None
) -> tuple[Path, int]:
    """Write the `.info` list of a network's inputs, with lines `index path height width`.

    Parameters
    ----------
    out : Path, optional
        File to write. Default: `<net>.info` in the stage.
    prefix : str, optional
        Folder of the inputs on the device's host, as the runner opens it. Default: their present
        folder.

    Returns
    -------
    Path, int
        The list, and its number of inputs.

    Raises
    ------
    StageError
        The inputs do not exist yet, or the folder's name contains blanks.
    """
    out = stage.path / f"{net}.info" if out is None else out
    folder = str(stage.inputs(net)) if prefix is None else prefix
    if re.search(r"\s", folder):
        raise StageError(
            f"{folder}: a list is split at blanks, so its folder can have none: rename it, or say "
            "where the inputs will lie (--prefix)"
        )
    names = sorted(f"{item.name}.bin" for item in stage.table(net).items)
    height, width = stage.shape(net)
    with atomic_file(out) as stream:
        for index, name in enumerate(names):
            stream.write(f"{index} {folder.rstrip('/')}/{name} {height} {width}\n".encode())
    return out, len(names)


def write_script(out: Path) -> None:
    """Write the runner for hosts without ActSpan: one file that needs Python 3.7 and numpy.

    Raises
    ------
    ActSpanError
        `out` cannot be written.
    """
    with atomic_file(out) as stream:
        stream.write(_SCRIPT.read_bytes())
