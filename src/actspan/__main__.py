"""`actspan`, and `python -m actspan`."""

from __future__ import annotations

import atexit
import gc

from actspan.cli import main

# Between two looks for garbage in cycles: modules and columns make next to none, and with Python's
# own 700 a tenth of a warm start goes there.
_ALLOCATIONS = 50_000


def run() -> None:
    """Run the command of this process."""
    gc.set_threshold(_ALLOCATIONS)
    atexit.register(gc.freeze)  # nor is any looked for among what ends anyway
    main(prog_name="actspan")


if __name__ == "__main__":
    run()
