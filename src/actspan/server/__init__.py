"""An HTTP service: proposals at once or as jobs, the inference protocol v2, and the viewer.

What it is told is in `settings`, the application in `app`; `running` starts it. Operations for the
viewer are in `browse`, its static assets in `viewer/`. Nothing is imported here: the process that
decodes uploads needs none of the service.
"""
