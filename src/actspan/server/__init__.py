"""The HTTP service and the viewer in the browser."""
