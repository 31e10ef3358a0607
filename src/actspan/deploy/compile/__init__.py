"""Compilation of a bundle's networks for a device, here or by a script on its host.

A target is a line in the table of `plan.py` and a module beside it that runs the vendor's compiler.
"""
