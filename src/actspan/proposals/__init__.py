"""From boundary scores to ranked segments: candidates, BSP features, Soft-NMS."""
