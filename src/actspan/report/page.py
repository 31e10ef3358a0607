"""Report page: one HTML file that needs no other files and no network."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np

from actspan import __version__
from actspan.core.errors import DataError, require
from actspan.core.files import atomic_file, similar_path
from actspan.core.progress import Progress, no_progress
from actspan.report.charts import LETTERS
from actspan.report.contents import Contents, GroundTruth, gather
from actspan.report.listed_videos import VideoList, list_videos, pack
from actspan.report.sections import facts, make_sections

_EXTREMES = 3  # videos shown as the worst, and as the best


@dataclass(frozen=True, slots=True, eq=False)
class WrittenReport:
    """Result of `write_report`; `size` is in bytes."""

    path: Path
    size: int
    contents: Contents
    listing: VideoList


def write_report(
    runs: Sequence[Path],
    out: Path | str,
    *,
    truth: GroundTruth | None = None,
    videos: Sequence[str] = (),
    progress: Progress = no_progress,
) -> WrittenReport:
    """Write the report of one or more runs as one self-contained HTML page.

    Parameters
    ----------
    runs : sequence of Path
        Run folders or result files.
    out : Path or str
        Path of the page, which is written atomically.
    truth : GroundTruth, optional
        Place of the ground truth; the annotations that the runs were made from unless given.
    videos : sequence of str
        Ids, or a single number N for the N / 2 worst and the N / 2 best. All unless given.
    progress : callable

    Raises
    ------
    ResultError, AnnotationError, DatasetError, ConfigError
        As for `gather` and `list_videos`.
    DataError
        The folder of `out` does not exist.
    MissingExtraError
        jinja2 or matplotlib is not installed.

    Examples
    --------
    >>> write_report([Path("run/")], "report.html").size  # doctest: +SKIP
    412345
    """
    out = check_page(out)
    contents = gather(runs, truth, progress)
    listing = list_videos(contents, videos)
    page = render(contents, listing)
    with atomic_file(out) as stream:
        stream.write(page)
    return WrittenReport(out, len(page), contents, listing)


def check_page(path: Path | str) -> Path:
    """Check that a page can be written to a path, before work starts.

    Raises DataError if the folder does not exist or the name does not end in .html, and
    MissingExtraError without jinja2 or matplotlib.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the report a name, such as {path}/report.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path}: a report is a page: give it a name that ends in .html")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path}: its folder does not exist{similar_path(path.absolute().parent)}")
    for module in ("jinja2", "matplotlib"):
        require(module, extra="report", purpose="Writing a report")
    return path


def render(contents: Contents, listing: VideoList) -> bytes:
    """Return the page, UTF-8; the same contents give the same bytes."""
    jinja2 = require("jinja2", extra="report", purpose="Writing a report")
    markup = require("markupsafe", extra="report", purpose="Writing a report").Markup
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, theme = _asset("report.css"), _asset("theme.js")
    script = _asset("timeline.js") + _asset("list.js")
    worst, best = listing.extremes(_EXTREMES)
    means = [float(np.mean(auc)) for auc in listing.auc.T]  # over the runs
    # JSON that cannot close the HTML element that contains it.
    data = json.dumps(pack(contents, listing), separators=(",", ":")).replace("<", "\\u003c")
    text: str = environment.get_template("report.html.j2").render(
        contents=contents,
        listing=listing,
        letters=LETTERS,
        facts=facts(contents),
        sections=make_sections(contents),
        extremes={"Worst": worst, "Best": best},
        means=["–" if np.isnan(auc) else f"{auc:.1f}" for auc in means],
        policy=_policy(style, (theme, script)),
        data=markup(data),
        svg=markup,
        style=markup(style),
        theme=markup(theme),
        script=markup(script),
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def _asset(name: str) -> str:
    return (files("actspan.report") / "assets" / name).read_text(encoding="utf-8")


def _policy(style: str, scripts: Sequence[str]) -> str:
    """Return a security policy that allows only the page's own scripts and style."""
    allowed = " ".join(map(_checksum, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_checksum(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _checksum(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
