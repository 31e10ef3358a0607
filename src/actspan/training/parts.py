"""Parts of a dataset for training: chosen, checked, and read in the form that training uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec
import numpy as np

from actspan.config.base import Config
from actspan.config.stages import FusionConfig, PemConfig, PipelineConfig, SoftNmsConfig, TemConfig
from actspan.config.training import PRESETS, TrainConfig
from actspan.core.errors import AnnotationError, ConfigError
from actspan.core.problems import Skipped, raise_errors
from actspan.core.progress import Report
from actspan.core.segments import Proposals
from actspan.core.types import Video
from actspan.core.wording import counted, suggestion
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset
from actspan.data.videos import Videos
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline
from actspan.pipeline.steps import feature_inputs
from actspan.training.samples import Samples, read_samples

TRAINING, VALIDATION, TESTING = "training", "validation", "testing"  # subsets


def trainable(dataset: Dataset, **checks: Any) -> Dataset:
    """Select the training and validation videos, and check them (options of `check_dataset`).

    If no video has a subset, all are training videos.

    Raises
    ------
    AnnotationError
        There are no annotations, no training video, or none that contains an instance.
    DatasetError
        There are problems.
    """
    if dataset.format == "features":
        raise AnnotationError(
            f"{dataset.path}: no annotations.json in this folder, and training needs annotations; "
            "other forms and names: docs/how-to/datasets.md"
        )
    videos = dataset.videos
    if not any(videos.subsets):
        videos = Videos(replace(video, subset=TRAINING) for video in videos)
    chosen = [video for video in videos if video.subset in (TRAINING, VALIDATION)]
    if not any(video.subset == TRAINING for video in chosen):
        known_subsets = ", ".join(_with_meaning(name) for name in sorted(set(videos.subsets)))
        raise AnnotationError(
            f"{dataset.path}: no video in subset 'training'; subsets: {known_subsets or 'none'}. "
            "Divide the videos with `actspan annotate split`, or rename a subset with `actspan "
            "annotate convert --rename-subset OLD=training`"
        )
    checked = check_dataset(dataset.select(chosen), uses_instances=True, **checks)
    checked = replace(checked, notes=(*checked.notes, *_note_unused(videos)))
    if not any(len(video.segments) for video in videos_in(checked, TRAINING)):
        bad = [problem for problem in checked.problems if problem.skipped is Skipped.SEGMENT]
        raise_errors(bad, leaves_something=False)
        raise AnnotationError(
            f"{dataset.path}: no training video contains an instance to learn from. Annotate the "
            "actions of the training videos (segment and label), for example with ELAN or Label "
            "Studio: docs/how-to/datasets.md"
        )
    return checked


def videos_in(dataset: Dataset, subset: str) -> list[Video]:
    """Return the videos of a subset."""
    return [video for video in dataset if video.subset == subset]


def _note_unused(videos: Videos) -> Iterator[str]:
    """Yield a line about videos of subsets that training does not use."""
    others = Counter(name for name in videos.subsets if name not in (TRAINING, VALIDATION))
    if others:
        counts = ", ".join(f"{n:,} of subset {_with_meaning(name)}" for name, n in others.items())
        yield f"videos that are not used in training: {counts}"


def _with_meaning(subset: str) -> str:
    """Return a subset in quotes, with the subset that it may be a misspelling of."""
    return repr(subset) + ("" if subset == TESTING else suggestion(subset, (TRAINING, VALIDATION)))


def for_dataset(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Set the options that depend on the dataset: channels, edges, mode and ranking."""
    settings, channels = config.pipeline, dataset.spec.channels
    if channels is None:
        raise ConfigError(f"{dataset.path}: its channels are not known; use trainable(dataset)")
    edge = dataset.edge if settings.rescale.edge == "auto" else settings.rescale.edge
    mode = _mode(dataset, settings.cells) if config.mode == "auto" else config.mode
    ranking = config.ranking
    if mode == "window":
        ranking = config.windows.ranking
    elif len(videos_in(dataset, TRAINING)) <= config.few_videos:
        ranking = config.few
    pipeline = msgspec.structs.replace(
        settings,
        mode=mode,
        soft_nms=_suppression(settings.soft_nms, ranking.soft_nms),
        fusion=ranking.fusion if settings.fusion == FusionConfig() else settings.fusion,
        rescale=msgspec.structs.replace(settings.rescale, edge=edge),
        **_networks(settings, channels),
    )
    dataset.require_fit(pipeline)
    return msgspec.structs.replace(config, mode=mode, pipeline=pipeline)


