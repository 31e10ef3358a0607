"""The settings of every stage: one frozen struct each, defaults = the published ones.

Settings are read from TOML, where unknown keys are errors, and written to TOML without loss.
"""
