"""Videos to snippet features, streamed: one thread decodes while others run the backbone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from actspan.config.stages import ExtractionConfig, FeatureSpec, Streams
from actspan.core.errors import ConfigError, VideoError
from actspan.core.parallel import map_ordered
from actspan.core.types import Float32
from actspan.streams.addresses import Location
from actspan.streams.backbone import Backbone, BackboneFile, FrameConverter, Pixels
from actspan.streams.extract_request import Grid
from actspan.streams.snippets import (
    Sampling,
    Snippet,
    SnippetBuilder,
    SnippetSampler,
    feature_channels,
)
from actspan.streams.video_decoding import FollowedVideo, Frame, VideoFile

BATCH = 8  # pictures per call: larger batches do not fit into the processor's caches
_CLIPS = 2  # clips per call
_NO_ROWS = np.empty((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Ending:
    """Result of decoding a whole video."""

    seconds: float  # end of its last frame
    fps: float  # frames per second, on average
    note: str  # what was truncated or damaged; empty if nothing was


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The next snippets of a video; its last part has its summary, or why it failed."""

    path: Location
    rows: Float32  # (k, C); k may be 0
    seconds: float = 0.0  # of the video, decoded so far
    stride: float = 0.0  # seconds from snippet to snippet; 0 if the video could not be opened
    ending: Ending | VideoError | None = None


class _Batch(NamedTuple):
    """Pictures or clips for one call, and the snippets that are complete with them."""

    part: Part  # without rows
    inputs: list[Pixels]
    snippets: list[tuple[int, ...]]  # numbers of inputs


class Extractor(AbstractContextManager["Extractor"]):
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
        See `open_session`.

    Raises
    ------
    ConfigError, ModelError, BackendError
        Settings do not fit the backbone, or it cannot be used.

    Examples
    --------
    >>> grid = Grid(Span(0.25, "s"), Span(0.5, "s"))  # doctest: +SKIP
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
            self._streams, self._frames = _complete_settings(self.backbone, streams, frames)
            self._extraction = ExtractionConfig(
                sha256=file.sha256,
                streams=self._streams,
                frames=self._frames,
                pictures=file.pictures,
            )
        except ConfigError:
            self.backbone.close()
            raise

    @property
    def spec(self) -> FeatureSpec:
        """Description of the features, as in `dataset.toml` and bundles."""
        return FeatureSpec(
            channels=feature_channels(self._streams, self.backbone.channels),
            layout="TC",
            backbone=self.backbone.file.name,
            extraction=self._extraction,
            **self.grid.settings(),
        )

    def run(self, paths: Iterable[Location]) -> Iterator[Part]:
        """Extract videos one after another; yield each one's parts in order, the last with its end.

        A video that fails does not stop the others. Memory does not depend on their length.
        """
        return self._parts(self._batches(paths), ahead=self._threads + 1)

    def follow(self, video: FollowedVideo) -> Iterator[Part]:
        """Extract one video that is still being recorded; yield every snippet as soon as possible.

        Raises VideoError if not one frame can be decoded.
        """
        return self._parts(self._decode(video), ahead=0)

    def _parts(self, batches: Iterator[_Batch], ahead: int) -> Iterator[Part]:
        streams, channels = self._streams, self.backbone.channels
        with ThreadPoolExecutor(self._threads, "backbone") as pool:
            builder = SnippetBuilder(streams, channels)
            for batch, vectors in map_ordered(pool, self._embed, batches, ahead=ahead):
                yield replace(batch.part, rows=builder.make(vectors, batch.snippets))
                if batch.part.ending is not None:
                    builder = SnippetBuilder(streams, channels)

    def _embed(self, batch: _Batch) -> tuple[_Batch, Float32]:
        if not batch.inputs:
            return batch, np.empty((0, self.backbone.channels), dtype=np.float32)
        vectors = self.backbone.embed(np.stack(batch.inputs))
        batch.inputs.clear()
        return batch, vectors

    def _batches(self, paths: Iterable[Location]) -> Iterator[_Batch]:
        for path in paths:
            try:
                with VideoFile(path) as video:
                    yield from self._decode(video)
            except VideoError as error:
                yield _Batch(Part(path, _NO_ROWS, ending=error), [], [])

    def _decode(self, video: FollowedVideo) -> Iterator[_Batch]:
        """Yield the input of the backbone: each picture once, or a clip for each snippet."""
        sampling = Sampling.of(self.grid, video.fps, self._frames)
        pictures = self.backbone.file.pictures
        converter = FrameConverter(self.backbone.size, pictures, video.pixel_aspect)
        is_clips = self.backbone.clip is not None
        size, clips = _CLIPS if is_clips else BATCH, 0
        inputs: list[Pixels] = []
        snippets: list[tuple[int, ...]] = []

        def convert(frame: Frame) -> Pixels:
            pixels = converter.convert(frame.image)
            if not is_clips:
                inputs.append(pixels)
            return pixels

        seconds = 0.0
        for snippet, seconds in _snippets(video, SnippetSampler(sampling, convert)):
            if snippet is not None and is_clips:
                inputs.append(np.stack([picture.content for picture in snippet]))
                snippets.append((clips,))
                clips += 1
            elif snippet is not None:
                snippets.append(tuple(picture.number for picture in snippet))
            if len(inputs) >= size:
                yield _Batch(Part(video.path, _NO_ROWS, seconds, sampling.stride), inputs, snippets)
                inputs, snippets = [], []
        ending = Ending(video.end, video.fps, video.shortfall())
        yield _Batch(Part(video.path, _NO_ROWS, seconds, sampling.stride, ending), inputs, snippets)

    def close(self) -> None:
        """Free the backbone. Closing twice is allowed."""
        self.backbone.close()

    def __exit__(self, *details: object) -> None:
        self.close()


def _snippets(
    video: FollowedVideo, sampler: SnippetSampler[Pixels]
) -> Iterator[tuple[Snippet[Pixels] | None, float]]:
    """Yield snippets when complete, and None after each frame; with the seconds decoded so far."""
    for frame in video.frames():
        yield from ((snippet, frame.time) for snippet in sampler.feed(frame))
        yield None, frame.time
    yield from ((snippet, video.end) for snippet in sampler.finish(video.end))


def _complete_settings(
    backbone: Backbone, streams: Streams | None, frames: int | None
) -> tuple[Streams, int]:
    """Return streams and frames with their defaults; raise if they do not fit the backbone."""
    clip, name = backbone.clip, backbone.file.name
    if clip is not None and frames not in (None, clip):
        raise ConfigError(f"backbone {name} expects clips of {clip} frames, not {frames}")
    if clip is not None and streams in ("motion", "both"):
        raise ConfigError(
            f"backbone {name} sees a whole clip and gives one vector: only --stream appearance "
            "fits it, which covers motion too"
        )
    return streams or ("both" if clip is None else "appearance"), clip or frames or 4