def _networks(settings: PipelineConfig, channels: int) -> dict[str, Config]:
    """Return the settings of the networks for features with this number of channels."""
    if settings.bmn is not None:
        return {"bmn": msgspec.structs.replace(settings.bmn, channels=channels)}
    tem, pem = settings.tem or TemConfig(), settings.pem or PemConfig()
    return {
        "tem": msgspec.structs.replace(tem, channels=channels),
        "pem": msgspec.structs.replace(pem, inputs=settings.pem_inputs),
    }


def _suppression(nms: SoftNmsConfig, ranking: SoftNmsConfig) -> SoftNmsConfig:
    """Return `ranking`, or `nms` if it was changed; its counts only if they were changed too."""
    usual = SoftNmsConfig()
    if nms == usual:
        return ranking
    if (nms.picks, nms.keep) == (usual.picks, usual.keep):
        return msgspec.structs.replace(nms, picks=ranking.picks, keep=ranking.keep)
    return nms


def _mode(dataset: Dataset, length: int) -> Literal["rescale", "window"]:
    """Return "window" if the training videos' median length exceeds two windows (section 11)."""
    snippets = [len(dataset.open(video.id)) for video in videos_in(dataset, TRAINING)]
    return "window" if np.median(snippets) > 2 * length else "rescale"


def set_apart(
    dataset: Dataset, share: float | None, seed: int, report: Report
) -> tuple[Dataset, list[str]]:
    """Set videos apart for validation if requested and none exist; return their ids too."""
    if VALIDATION in dataset.videos.subsets:
        if share is not None:
            report.say("--validation-split is not needed: the dataset has validation videos")
        return dataset, []
    if share is None:
        report.say(
            "no validation videos, so the model is not evaluated; set some apart: "
            "--validation-split 0.1"
        )
        return dataset, []
    apart = draw_videos(dataset.videos, share, seed)
    verb = "is" if len(apart) == 1 else "are"
    videos = counted(len(dataset), "video")
    report.say(f"{len(apart):,} of {videos} {verb} held out for validation")
    return dataset.select(dataset.videos.with_set_apart(apart, VALIDATION)), apart


def draw_videos(videos: Sequence[Video], share: float, seed: int) -> list[str]:
    """Draw a share of the videos; the choice depends on the seed, not on their order.

    Returns sorted ids, at least one, and leaves at least one out. Raises ConfigError if `share` is
    not between 0 and 1, or there are fewer than two videos.
    """
    if not 0 < share < 1:
        raise ConfigError(f"--validation-split {share}: must lie between 0 and 1")
    ids = sorted(video.id for video in videos)
    if len(ids) < 2:
        raise ConfigError(f"--validation-split needs at least two videos, not {len(ids)}")
    count = min(max(round(share * len(ids)), 1), len(ids) - 1)
    drawn = np.random.default_rng([seed, 0x5B11]).permutation(len(ids))[:count]
    return sorted(ids[i] for i in drawn.tolist())


def read_parts(dataset: Dataset, config: TrainConfig, report: Report) -> dict[str, Samples]:
    """Read the videos of each subset that has any; only training chooses among windows."""
    parts = {}
    for part, windows in ((TRAINING, config.windows), (VALIDATION, None)):
        if videos := videos_in(dataset, part):
            chosen, what = dataset.select(videos), f"reading {part}"
            parts[part] = read_samples(chosen, config.pipeline, windows, what, report.progress)
    return parts


def propose_videos(
    bundle: Bundle, dataset: Dataset, videos: list[Video], backend: str, what: str, report: Report
) -> dict[str, Proposals]:
    """Return the bundle's own proposals for some videos, by id; `what` names the progress."""
    inputs = feature_inputs(dataset, (video.id for video in videos), bundle.config)
    proposals = {}
    with Pipeline.load(bundle, backend=backend, edge=dataset.edge) as pipeline:
        for outcome in pipeline.run(inputs):
            if outcome.proposals is not None:
                proposals[outcome.id] = outcome.proposals
                report.progress(what, len(proposals), len(videos))
    return proposals


def preset_of(config: TrainConfig, dataset: Dataset) -> str:
    """Return the name of the preset with these settings, or "custom"."""
    names = [n for n, known in PRESETS.items() if for_dataset(known, dataset) == config]
    return names[-1] if names else "custom"


def with_duration(video: Video, dataset: Dataset) -> Video:
    """Return the video with the duration of its features, if the annotations give none."""
    if np.isfinite(video.duration):
        return video
    return replace(video, duration=dataset.open(video.id).seconds)
