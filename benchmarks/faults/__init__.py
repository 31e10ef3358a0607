"""Faults put into runs on purpose: what is left must be the same bytes, or one clear error.

world.py    a small dataset and model, commands in processes of their own, what must hold
kinds.py    the kinds of fault, a function each
__main__.py all of them with their seeds, and the table
"""
