"""Speed: results on disk, logs of other tools, and what compares them."""
