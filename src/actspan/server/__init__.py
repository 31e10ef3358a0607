"""HTTP service: immediate proposals, jobs, the inference protocol v2, and the viewer.

Settings are in `settings`; `app` builds the application and runs it. `viewer/` is the page.
"""
