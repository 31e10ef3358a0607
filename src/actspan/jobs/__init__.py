"""Jobs of any size: a source, an engine and sinks, resumable."""
