"""BMN: a confidence for every start and duration of a video, in one pass (bmn.md)."""
