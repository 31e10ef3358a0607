"""The result file as a document: ids of all videos, with their entries not yet decoded."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from actspan.core.errors import ResultError
from actspan.core.files import NOT_JSON, read_bytes
from actspan.core.limits import DOCUMENT
from actspan.data.names import FileNames

_BLOCK = 1 << 18  # bytes at a time, which fit into the caches


class _Document(msgspec.Struct):
    # Raw: decoded a few videos at a time, so that only their small objects exist at once.
    results: dict[str, msgspec.Raw]


_decode_document = msgspec.json.Decoder(_Document).decode


def is_result(path: Path) -> bool:
    """Return whether a file looks like a result file, damaged or not; raise as `result_bytes`."""
    data = result_bytes(path)
    return data[:_BLOCK].lstrip()[:1] == b"{" and b'"results"' in data and b'"database"' not in data


def result_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    ResultError
        It cannot be read.
    """
    try:
        return read_bytes(path, DOCUMENT)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from error


def result_videos(path: Path, data: bytes, files: FileNames) -> Iterator[tuple[str, msgspec.Raw]]:
    """Yield per video of a result file its id, without `v_`, and its undecoded entries.

    Parameters
    ----------
    files : FileNames
        Gets the ids that are names of video files, and drops their suffix.

    Raises
    ------
    ResultError
        Not JSON, without "results", or a video occurs with and without `v_`.
    """
    seen = set()
    for name, entries in _decode_results(path, data).items():
        try:
            video = files.stem(name).removeprefix("v_")
        except ValueError as error:
            raise ResultError(f"{path}: {error}") from error
        if video in seen:
            raise ResultError(
                f"{path}: video {video!r} is there with and without 'v_', a file's suffix, or in "
                "two Unicode forms: keep one"
            )
        seen.add(video)
        yield video, entries


def _decode_results(path: Path, data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _decode_document(data).results
    except msgspec.ValidationError as error:
        raise ResultError(
            f'{path}: not a result file: {error}; {{"results": {{id: [...]}}}} is needed'
        ) from error
    except NOT_JSON as error:
        raise _explain_malformed(path, data, error) from error


def _explain_malformed(path: Path, data: bytes, error: Exception) -> ResultError:
    """Return the error for NaN, which Python writes although JSON has none, or for invalid JSON."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return ResultError(f"{path}: not valid JSON: {error}; was it cut off?")
    results = document.get("results") if isinstance(document, dict) else None
    for video, entries in results.items() if isinstance(results, dict) else ():
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if _holds_non_finite(entry):
                return ResultError(
                    f"{path}: video {video!r}, entry {number}: NaN or infinity in {entry}; "
                    "scores and segments must be finite"
                )
    return ResultError(f"{path}: not valid JSON: {error}")


def _holds_non_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_non_finite, value.values()))
    if isinstance(value, list):
        return any(map(_holds_non_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


def refuse_repeated_videos(path: Path, data: bytes, counts: Sequence[int]) -> None:
    """Raise if any object of the document has a key twice.

    Parameters
    ----------
    counts : sequence of int
        Number of entries found per video.

    Raises
    ------
    ResultError
        Names the key.
    """
    # A repeated key overwrites silently, but the overwritten value is still in the text: every
    # video opens a list, and every entry one. If there are other lists, a slower count decides.
    entries = sum(counts)
    if _count(data, b"[") == len(counts) + entries or data.count(b'"segment"') == entries:
        return

    def check(pairs: list[tuple[str, Any]]) -> None:
        names, times = Counter(key for key, _ in pairs).most_common(1)[0] if pairs else ("", 0)
        if times > 1:
            raise ResultError(f"{path}: {names!r} is there {times} times: keep one of them")

    try:
        json.loads(data, object_pairs_hook=check)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: not valid JSON: {error}") from error


def _count(data: bytes, character: bytes) -> int:
    """Return `data.count(character)`, several times as fast for frequent characters."""
    text = np.frombuffer(data, np.uint8)
    blocks = range(0, len(text), _BLOCK)
    return sum(int(np.count_nonzero(text[i : i + _BLOCK] == ord(character))) for i in blocks)
