"""Videos to snippet features, streaming: one thread decodes while others run the backbone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from actspan.config import FeatureSpec
from actspan.config.video import ExtractionConfig, Streams
from actspan.errors import ConfigError, VideoError
from actspan.parallel import map_ordered
from actspan.types import Float32
from actspan.video.backbone import Backbone, BackboneFile
from actspan.video.decode import Frame, VideoFile
from actspan.video.grid import Grid, Sampling
from actspan.video.pictures import Painter, Pixels
from actspan.video.sampling import Snippet, SnippetSampler
from actspan.video.streams import SnippetMaker, feature_channels

BATCH = 8  # pictures a call: larger batches leave the processor's caches
_CLIPS = 2  # clips a call


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a video once it was decoded.

    Attributes
    ----------
    seconds : float
        To the end of its last frame.
    fps : float
        Frames a second, on average.
    note : str
        What was cut short or damaged; empty where all is well.
    """

    seconds: float
    fps: float
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The next snippets of a video.

    Attributes
    ----------
    path : Path
        The video.
    rows : (k, C) float32
        k may be 0.
    seconds : float
        Of the video that were decoded so far.
    stride : float
        Seconds from snippet to snippet; 0 of a video that could not be opened.
    ending : Ending, VideoError or None
        With the last part of a video: what it was, or why it broke off.
    """

    path: Path
    rows: Float32
    seconds: float
    stride: float
    ending: Ending | VideoError | None = None


@dataclass(slots=True, eq=False)
class _Batch:
    """Pictures or clips for one call, and the snippets that are complete with them."""

    path: Path
    inputs: list[Pixels] = field(default_factory=list)
    snippets: list[tuple[int, ...]] = field(default_factory=list)
    seconds: float = 0.0
    stride: float = 0.0
    ending: Ending | VideoError | None = None


class Extractor:
    """Turns videos into snippet features, always in the same way.

    Parameters
    ----------
    file : BackboneFile
    grid : Grid
    streams : Streams, optional
        Both unless given; appearance alone for a backbone that takes clips.
    frames : int, optional
        Of each snippet that the backbone sees: 4 unless given, or as many as its clips have.
    threads : int, optional
        All cores unless given. Results do not depend on it.
    backend : str
        As for `actspan.runtime.open_session`.

    Raises
    ------
    ConfigError
        Settings do not fit the backbone.
    ModelError, BackendError
        The backbone cannot be used.

    Examples
    --------
    >>> grid = Grid(Span(0.25, "s"), Span(0.25, "s"))
    >>> with Extractor(find_backbone("default"), grid) as extractor:  # doctest: +SKIP
    ...     for part in extractor.run([Path("video.mp4")]):
    ...         print(part.seconds, part.rows.shape)
    """

    def __init__(
        self,
        file: BackboneFile,
        grid: Grid,
        *,
        streams: Streams | None = None,
        frames: int | None = None,
        threads: int | None = None,
        backend: str = "auto",
    ) -> None:
        self._threads = threads or os.cpu_count() or 1
        self.grid = grid
        self.backbone = Backbone(file, threads=self._threads, backend=backend)
        try:
            self._extraction = _settle(self.backbone, streams, frames)
        except ConfigError:
            self.backbone.close()
            raise

    @property
    def spec(self) -> FeatureSpec:
        """What the features are, as `dataset.toml` and bundles say it."""
        return FeatureSpec(
            channels=feature_channels(self._extraction.streams, self.backbone.channels),
            layout="TC",
            backbone=self.backbone.file.name,
            extraction=self._extraction,
            **self.grid.settings(),
        )

    def run(self, paths: Iterable[Path]) -> Iterator[Part]:
        """Extract videos one after another; the parts of each come in order, the last with its end.

        A video that breaks off does not stop the others. Memory does not depend on their length.

        Raises
        ------
        ModelError, BackendError
            The backbone failed.
        """
        return self._parts(self._batches(paths), ahead=self._threads + 1)

    def follow(self, video: VideoFile) -> Iterator[Part]:
        """Extract one video that is still being made: nothing that is known is held back.

        Raises
        ------
        VideoError
            Not one frame can be decoded.
        ModelError, BackendError
            The backbone failed.
        """
        gather = _Gather(video.path, clips=self.backbone.clip is not None)
        return self._parts(self._decode(video, gather), ahead=0)

    def _parts(self, batches: Iterator[_Batch], ahead: int) -> Iterator[Part]:
        with ThreadPoolExecutor(self._threads, "backbone") as pool:
            maker = self._maker()
            for batch, vectors in map_ordered(pool, self._embed, batches, ahead=ahead):
                rows = maker.make(vectors, batch.snippets)
                yield Part(batch.path, rows, batch.seconds, batch.stride, batch.ending)
                if batch.ending is not None:
                    maker = self._maker()

    def _maker(self) -> SnippetMaker:
        return SnippetMaker(self._extraction.streams, self.backbone.channels)

    def _embed(self, batch: _Batch) -> tuple[_Batch, Float32]:
        if not batch.inputs:
            return batch, np.empty((0, self.backbone.channels), dtype=np.float32)
        vectors = self.backbone.embed(np.stack(batch.inputs))
        batch.inputs.clear()
        return batch, vectors

    def _batches(self, paths: Iterable[Path]) -> Iterator[_Batch]:
        for path in paths:
            gather = _Gather(path, clips=self.backbone.clip is not None)
            try:
                with VideoFile(path) as video:
                    yield from self._decode(video, gather)
            except VideoError as error:
                yield gather.hand_over(error)

    def _decode(self, video: VideoFile, gather: _Gather) -> Iterator[_Batch]:
        sampling = self.grid.sampling(video.fps, self._extraction.frames)
        gather.stride = sampling.stride
        for snippet, seconds in _snippets(video, sampling, self._pen(video, gather)):
            if snippet is not None:
                gather.add(snippet)
            gather.seconds = seconds
            if gather.is_full:
                yield gather.hand_over()
        yield gather.hand_over(Ending(video.end, video.fps, video.shortfall()))

    def _pen(self, video: VideoFile, gather: _Gather) -> Callable[[Frame], Pixels]:
        pictures, size = self._extraction.pictures, self.backbone.size
        painter = Painter(size, pictures, video.pixel_aspect)
        return lambda frame: gather.drawn(painter.draw(frame.image))

    def close(self) -> None:
        """Free the backbone; closing twice does no harm."""
        self.backbone.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _snippets(
    video: VideoFile, sampling: Sampling, pen: Callable[[Frame], Pixels]
) -> Iterator[tuple[Snippet[Pixels] | None, float]]:
    """Snippets as they become complete, and None after each frame; with seconds decoded so far."""
    sampler = SnippetSampler(sampling, pen)
    for frame in video.frames():
        yield from ((snippet, frame.time) for snippet in sampler.feed(frame))
        yield None, frame.time
    yield from ((snippet, video.end) for snippet in sampler.finish(video.end))


class _Gather:
    """Collects what the backbone has to see of one video into batches.

    A backbone of pictures sees each picture once, however many snippets share it; one of clips
    sees a clip a snippet.
    """

    def __init__(self, path: Path, *, clips: bool) -> None:
        self._path, self._clips = path, clips
        self._size = _CLIPS if clips else BATCH
        self._batch = _Batch(path)
        self._number = 0  # of the next clip
        self.seconds = self.stride = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it is time for the backbone."""
        return len(self._batch.inputs) >= self._size

    def drawn(self, pixels: Pixels) -> Pixels:
        """Take up the next picture of the video."""
        if not self._clips:
            self._batch.inputs.append(pixels)
        return pixels

    def add(self, snippet: Snippet[Pixels]) -> None:
        """Take up the next snippet of the video."""
        if not self._clips:
            self._batch.snippets.append(tuple(picture.number for picture in snippet))
            return
        self._batch.inputs.append(np.stack([picture.content for picture in snippet]))
        self._batch.snippets.append((self._number,))
        self._number += 1

    def hand_over(self, ending: Ending | VideoError | None = None) -> _Batch:
        """What was collected, and begin again."""
        batch, self._batch = self._batch, _Batch(self._path)
        batch.seconds, batch.stride, batch.ending = self.seconds, self.stride, ending
        return batch


def _settle(backbone: Backbone, streams: Streams | None, frames: int | None) -> ExtractionConfig:
    """The settings in full, where they fit the backbone."""
    clip, name = backbone.clip, backbone.file.name
    if clip is not None and frames not in (None, clip):
        raise ConfigError(f"backbone {name} takes clips of {clip} frames, not {frames}")
    if clip is not None and streams in ("motion", "both"):
        raise ConfigError(
            f"backbone {name} sees a whole clip and gives one vector: only --stream appearance "
            "fits it; what moves is in there already"
        )
    return ExtractionConfig(
        sha256=backbone.file.sha256,
        streams=streams or ("both" if clip is None else "appearance"),
        frames=clip or frames or 4,
        pictures=backbone.file.pictures,
    )
