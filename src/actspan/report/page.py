"""Report page: one HTML file that needs no other files and no network.

The page's script reads JSON that contains base64:

{"runs": ["run", ...], "labels": ["jump", ...],
 "videos": [{"id": "a", "seconds": 61.5, "truth": F32, "labels": [0, ...],
             "auc": [83.1, ...], "missed": [0, ...],
             "runs": [{"span": 60.0, "curves": U8, "proposals": F32, "labels": [0, ...]}, ...]}]}

F32 is base64 of little-endian float32, in seconds: all starts, then all ends, then all scores, if
there are any. U8 is base64 of bytes, 255 for a probability of 1: action, then start, then end.
Labels are indices into the list of labels, -1 for none.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from actspan import __version__
from actspan.core.errors import ConfigError, DataError, require
from actspan.core.files import atomic_file, similar_path
from actspan.core.progress import Progress, no_progress
from actspan.core.types import BoundaryScores, Float32, Float64, Proposals, Video
from actspan.data.videos import canonical_id
from actspan.evaluation.counting import Int64
from actspan.evaluation.recall import evaluate_video
from actspan.report.charts import LETTERS
from actspan.report.contents import Contents, GroundTruth, gather
from actspan.report.sections import facts, make_sections

PROPOSALS = 10  # drawn per video and run
_EXTREMES = 3  # videos shown as the worst, and as the best
_FEWEST, _MOST = 50, 400  # columns of a curve
_ALL_COLUMNS = 2_000_000  # columns of all curves of a page, 4 characters each


@dataclass(frozen=True, slots=True, eq=False)
class VideoList:
    """Videos that a report shows one by one: V videos of R runs, worst first if evaluated."""

    videos: tuple[Video, ...]
    auc: Float64  # (R, V), of each video alone, in percent; NaN without instances
    missed: Float64  # (R, V), instances not reached at the lowest threshold; NaN without any
    unlisted: int  # videos that were left out

    def extremes(self, most: int) -> tuple[list[int], list[int]]:
        """Return indices of the worst and the best videos, at most `most` each, without overlap."""
        rated = np.flatnonzero(np.isfinite(self.auc).any(axis=0)).tolist()
        count = min(most, len(rated) // 2)
        return rated[:count], rated[len(rated) - count :][::-1]


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

    `out` is written atomically. `truth` is the place of the ground truth, the annotations that the
    runs were made from unless given. `videos` are ids, or a single number N for the N / 2 worst and
    the N / 2 best; all unless given.

    Raises
    ------
    ResultError, AnnotationError, DatasetError, ConfigError
        As for `gather` and `list_videos`.
    DataError, MissingExtraError
        As for `check_page`.

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


def list_videos(contents: Contents, wanted: Sequence[str] = ()) -> VideoList:
    """Evaluate every video, and choose those to show.

    `wanted` are ids, or a single number N for the N / 2 worst and the N / 2 best; all by default.
    Raises ConfigError if an id is not among the videos.
    """
    auc, missed = np.full((2, len(contents.runs), len(contents.videos)), np.nan)
    for r, run in enumerate(contents.runs):
        for v, video in enumerate(contents.videos):
            if run.recall is not None and len(video.segments):
                auc[r, v], missed[r, v] = evaluate_video(
                    video,
                    run.proposals.get(video.id),
                    max_proposals=run.recall.max_proposals,
                    tiou=run.recall.tiou,
                )
    order = np.argsort(auc.mean(axis=0), kind="stable")  # NaN sorts last
    kept = order[_positions_to_list(contents.videos, order, wanted, int(np.isfinite(auc[0]).sum()))]
    return VideoList(
        videos=tuple(contents.videos[i] for i in kept.tolist()),
        auc=auc[:, kept],
        missed=missed[:, kept],
        unlisted=len(order) - len(kept),
    )


def _positions_to_list(
    videos: Sequence[Video], order: Int64, wanted: Sequence[str], evaluated: int
) -> Int64:
    """Return the positions in `order` to list.

    The first `evaluated` videos of `order` are sorted from worst to best.
    """
    if not wanted:
        return np.arange(len(order))
    if len(wanted) == 1 and wanted[0].isdecimal():
        total = evaluated or len(order)
        number = min(int(wanted[0]), total)
        half = number // 2
        return np.concatenate([np.arange(number - half), np.arange(total - half, total)])
    positions = {videos[i].id: position for position, i in enumerate(order.tolist())}
    ids = [canonical_id(name) for name in wanted]
    unknown = [name for name in ids if name not in positions]
    if unknown:
        raise ConfigError(f"not among the videos evaluated: {', '.join(unknown[:5])}")
    return np.array(sorted({positions[name] for name in ids}))


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


def pack(contents: Contents, listing: VideoList) -> dict[str, Any]:
    """Return everything that the page's script needs, ready for JSON; raise ResultError."""
    shown = max(len(listing.videos) * len(contents.runs), 1)
    columns = min(max(_ALL_COLUMNS // shown, _FEWEST), _MOST)
    codes: dict[str, int] = {}  # numbers of labels, in order of first use

    def coded(labels: Iterable[str]) -> list[int]:
        return [codes.setdefault(label, len(codes)) if label else -1 for label in labels]

    def of_run(r: int, video: str) -> dict[str, Any]:
        run, scores = contents.runs[r], archives[r]
        packed: dict[str, Any] = {}
        if scores is not None and video in run.spans:
            packed["span"] = round(run.spans[video], 3)
            packed["curves"] = _curves(scores.read(video), columns)
        proposals = run.proposals.get(video, Proposals.empty())
        best = proposals[np.argsort(-proposals.score, kind="stable")[:PROPOSALS]]
        packed["proposals"] = _floats(best.start, best.end, best.score)
        if video in run.detections:
            packed["labels"] = coded(run.detections[video].best_labels(best))
        return packed

    videos = []
    with ExitStack() as stack:
        archives = [
            stack.enter_context(run.folder.scores()) if run.folder and run.spans else None
            for run in contents.runs
        ]
        for v, video in enumerate(listing.videos):
            runs = [of_run(r, video.id) for r in range(len(contents.runs))]
            videos.append(
                {
                    "id": video.id,
                    "seconds": None if np.isnan(video.duration) else round(video.duration, 3),
                    "truth": _floats(*video.segments.T),
                    "labels": coded(video.labels),
                    "runs": runs,
                    "auc": _round_values(listing.auc[:, v], 1),
                    "missed": _round_values(listing.missed[:, v], 0),
                }
            )
    names = [run.name for run in contents.runs]
    return {"runs": names, "labels": list(codes), "videos": videos}


def _curves(scores: BoundaryScores, columns: int) -> str:
    stacked: Float32 = np.asarray(scores)  # (3, T)
    if stacked.shape[1] > columns:  # keep maxima, so that peaks stay visible
        edges = np.linspace(0, stacked.shape[1], columns, endpoint=False).astype(np.int64)
        stacked = np.maximum.reduceat(stacked, edges, axis=1)
    return _base64(np.round(255 * np.clip(stacked, 0, 1)).astype(np.uint8))


def _floats(*columns: Float64) -> str:
    return _base64(np.concatenate(columns).astype("<f4"))


def _base64(array: np.ndarray) -> str:
    return b64encode(array.tobytes()).decode("ascii")


def _round_values(values: Float64, digits: int) -> list[float | None]:
    """Return rounded values with None for NaN, which JSON lacks."""
    return [None if np.isnan(value) else round(value, digits) for value in values.tolist()]
