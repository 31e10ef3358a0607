"""Errors, value types, files and small helpers that every room uses."""
