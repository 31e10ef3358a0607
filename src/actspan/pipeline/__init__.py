"""Features to proposals: every stage in memory, batched, on all cores."""
