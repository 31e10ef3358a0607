"""Evaluation of a new model: AR@AN on its validation videos, compared with random guesses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from actspan.core.errors import ActSpanError
from actspan.core.types import Float64, Proposals, Video
from actspan.core.wording import listed
from actspan.data.dataset import Dataset
from actspan.evaluation.baselines import compare_with_guesses, not_beaten
from actspan.model.bundle import Bundle
from actspan.pipeline.core import Pipeline
from actspan.pipeline.outcomes import VideoInput
from actspan.training.report import Report


def judge(
    bundle: Bundle, dataset: Dataset, validation: Iterable[str], *, seed: int, report: Report
) -> dict[str, Any] | None:
    """Propose on the validation videos and evaluate; warn if guesses are as good.

    Parameters
    ----------
    bundle : Bundle
        A bundle with TEM and PEM; PyTorch runs the weights.
    validation : iterable of str
        Ids of videos that were not trained on.
    seed : int
        Seed of the guesses.

    Returns
    -------
    dict or None
        `videos`, `instances`, and `figures` as `compare_with_guesses` returns them; None, with
        a report, if the videos cannot be evaluated.
    """
    apart = set(validation)
    judged = [_timed(v, dataset) for v in dataset if v.id in apart and len(v.segments)]
    if not judged:
        report.say("the model is not judged: no validation video holds an instance")
        return None
    lengths = _lengths(video for video in dataset if video.id not in apart)
    try:
        proposals = dict(_propose(bundle, dataset, judged, report))
        figures = compare_with_guesses(judged, proposals, lengths, seed=seed)
    except ActSpanError as error:  # must not discard the trained networks
        report.say(f"the model is not judged: {error}")
        return None
    if warning := _warning(figures):
        report.say(warning)
    instances = sum(len(video.segments) for video in judged)
    return {"videos": len(judged), "instances": instances, "figures": figures}


def _warning(figures: Mapping[str, Mapping[str, float]]) -> str:
    guesses = not_beaten(figures)
    if not guesses:
        return ""
    rivals = listed(f"{name} {figures[name]['AUC']:.1f}" for name in guesses)
    return (
        f"warning: the model is no better than guessing: AUC {figures['model']['AUC']:.1f} on the "
        f"validation videos, {rivals}; try longer training (--epochs), more hidden units "
        "(--tem-hidden), more training videos or other features"
    )


def _timed(video: Video, dataset: Dataset) -> Video:
    """Return the video with the duration of its features, if the annotations give none."""
    if np.isfinite(video.duration):
        return video
    return replace(video, duration=dataset.open(video.id).seconds)


def _lengths(videos: Iterable[Video]) -> Float64:
    segments = np.concatenate([video.segments for video in videos])
    lengths: Float64 = np.diff(segments, axis=1)[:, 0]
    return lengths


def _propose(
    bundle: Bundle, dataset: Dataset, videos: list[Video], report: Report
) -> Iterator[tuple[str, Proposals]]:
    mapped = bundle.config.mode == "window"
    jobs = (VideoInput(v.id, partial(dataset.open, v.id, mapped=mapped)) for v in videos)
    done = 0
    with Pipeline.load(bundle, backend="torch", edge=dataset.edge) as pipeline:
        for outcome in pipeline.run(jobs):
            if outcome.proposals is not None:
                done += 1
                report.progress("judging", done, len(videos))
                yield outcome.id, outcome.proposals
