"""From video to snippet features: decoding, the snippet grid, backbones, the two streams."""
