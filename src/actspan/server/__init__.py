"""HTTP service: immediate proposals, jobs, the inference protocol v2, and the viewer.

Settings are in `settings`, the application is in `app`, and `running` starts it. Operations of the
viewer are in `browse`, its static assets in `viewer/`. Names are imported lazily, because the
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
