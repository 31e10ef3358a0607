"""Videos to snippet features, streamed: one thread decodes while others run the backbone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from actspan.config.stages import ExtractionConfig, FeatureSpec, Streams
from actspan.core.errors import ConfigError, VideoError
from actspan.core.parallel import map_ordered
from actspan.core.types import Float32
from actspan.streams.backbone import Backbone, BackboneFile
from actspan.streams.decode import Frame, VideoFile
from actspan.streams.grid import Grid, Sampling
from actspan.streams.pictures import Painter, Pixels
from actspan.streams.sampling import Snippet, SnippetSampler
from actspan.streams.streams import SnippetMaker, feature_channels

BATCH = 8  # pictures per call: larger batches do not fit into the processor's caches
_CLIPS = 2  # clips per call


@dataclass(frozen=True, slots=True)
class Ending:
    """Result of decoding a whole video.

    Attributes
    ----------
    seconds : float
        Time of the end of its last frame.
    fps : float
        Frames per second, on average.
    note : str
        What was cut short or damaged; empty if nothing was.
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
        Seconds of the video decoded so far.
    stride : float
        Seconds from snippet to snippet; 0 if the video could not be opened.
    ending : Ending, VideoError or None
        Only in the last part of a video: its summary, or why it failed.
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
    """Extractor of snippet features from videos, with fixed settings.

    Parameters
    ----------
    file : BackboneFile
    grid : Grid
    streams : Streams, optional
        Both by default; only appearance for a backbone that takes clips.
    frames : int, optional
        Frames per snippet that the backbone sees: by default 4, or the frames of its clips.
    threads : int, optional
        All cores by default. Results do not depend on it.
    backend : str
        See `actspan.runtime.open_session`.

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
        """Description of the features, as in `dataset.toml` and bundles."""
        return FeatureSpec(
            channels=feature_channels(self._extraction.streams, self.backbone.channels),
            layout="TC",
            backbone=self.backbone.file.name,
            extraction=self._extraction,
            **self.grid.settings(),
        )

    def run(self, paths: Iterable[Path]) -> Iterator[Part]:
        """Extract videos one after another; yield each one's parts in order, the last with its end.

        A video that fails does not stop the others. Memory does not depend on their length.

        Raises
        ------
        ModelError, BackendError
            The backbone failed.
        """
        return self._parts(self._batches(paths), ahead=self._threads + 1)

    def follow(self, video: VideoFile) -> Iterator[Part]:
        """Extract one video that is still being recorded; yield every snippet as soon as possible.

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
        """Free the backbone. Closing twice is allowed."""
        self.backbone.close()

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def _snippets(
    video: VideoFile, sampling: Sampling, pen: Callable[[Frame], Pixels]
) -> Iterator[tuple[Snippet[Pixels] | None, float]]:
    """Yield snippets when complete, and None after each frame; with the seconds decoded so far."""
    sampler = SnippetSampler(sampling, pen)
    for frame in video.frames():
        yield from ((snippet, frame.time) for snippet in sampler.feed(frame))
        yield None, frame.time
    yield from ((snippet, video.end) for snippet in sampler.finish(video.end))


class _Gather:
    """Collector of the backbone's input from one video, in batches.

    A backbone of pictures sees each picture once, even if several snippets share it; a backbone
    of clips sees one clip per snippet.
    """

    def __init__(self, path: Path, *, clips: bool) -> None:
        self._path, self._clips = path, clips
        self._size = _CLIPS if clips else BATCH
        self._batch = _Batch(path)
        self._number = 0  # number of the next clip
        self.seconds = self.stride = 0.0

    @property
    def is_full(self) -> bool:
        """True if the batch is full."""
        return len(self._batch.inputs) >= self._size

    def drawn(self, pixels: Pixels) -> Pixels:
        """Add the next picture of the video."""
        if not self._clips:
            self._batch.inputs.append(pixels)
        return pixels

    def add(self, snippet: Snippet[Pixels]) -> None:
        """Add the next snippet of the video."""
        if not self._clips:
            self._batch.snippets.append(tuple(picture.number for picture in snippet))
            return
        self._batch.inputs.append(np.stack([picture.content for picture in snippet]))
        self._batch.snippets.append((self._number,))
        self._number += 1

    def hand_over(self, ending: Ending | VideoError | None = None) -> _Batch:
        """Return the collected batch, and start a new one."""
        batch, self._batch = self._batch, _Batch(self._path)
        batch.seconds, batch.stride, batch.ending = self.seconds, self.stride, ending
        return batch


def _settle(backbone: Backbone, streams: Streams | None, frames: int | None) -> ExtractionConfig:
    """Return the complete settings; raise if they do not fit the backbone."""
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
