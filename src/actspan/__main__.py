"""`actspan`, and `python -m actspan`."""

from __future__ import annotations

import atexit
import gc
import sys

from actspan.cli import main

# Between two looks for garbage in cycles: modules and columns make next to none, and with Python's
# own 700 a tenth of a warm start goes there.
_ALLOCATIONS = 50_000
# OpenVINO imports its converter of other frameworks' models where it can: another tenth.
_CONVERTER = "openvino.tools.ovc"


def run() -> None:
    """Run the command of this process."""
    gc.set_threshold(_ALLOCATIONS)
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # no command has use for it
    atexit.register(gc.freeze)  # nor is any looked for among what ends anyway
    main(prog_name="actspan")


if __name__ == "__main__":
    run()
