"""Training of TEM and PEM, together or one after the other, or of BMN (extra `train`)."""
