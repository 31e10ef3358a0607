"""The job `extract` as a function: its options are those of the command, its result a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actspan.config.base import OnError
from actspan.config.stages import Streams
from actspan.config.streams import TIMEOUT, Statistic, StreamKind, TimeUnit
from actspan.core.files import StrPath, path_texts
from actspan.core.progress import Progress, no_progress
from actspan.data.dataset import Dataset
from actspan.streams.extract_request import ExtractRequest, Precision, SampleRequest
from actspan.streams.extraction import ExtractEngine, extract_videos


def extract(
    videos: StrPath | Iterable[StrPath],
    *,
    out: StrPath,
    backbone: str = "default",
    stride: str = "0.25s",
    length: str | None = None,
    frames: int | None = None,
    stream: Streams | None = None,
    channels: int | None = None,
    precision: Precision | None = None,
    threads: int | None = None,
    backend: str = "auto",
    device: str = "auto",
    on_error: OnError = "fail",
    force: bool = False,
    timeout: float = TIMEOUT,
    kind: StreamKind | None = None,
    rate: float | None = None,
    time: str | None = None,
    time_unit: TimeUnit | None = None,
    column: Iterable[str] = (),
    statistic: Iterable[Statistic] = (),
    bands: int | None = None,
    likelihood: float | None = None,
    progress: Progress = no_progress,
    engine: ExtractEngine | None = None,
) -> Dataset:
    """Extract snippet features from videos or other streams into a dataset folder.

    Every option is that of `actspan extract`, and is described there (docs/reference/cli.md).
    Videos that are finished in `out` are kept.

    Parameters
    ----------
    videos : path, or iterable of paths
        Files, folders, patterns or addresses of videos, or of tables, sound or poses.
    out : path
        The dataset folder to write.
    stride, length : str
        Time from one snippet to the next, and of a snippet: seconds ("0.25s") or frames ("8f").
    progress : callable
        Called as progress(what, done, total).
    engine : callable, optional
        Extracts and writes the videos; threads of this process by default.

    Returns
    -------
    Dataset
        With annotations that are empty if the videos had none.

    Raises
    ------
    DatasetError
        Videos are missing or cannot be decoded, and `on_error` is "fail", or none is left.
    DataError
        `out` contains something else, or features of other settings without `force`.
    ConfigError, ModelError, BackendError
        Settings or the backbone cannot be used; nothing is written.

    Examples
    --------
    >>> dataset = extract("my-videos/", out="my-features/")  # doctest: +SKIP
    """
    request = ExtractRequest(
        videos=path_texts(videos),
        out=Path(out),
        backbone=backbone,
        stride=stride,
        length=length,
        frames=frames,
        streams=stream,
        channels=channels,
        precision=precision,
        threads=threads,
        backend=backend,
        device=device,
        on_error=on_error,
        force=force,
        timeout=timeout,
        kind=kind,
        samples=SampleRequest(
            rate=rate,
            time=time,
            time_unit=time_unit,
            columns=tuple(column),
            statistics=tuple(statistic),
            bands=bands,
            likelihood=likelihood,
        ),
    )
    extract_videos(request, progress, engine=engine)
    return Dataset.load(request.out)
