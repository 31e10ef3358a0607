"""What decoding a stranger's JSON may raise."""

from __future__ import annotations

import msgspec

# RecursionError: a thousand brackets, one in another; msgspec and `json` both end there
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
