"""Output of `actspan propose`: a table, JSON, lines of a live video, and a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from actspan.cli.console import findings, print_findings, print_json, say
from actspan.core.wording import counted
from actspan.jobs.propose_request import ProposeRequest, Summary

if TYPE_CHECKING:
    from actspan.core.segments import Proposals
    from actspan.jobs.clips import Clip
    from actspan.jobs.sinks import SegmentList
    from actspan.runtime.opening import BackendChoice


@dataclass
class ProposeOutput:
    """Output of the command.

    Attributes
    ----------
    request : ProposeRequest
    choice : BackendChoice, optional
        The backend of a job on features.
    segments : SegmentList, optional
        The results, if they are printed.
    clips : list of Clip
    as_json : bool
    """

    request: ProposeRequest
    choice: BackendChoice | None
    segments: SegmentList | None
    clips: list[Clip]
    as_json: bool

    def print(self, summary: Summary) -> None:
        """Print the result: the final line of a live video, else JSON or a report."""
        if self.segments is not None and self.request.live is not None:
            ((video, proposals),) = self.segments.proposals.items()
            labels = self.segments.labels()
            entries = _entries(proposals, labels.get(video))
            _print_line({"final": entries, "seconds": summary.video_seconds})
        elif self.as_json:
            print_json(self._figures(summary))
        else:
            self._print_report(summary)

    def _figures(self, summary: Summary) -> dict[str, Any]:
        names = ("videos", "proposals", "detections", "kept", "seconds", "stages")
        figures = {
            "out": None if summary.out is None else str(summary.out),
            **{name: getattr(summary, name) for name in names},
            "videos_per_second": summary.rate,
            "backend": self.choice and self.choice.name,
            "backend_reason": self.choice and self.choice.reason,
            **findings(summary.problems, summary.notes),
        }
        if self.segments is None:
            return figures
        results, paths = self.segments.proposals, self.segments.paths
        labels = self.segments.labels()
        return {
            **figures,
            "results": {
                video: _entries(proposals, labels.get(video))
                for video, proposals in results.items()
            },
            "videos": {video: str(paths[video]) for video in results},
            "video_seconds": summary.video_seconds,
            "clips": [
                {
                    "path": str(clip.path),
                    "segment": [clip.start, clip.end],
                    "way": clip.way,
                    "seconds": clip.seconds,
                    **({"label": clip.label} if labels else {}),
                }
                for clip in self.clips
            ],
        }

    def _print_report(self, summary: Summary) -> None:
        if self.segments is not None:
            from actspan.cli.tables import print_segments

            print_segments(self.segments.proposals, self.segments.labels())
        if summary.kept:
            was = "was" if summary.kept == 1 else "were"
            say(f"{summary.kept:,} of {counted(summary.videos, 'video')} {was} done before")
        computed = counted(summary.videos - summary.kept, "video")
        if self.request.videos:
            length, pace = summary.video_seconds / 60, summary.video_seconds / summary.seconds
            say(f"{computed}, {length:.1f} min, in {summary.seconds:.1f} s ({pace:.1f}x real time)")
        elif summary.videos > summary.kept:
            shares = ", ".join(f"{stage} {share:.0%}" for stage, share in summary.stages.items())
            say(f"{computed} in {summary.seconds:.2f} s ({summary.rate:.0f}/s): {shares}")
        if summary.out is not None:
            labelled = f", {counted(summary.detections, 'detection')}" * bool(summary.detections)
            say(f"{counted(summary.proposals, 'proposal')}{labelled} in {summary.out}")
        if self.choice is not None:
            say(f"backend {self.choice.name} ({self.choice.reason})")
        for clip in self.clips:
            say(f"{clip.path}: {clip.seconds:.2f} s, {clip.way}")
        where = " (named in run.toml where a run is written)" if summary.out else ""
        print_findings(summary.problems, summary.notes, where)


def _entries(proposals: Proposals, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    columns = (proposals.score.tolist(), proposals.start.tolist(), proposals.end.tolist())
    entries = [{"score": c, "segment": [s, e]} for c, s, e in zip(*columns, strict=True)]
    if labels is None:
        return entries
    return [{**entry, "label": label} for entry, label in zip(entries, labels, strict=True)]


def print_new(seconds: float, proposals: Proposals, labels: Sequence[str] | None) -> None:
    """Print the new segments of a live video, of which `seconds` were seen, a line each."""
    for entry in _entries(proposals, labels):
        _print_line({**entry, "seen": seconds})


def _print_line(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values))  # also flushes
