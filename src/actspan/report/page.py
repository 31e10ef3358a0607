"""Report page: one HTML file that needs no other files and no network."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import numpy as np

from actspan import __version__
from actspan.core.colours import style_sheet
from actspan.core.errors import ConfigError, DataError, require, require_installed
from actspan.core.files import atomic_file, similar_path
from actspan.core.progress import Progress, no_progress
from actspan.core.wording import clock
from actspan.report.charts import LETTERS
from actspan.report.contents import Contents, GroundTruth, gather
from actspan.report.page_data import pack
from actspan.report.sections import facts, make_sections
from actspan.report.summary import Verdict, as_csv, as_markdown, give_verdict, table_to_copy
from actspan.report.video_list import VideoList, list_videos

if TYPE_CHECKING:
    from actspan.report.frames import Frames

_EXTREMES = 3  # videos shown as the worst, and as the best


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Choice of the videos and pictures of a page.

    Attributes
    ----------
    listed : sequence of str
        Ids of videos, or a single number N for the N / 2 worst and the N / 2 best; all if empty.
    frames : bool
        Whether to show frames of the worst videos.
    videos : Path, optional
        Folder of the videos; the places that the runs recorded by default.
    viewer : str
        Address of a viewer of the same runs, to which videos are linked; "" for none.
    """

    listed: Sequence[str] = ()
    frames: bool = False
    videos: Path | None = None
    viewer: str = ""

    def __post_init__(self) -> None:
        if self.viewer and urlsplit(self.viewer).scheme not in ("http", "https"):
            raise ConfigError(
                f"viewer is {self.viewer!r}; give the address that `actspan serve` prints, such as "
                "http://127.0.0.1:8000/"
            )


@dataclass(frozen=True, slots=True, eq=False)
class WrittenReport:
    """Result of `write_report`; `size` is in bytes."""

    path: Path
    size: int
    contents: Contents
    listing: VideoList
    verdict: Verdict


def write_report(
    runs: Sequence[Path],
    out: Path | str,
    *,
    truth: GroundTruth | None = None,
    options: PageOptions | None = None,
    progress: Progress = no_progress,
) -> WrittenReport:
    """Write the report of one or more runs as one self-contained HTML page.

    `out` is written atomically. `truth` is the place of the ground truth, the annotations that the
    runs were made from unless given.

    Raises
    ------
    ResultError, AnnotationError, DatasetError, ConfigError
        As for `gather` and `list_videos`.
    DataError, MissingExtraError
        As for `check_page` and `read_frames`.

    Examples
    --------
    >>> write_report([Path("run/")], "report.html").size  # doctest: +SKIP
    412345
    """
    out, options = check_page(out), options or PageOptions()
    contents = gather(runs, truth, progress)
    listing = list_videos(contents, options.listed)
    frames: Frames | None = None
    if options.frames:
        from actspan.report.frames import read_frames  # imported late: most pages have none

        frames = read_frames(contents, listing, options.videos)
        contents = replace(contents, notes=(*contents.notes, *frames.notes))
    verdict = give_verdict(contents)
    page = render(contents, listing, verdict, frames, options.viewer)
    with atomic_file(out) as stream:
        stream.write(page)
    return WrittenReport(out, len(page), contents, listing, verdict)


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
        require_installed(module, extra="report", purpose="Writing a report")
    return path


def render(
    contents: Contents,
    listing: VideoList,
    verdict: Verdict,
    frames: Frames | None = None,
    viewer: str = "",
) -> bytes:
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
    viewer = viewer.partition("#")[0]
    style, theme = style_sheet() + _asset("report.css"), _asset("theme.js")
    script = _asset("timeline.js") + _asset("list.js")
    worst, best = listing.extremes(_EXTREMES)
    means = [float(np.mean(auc)) for auc in listing.auc.T]  # over the runs
    # JSON that cannot close the HTML element that contains it.
    packed = json.dumps(pack(contents, listing, viewer), separators=(",", ":"))
    rows = table_to_copy(contents)
    text: str = environment.get_template("report.html.j2").render(
        contents=contents,
        verdict=verdict,
        listing=listing,
        letters=LETTERS,
        facts=facts(contents),
        sections=make_sections(contents),
        extremes={"Worst": worst, "Best": best},
        means=["–" if np.isnan(auc) else f"{auc:.1f}" for auc in means],
        frames=frames.rows if frames else {},
        link=lambda video, seconds: f"{viewer}#{urlencode({'id': video, 't': f'{seconds:.2f}'})}",
        viewer=viewer,
        clock=clock,
        copies={"Markdown": as_markdown(rows), "CSV": as_csv(rows)} if rows else {},
        policy=_policy(style, (theme, script), has_pictures=bool(frames and frames.rows)),
        data=markup(packed.replace("<", "\\u003c")),
        svg=markup,
        style=markup(style),
        theme=markup(theme),
        script=markup(script),
        version=__version__,
    )
    return text.encode("utf-8", "replace")


def _asset(name: str) -> str:
    return (files("actspan.report") / "assets" / name).read_text(encoding="utf-8")


def _policy(style: str, scripts: Sequence[str], *, has_pictures: bool) -> str:
    """Return a security policy that allows only the page's own scripts, style and pictures."""
    allowed = " ".join(map(_checksum, scripts))
    pictures = "img-src data:; " * has_pictures
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_checksum(style)}; {pictures}"
        "base-uri 'none'; form-action 'none'"
    )


def _checksum(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
