"""What our own .eaf files call things, so that they are known again when they are read."""

INSTANCES = "actions"  # tiers of instances, and their type
SCORES = "scores"  # tiers of their scores, and their type
PROPERTY = "actspan."  # before the names of properties that say what is known of the video
