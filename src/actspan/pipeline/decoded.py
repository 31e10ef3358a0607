"""Videos while they are decoded: their pieces, and their features in a file, for labels."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actspan.config.stages import PipelineConfig
from actspan.core.errors import ActSpanError, FeatureError, VideoError
from actspan.core.types import Features, Float32
from actspan.data.cells import Window, WindowCutter
from actspan.data.dataset import Recording
from actspan.data.features import Entry
from actspan.data.timebase import SnippetGrid
from actspan.pipeline.outcomes import Piece
from actspan.pipeline.steps import failed_piece

if TYPE_CHECKING:
    from actspan.streams.snippet_features import Part


def decoded_pieces(video: str, parts: Iterable[Part], config: PipelineConfig) -> Iterator[Piece]:
    """Yield the pieces of one video while it is decoded: its windows, or at the end all of it.

    The last piece of a video that fails raises its error when it is loaded.
    """
    cutter = WindowCutter(config.cells)
    arrays: list[Float32] = []  # all snippets, in rescale mode
    for part in parts:
        if config.mode == "rescale":
            arrays.append(part.rows)
        else:
            for window, rows in cutter.feed(part.rows):
                yield _decoded_piece(video, rows, part.stride, window)
        if isinstance(part.ending, VideoError):
            yield failed_piece(video, part.ending)
        elif part.ending is not None and config.mode == "rescale":
            yield _decoded_piece(video, np.concatenate(arrays), part.stride, None)
        elif part.ending is not None:
            window, rows = cutter.finish()
            yield _decoded_piece(video, rows, part.stride, window)


def _decoded_piece(video: str, rows: Float32, stride: float, window: Window | None) -> Piece:
    features = Features(rows, stride, length=stride)  # the length of snippets is not used later
    return Piece(video, lambda: features, window)


class FeatureSpool:
    """Snippets of one video at a time, (n, C) float32, which can be read while they are written.

    They are kept in an unnamed file of the folder for temporary files (TMPDIR), so that memory does
    not grow with the video.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="actspan-")  # noqa: SIM115  closed by `close`
        self._path = Path(tempfile.gettempdir())
        self._rows, self._channels, self._stride = 0, 0, 0.0

    def start(self) -> None:
        """Remove the snippets of the video before."""
        self._file.seek(0)
        self._file.truncate()
        self._rows = 0

    def add(self, rows: Float32, stride: float) -> None:
        """Append snippets, (k, C), that are `stride` seconds apart.

        Raises ActSpanError if the disk is full.
        """
        if not len(rows):
            return
        try:
            self._file.write(np.ascontiguousarray(rows, dtype=np.float32).tobytes())
            self._file.flush()
        except OSError as error:
            raise ActSpanError(
                f"{self._path}: features that labels need cannot be kept there: {error.strerror}; "
                "set TMPDIR to a folder with more space"
            ) from error
        self._rows, self._channels, self._stride = self._rows + len(rows), rows.shape[1], stride

    def keep(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Yield the parts of one video, and keep their snippets instead of those before."""
        self.start()
        for part in parts:
            self.add(part.rows, part.stride)
            yield part

    def recording(self) -> Recording:
        """Return the snippets so far; raise FeatureError if there are none."""
        if not self._rows:
            raise FeatureError("no snippets of this video were decoded, so it cannot be labelled")
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        values = np.frombuffer(mapped, np.float32).reshape(self._rows, self._channels)
        return Recording(Entry(self._path), values, SnippetGrid(self._stride, self._stride))

    def close(self) -> None:
        """Remove the file. May be called twice."""
        self._file.close()
