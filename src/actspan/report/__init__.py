"""Charts, timelines and report pages of results."""
