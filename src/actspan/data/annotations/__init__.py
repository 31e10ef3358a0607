"""Annotations in many formats: one file per format, and one table of formats (`FORMATS`)."""
