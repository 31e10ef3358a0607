"""Exceptions that decoding untrusted JSON may raise."""

from __future__ import annotations

import msgspec

# RecursionError is for a thousand nested brackets, at which msgspec and `json` give up.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
