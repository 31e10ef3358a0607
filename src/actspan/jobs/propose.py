"""The job `propose` as a function: its options are those of the command, its result is a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from actspan.config.base import OnError
from actspan.config.changes import changes_of
from actspan.config.stages import BATCH
from actspan.config.streams import TIMEOUT
from actspan.core.errors import ConfigError
from actspan.core.files import StrPath, path_texts
from actspan.core.progress import Progress, no_progress
from actspan.data.dataset import local_folder
from actspan.jobs import driver
from actspan.jobs.propose_request import ProposeRequest, Selection
from actspan.jobs.run import Run
from actspan.model.locations import bundle_folder
from actspan.pipeline.labelling import LabelChoice
from actspan.runtime.precision import NetworkPrecision


def propose(
    videos: StrPath | Iterable[StrPath] = (),
    *,
    out: StrPath,
    model: StrPath | None = None,
    dataset: StrPath | None = None,
    subset: str | None = None,
    scores: StrPath | None = None,
    backbone: str | None = None,
    timeout: float = TIMEOUT,
    top: int | None = None,
    min_score: float = 0.0,
    detections: bool = False,
    labels_from: StrPath | None = None,
    top_labels: int = 2,
    settings: Mapping[str, Any] | StrPath | None = None,
    backend: str = "auto",
    precision: NetworkPrecision = "fp32",
    threads: int | None = None,
    batch: int = BATCH,
    on_error: OnError = "fail",
    force: bool = False,
    resume: bool = False,
    shard_size: int | None = None,
    shards: str | None = None,
    progress: Progress = no_progress,
    engine: driver.EngineMaker | None = None,
) -> Run:
    """Find the scored segments of many videos, and write them as a run.

    Every option is that of `actspan propose`. Results are saved during the run; after an
    interruption, the same call with `resume=True` computes what is missing. `load` and
    `Pipeline.propose` give proposals in memory.

    Parameters
    ----------
    videos : path, or iterable of paths
        Files, folders, patterns or addresses of videos; or give `dataset`.
    out : path
        The run folder to write.
    model : path or URL, optional
        A bundle, as for `load`; label-free without it.
    dataset : path or URL, optional
        A dataset of features, or a packed store.
    subset : str, optional
        Process only the videos of this subset.
    scores : path, optional
        Start from boundary scores of the dataset's videos.
    backbone : str, optional
        `onnx:FILE` for videos, if the model needs a custom encoder.
    timeout : float
        Seconds without data after which the connection to an address has failed.
    top, min_score : int, float
        Keep the best segments per video, and those that score at least this.
    detections, labels_from, top_labels
        Label the segments with the model's classifier, or from a score file; labels per segment.
    settings : mapping or path, optional
        Changes of the model's settings, as in {"soft_nms": {"decay": 0.4}}, or a TOML file.
    backend, precision, threads, batch
        Inference runtime, precision of the networks, number of threads, and videos of a dataset
        per batch.
    on_error : "fail" or "skip"
        Stop at problems in the input, or skip what cannot be used; the run names it.
    force, resume : bool
        Replace an existing run; resume one that was interrupted.
    shard_size, shards
        Videos that are saved together, and the place of the unfinished run.
    progress : callable
        Called as progress(what, done, total).
    engine : callable, optional
        Makes the engine that computes; this process by default.

    Returns
    -------
    Run
        The finished run; `run.info` counts and names what was skipped.

    Raises
    ------
    ConfigError
        Options contradict each other, or `out` is not a run folder.
    DatasetError
        Videos have problems and `on_error` is "fail".
    BundleError, DataError, BackendError
        A part is missing, damaged, or does not fit.

    Examples
    --------
    >>> run = propose(dataset="my-videos/", model="model/", out="run/")  # doctest: +SKIP
    >>> run.proposals()["video_1"][0]  # doctest: +SKIP
    Segment(start=3.98, end=5.46, score=0.82, label=None)
    """
    request = ProposeRequest(
        model=bundle_folder(model),
        dataset=None if dataset is None else local_folder(dataset),
        out=Path(out),
        videos=path_texts(videos),
        selection=Selection(top=top, min_score=min_score),
        backbone=backbone,
        timeout=timeout,
        subset=subset,
        scores=None if scores is None else Path(scores),
        labels=LabelChoice(
            labels_from=None if labels_from is None else Path(labels_from),
            classify=detections,
            top_labels=top_labels,
        ),
        changes=changes_of(settings),
        backend=backend,
        precision=precision,
        threads=threads,
        batch=batch,
        on_error=on_error,
        overwrite=force,
        resume=resume,
        shard_size=shard_size,
        shards=shards,
    )
    if not request.writes_run:
        raise ConfigError(
            f"{out}: a run is a folder, so its name has no suffix; the command writes the result "
            "alone: actspan propose --out FILE"
        )
    driver.propose(request, progress, engine=engine)
    return Run.load(Path(out).resolve())
