"""Names in .eaf files that ActSpan writes, by which the reader recognizes them."""

INSTANCES = "actions"  # name of the tiers of instances, and of their type
SCORES = "scores"  # name of the tiers of scores, and of their type
PROPERTY = "actspan."  # prefix of the properties with facts about the video
