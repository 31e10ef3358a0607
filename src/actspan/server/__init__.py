"""An HTTP service: proposals at once or as jobs, the inference protocol v2, and the viewer.

Settings are in `settings`, the application in `app`; `running` starts it. Operations for the viewer
are in `browse`, its static assets in `viewer/`.
"""

from actspan.server.app import create_app
from actspan.server.settings import Batching, Limits, ServeSettings

__all__ = ["Batching", "Limits", "ServeSettings", "create_app"]
