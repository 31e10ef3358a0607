"""An HTTP service: proposals at once or as jobs, the inference protocol v2, and the viewer.

What it is told is in `settings`, the application in `app`; `running` starts it. Operations for the
viewer are in `browse`, its static assets in `viewer/`. Names are imported when they are used: the
process that decodes uploads needs none of the service.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actspan.server.app import create_app
    from actspan.server.settings import Batching, Limits, ServeSettings

__all__ = ["Batching", "Limits", "ServeSettings", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'actspan.server' has no attribute {name!r}")
    home = "app" if name == "create_app" else "settings"
    return getattr(importlib.import_module(f"actspan.server.{home}"), name)
