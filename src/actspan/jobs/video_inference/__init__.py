"""Video inference: segments of complete videos or of recordings in progress, and their clips."""
