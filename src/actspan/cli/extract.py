"""`actspan extract`: extract snippet features from videos into a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from actspan.cli.console import findings, print_findings, print_json, progress_report, say
from actspan.cli.options import command, ray_config
from actspan.cli.tables import count_and_names
from actspan.core.wording import counted, quoted
from actspan.jobs.propose_request import ClusterConfig
from actspan.streams.extract_request import ExtractRequest

if TYPE_CHECKING:
    from actspan.streams.extraction import Extracted


@command(arguments=["videos"], names={"streams": "stream"})
def extract(
    request: ExtractRequest,
    *,
    json_: bool = False,
    engine: Literal["local", "ray"] = "local",
    cluster: ClusterConfig,
) -> None:
    """Extract snippet features from VIDEOS into a dataset, for training and proposing.

    VIDEOS are files, folders, patterns ('day1/*.mp4'), @list.txt with one file per line, or a
    dataset folder that has videos/ instead of features/; its annotations are copied.

    The same command, given again, processes only videos that are missing or have changed. With
    other settings it stops if features already exist, unless --force lets it remove them.

    --engine ray gives each video to a worker; videos and --out must be on storage that all machines
    share.

    \b
    Example:
      actspan extract my-videos/ --out my-features/
      actspan extract /shared/videos/ --out /shared/set/ --engine ray --address auto --workers 8
      actspan extract 'day1/*.mp4' @more.txt --out day1/ --stride 8f --stream appearance
    """
    ray = ray_config(engine, cluster)
    with progress_report() as report:
        from actspan.streams.extraction import extract_videos

        extraction = None
        if ray is not None:
            from actspan.jobs.ray_engine import ray_extraction

            extraction = ray_extraction(ray)
        done = extract_videos(request, report, engine=extraction)
    if json_:
        from actspan.config.base import to_dict

        names = ("out", "videos", "kept", "snippets", "video_seconds", "seconds", "removed")
        figures = {name: getattr(done, name) for name in names}
        print_json({**figures, "features": to_dict(done.spec), **findings(done.problems)})
    else:
        _print_extracted(done)


def _print_extracted(done: Extracted) -> None:
    if done.removed:
        say(f"removed features of other settings: {count_and_names(done.removed)}")
    if done.kept:
        say(f"{counted(done.kept, 'video')} {'was' if done.kept == 1 else 'were'} done already")
    if done.videos:
        pace = done.video_seconds / done.seconds
        say(
            f"{counted(done.videos, 'video')}, {done.video_seconds / 60:.1f} min, "
            f"in {done.seconds:.0f} s ({pace:.1f}x real time): "
            f"{counted(done.snippets, 'snippet')} of {counted(done.spec.channels or 0, 'channel')}"
        )
    say(f"features of {done.spec.backbone} in {done.out}")
    out = quoted(done.out)
    if done.labelled:
        say(f"next: actspan train --dataset {out} --out model/")
    else:
        say(
            f"next: annotate the actions in {done.out / 'annotations.json'}, then actspan train; "
            f"or with a model of such features: actspan propose --model MODEL --dataset {out} "
            "--out run/"
        )
    print_findings(done.problems)
