"""Sources of `Pipeline.propose`: features in memory or in a file, a dataset, and videos."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actspan.config.base import OnError
from actspan.config.stages import BATCH, PipelineConfig
from actspan.core.errors import (
    BundleError,
    ConfigError,
    DataError,
    ShapeError,
    VideoError,
)
from actspan.core.files import folder_kind, similar_path
from actspan.core.progress import Progress, no_progress
from actspan.core.segments import Proposals
from actspan.core.types import Features
from actspan.core.wording import quoted
from actspan.data.array_names import SUFFIXES
from actspan.data.check import check_dataset
from actspan.data.dataset import Dataset, Recording
from actspan.data.features import only_entry, read_table
from actspan.data.timebase import SnippetGrid
from actspan.data.videos import canonical_id
from actspan.model.bundle import Bundle
from actspan.pipeline.classifier import ProposalClassifier
from actspan.pipeline.decoded import FeatureSpool, decoded_pieces
from actspan.pipeline.outcomes import Failure, Outcome, Piece, VideoInput
from actspan.pipeline.steps import feature_inputs, pieces_of
from actspan.streams.addresses import Address, Location, is_address
from actspan.streams.stream_kinds import kind_of

if TYPE_CHECKING:
    from actspan.streams.bundle_features import BundleFeatures

Source = Features | NDArray[Any] | str | os.PathLike[str]  # one video
_ONLY_FEATURES = (".npy", ".npz")  # suffixes of nothing but features


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One video of a call of `propose`."""

    id: str | None
    pieces: Callable[[], Iterator[Piece]]  # as soon as they are known
    features: Callable[[], Features | Recording]  # for labels, once the pieces are processed
    is_decoded: bool = False


class InputReader:
    """Reader of the sources of a model; it keeps the model's backbone open between videos.

    Parameters
    ----------
    bundle : Bundle
    config : PipelineConfig
    backbone, threads, backend
        As for `BundleFeatures`.
    """

    def __init__(
        self,
        bundle: Bundle | None,
        config: PipelineConfig,
        *,
        backbone: str | None,
        threads: int,
        backend: str,
    ) -> None:
        self._given, self._config = bundle, config
        self._settings: dict[str, Any] = {
            "backbone": backbone,
            "threads": threads,
            "backend": backend,
        }
        self._extractor: BundleFeatures | None = None
        self._classifier: ProposalClassifier | None = None
        self._spool: FeatureSpool | None = None

    def close(self) -> None:
        """Free the backbone and the classifier, and remove the features that were kept."""
        for part in (self._extractor, self._classifier, self._spool):
            if part is not None:
                part.close()
        self._extractor = self._classifier = self._spool = None

    @property
    def _bundle(self) -> Bundle:
        if self._given is None:
            raise BundleError("this needs a bundle: open the pipeline with actspan.load(BUNDLE)")
        return self._given

    def open_classifier(self) -> ProposalClassifier:
        """Return the model's classifier; raise BundleError if it has none."""
        if self._classifier is None:
            self._classifier = ProposalClassifier.open(self._bundle)
        return self._classifier

    def read(self, source: Any, *, stride: float | None, length: float | None, keep: bool) -> Input:
        """Return the input of one source; `keep` the features of a video for labels.

        Raises
        ------
        ShapeError
            It is neither features, an array, nor a path.
        ConfigError
            The times of an array's snippets are unknown, or times are given for a video.
        DataError
            There is no such file, or it is a folder.
        """
        if isinstance(source, Features):
            return self._of_features(source.video, source)
        if isinstance(source, (str, os.PathLike)):
            return self._of_path(os.fspath(source), stride, length, keep)
        if not hasattr(source, "__array__"):
            kind = type(source).__name__
            raise ShapeError(f"{kind}: features, an array (n, C), or the path of a file is needed")
        values = np.asarray(source)
        grid = self._grid("an array", stride, length)
        return self._of_features(None, Features(values, grid.stride, grid.length))

    def read_dataset(self, dataset: Dataset) -> Iterator[Input]:
        """Return the inputs of all videos of a dataset, which is checked first.

        Raises as `check_features`.
        """
        checked = check_features(dataset, self._bundle, "fail")

        def inputs() -> Iterator[Input]:
            for video in feature_inputs(checked, checked.videos.ids, self._config):
                pieces = partial(pieces_of, [video], self._config)
                yield Input(video.id, pieces, partial(checked.open, video.id))

        return inputs()

    def _of_features(self, video: str | None, features: Features | Recording) -> Input:
        item = VideoInput(video or "", lambda: features)
        return Input(video, partial(pieces_of, [item], self._config), lambda: features)

    def _of_path(self, text: str, stride: float | None, length: float | None, keep: bool) -> Input:
        path: Location = Address.parse(text) if is_address(text) else Path(text)
        if isinstance(path, Path):
            _check_file(path)
            if self._is_features(path, stride):
                return self._of_features(
                    canonical_id(path.stem), self._open_features(path, stride, length)
                )
        elif path.is_live:
            raise VideoError(f"{path}: a live address; follow it: actspan propose --follow ADDRESS")
        if stride is not None or length is not None:
            raise ConfigError(f"{path}: stride and length are those of features, not of a video")
        extractor, video = self._open_extractor(path), canonical_id(path.stem)
        parts = extractor.run([path])
        if not keep:
            pieces = partial(decoded_pieces, video, parts, self._config)
            return Input(video, pieces, _not_kept, is_decoded=True)
        spool = self._spool = self._spool or FeatureSpool()
        pieces = partial(decoded_pieces, video, spool.keep(parts), self._config)
        return Input(video, pieces, spool.recording, is_decoded=True)

    def _is_features(self, path: Path, stride: float | None) -> bool:
        """Return whether a file has features, and not a recording of the model's kind."""
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            return False
        kind = kind_of(path)
        if self._bundle.nets:
            made = self._bundle.features.extraction
            kind = None if made is None else made.kind
        return suffix in _ONLY_FEATURES or stride is not None or kind_of(path) != kind

    def _open_features(self, path: Path, stride: float | None, length: float | None) -> Recording:
        """Open the features in a file; raise FeatureError if it cannot be read."""
        spec = self._bundle.features
        entry = only_entry(path, spec)
        values = read_table(entry, mapped=self._config.mode == "window").values
        values = values.T if spec.layout == "CT" else values
        grid = self._grid(str(path), stride, length)
        return Recording(entry, values, grid)

    def _grid(self, where: str, stride: float | None, length: float | None) -> SnippetGrid:
        """Return the times of snippets: as given, or those of the features of the model."""
        spec = self._bundle.features
        if stride is None and self._bundle.nets:
            stride, length = spec.stride_seconds, length or spec.length_seconds
        if stride is None:
            raise ConfigError(
                f"{where}: the times of its snippets are unknown: give stride, the seconds from "
                "snippet to snippet, as in propose(values, stride=0.5)"
            )
        return SnippetGrid(stride, length or stride)

    def _open_extractor(self, path: Location) -> BundleFeatures:
        """Return the extractor of the model's features; without networks that of a kind of file."""
        # Loading these takes as long as loading everything that features need.
        from actspan.streams.bundle_features import BundleFeatures
        from actspan.streams.extractors import usual_features

        bundle, kind = self._bundle, kind_of(path)
        if bundle.config.label_free is not None and kind not in (None, "video"):
            bundle = replace(bundle, features=usual_features(kind, [path]))
            self._replace_extractor(BundleFeatures(bundle, **self._settings))
        elif self._extractor is None or self._extractor.kind != _kind(bundle):
            self._replace_extractor(BundleFeatures(bundle, **self._settings))
        assert self._extractor is not None
        return self._extractor

    def _replace_extractor(self, extractor: BundleFeatures) -> None:
        if self._extractor is not None:
            self._extractor.close()
        self._extractor = extractor


