"""BMN: one network that scores every start and every duration of a video (bmn.md)."""
