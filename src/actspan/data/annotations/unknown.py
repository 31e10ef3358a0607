"""Errors about files that no reader accepts: what they are, and how to get a readable file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actspan.core.errors import AnnotationError
from actspan.core.wording import listed

_SHEET = "a spreadsheet: save the sheet as CSV with the columns video, start, end, label"
_PAGE = "a document: save its table as CSV with the columns video, start, end, label"
_SUBTITLES = "subtitles: save them as WebVTT (.vtt) or SubRip (.srt)"
_PACKED = "packed: unpack it, and give what is inside"
_VIDEO = "a video: annotations are needed here"
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), _SHEET),
    **dict.fromkeys((".html", ".htm", ".docx", ".doc", ".odt", ".pdf"), _PAGE),
    **dict.fromkeys((".sbv", ".ass", ".ssa", ".ttml", ".dfxp", ".sub"), _SUBTITLES),
    **dict.fromkeys((".gz", ".zip", ".tar", ".7z", ".xz"), _PACKED),
    **dict.fromkeys((".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg"), _VIDEO),
    ".txt": "only <Class>_val.txt and <Class>_test.txt are; save a table as .csv or .tsv",
    ".anvil": "of Anvil: export it to ELAN (.eaf), or as a table",
    ".xml": "XML (CVAT, Anvil, ...): export it as CSV or JSON with times in seconds",
}
_OTHER = "export it as CSV (video, start, end, label) or JSON"
_HEAD = 4096  # bytes of a table's first line that are examined
_LABEL_STUDIO = {"annotation_id", "annotator", "lead_time"}


def refuse_table_of_tool(path: Path) -> None:
    """Raise AnnotationError for CSV exports of tools that put regions as JSON into cells."""
    if path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
        return
    try:
        with path.open("rb") as stream:
            line = stream.readline(_HEAD).decode("utf-8-sig", "replace").strip()
    except OSError:
        return  # the reader of tables reports why
    if {cell.strip(' "') for cell in line.split(",")} >= _LABEL_STUDIO:
        raise AnnotationError(
            f"{path}: Label Studio's CSV export is not read: export JSON from Label Studio"
        )
    if line.startswith("# Exported using VGG Image Annotator"):
        raise AnnotationError(
            f"{path}: the CSV export of VGG Image Annotator is not read: save the project (JSON)"
        )


def unknown(path: Path, document: Any, formats: Iterable[str]) -> AnnotationError:
    """Return the error about a file in no known format.

    Parameters
    ----------
    document : Any
        Its content as JSON; None if it is not JSON.
    formats : iterable of str
        Descriptions of the known formats.
    """
    known = f"known are: {'; '.join(formats)}"
    if isinstance(document, dict):
        keys = listed(map(repr, document), most=6) or "no keys"
        return AnnotationError(f"{path}: JSON of no known format, an object with {keys}; {known}")
    if document is not None:
        is_list = isinstance(document, list) and document and isinstance(document[0], dict)
        keys = listed(map(repr, document[0]), most=6) if is_list else ""
        what = f"a list of objects with {keys}" if keys else type(document).__name__
        return AnnotationError(f"{path}: JSON of no known format, {what}; {known}")
    suffix = path.suffix
    remedy = _REMEDIES.get(suffix.lower(), _OTHER)
    what = f"{suffix} is not read: {remedy}" if suffix else remedy
    return AnnotationError(f"{path}: of no known format; {what}; {known}")