def is_one(source: object) -> bool:
    """Return whether a source of `propose` is one video."""
    return isinstance(source, (Features, str, os.PathLike)) or hasattr(source, "__array__")


def propose_each(
    inputs: Iterator[Input], attempt: Callable[..., Iterator[Outcome | Failure]], ahead: int
) -> Iterator[tuple[Input, Proposals]]:
    """Take inputs through `Pipeline.attempt`; yield each with its proposals, in order.

    At most `ahead` chunks of features wait. Videos are decoded one by one, because their features
    would fill the memory. Raises the error of an input that fails.
    """
    for is_decoded, group in groupby(inputs, key=attrgetter("is_decoded")):
        started: deque[Input] = deque()
        batch, waiting = (1, 0) if is_decoded else (BATCH, ahead)
        for result in attempt(_start(group, started), batch=batch, ahead=waiting):
            if isinstance(result, Failure):
                raise result.error
            if result.proposals is not None:  # None of a window that is not the last
                yield started.popleft(), result.proposals


def _start(inputs: Iterable[Input], started: deque[Input]) -> Iterator[Piece]:
    """Yield the pieces of inputs; append each input when its pieces begin."""
    for item in inputs:
        started.append(item)
        yield from item.pieces()


def check_features(
    dataset: Dataset, bundle: Bundle, on_error: OnError, progress: Progress = no_progress
) -> Dataset:
    """Check all features, and return the dataset without videos that have problems.

    Raises the same as `check_dataset`, and StoreError if it was packed for another kind of model.
    """
    dataset.require_fit(bundle.config)
    network = bundle.config.video_network
    return check_dataset(
        dataset,
        channels=None if network is None else network.channels,
        on_error=on_error,
        trained_on=None if bundle.config.label_free else bundle.features,
        progress=progress,
    )


def _kind(bundle: Bundle) -> str:
    made = bundle.features.extraction
    return "video" if made is None else made.kind


def _check_file(path: Path) -> None:
    if path.is_dir():
        kind = folder_kind(path)
        what = f"{path}{kind}: is a folder, and propose takes one file; "
        if "dataset" in kind:
            raise DataError(f"{what}give the dataset: actspan.Dataset.load({str(path)!r})")
        raise DataError(f"{what}give a list of its files, or run: actspan propose {quoted(path)}")
    if not path.exists():
        raise DataError(f"{path}: no such file{similar_path(path)}")


def _not_kept() -> Features:
    raise AssertionError("the features of a decoded video are kept only for labels")
