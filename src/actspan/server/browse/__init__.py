"""What the viewer shows of finished runs: a library in memory, and its routes under `/api`."""
