"""Features to proposals: every stage in memory, batched, on all cores.

A worker takes a chunk of videos through all stages by itself: it reads, rescales, runs TEM on one
thread, makes candidates and BSP features, runs PEM on all proposals of the chunk at once, and
suppresses. Workers share nothing but the sessions, so the results of a video depend on neither
the batch size nor the number of threads.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, overload

from actspan.config.base import require_setting
from actspan.config.stages import BATCH, Edge, PipelineConfig
from actspan.core.errors import ActSpanError, BundleError
from actspan.core.parallel import chunked, map_ordered
from actspan.core.segments import Proposals, check_choice
from actspan.core.types import Features
from actspan.data.dataset import Dataset
from actspan.model.bundle import Bundle
from actspan.model.nets import NETS, Net
from actspan.pipeline.inputs import Input, InputReader, Source, is_one, propose_each
from actspan.pipeline.kinds import load_kernels, steps_of
from actspan.pipeline.outcomes import (
    Failure,
    Outcome,
    Piece,
    Recordings,
    ScoredVideo,
    StageClock,
    VideoInput,
)
from actspan.pipeline.steps import Steps, pieces_of
from actspan.runtime.opening import open_nets
from actspan.runtime.precision import NetworkPrecision
from actspan.runtime.session import Session

_LOADED = 1 << 27  # bytes of features that a worker has in memory before it runs the networks


class Pipeline(AbstractContextManager["Pipeline"]):
    """A model that is ready to run.

    Parameters
    ----------
    sessions : mapping of network to Session
        Those of BSN (without "tem" only boundary scores are accepted; without "pem" candidates are
        ranked by start score x end score), or of BMN; none for label-free proposals.
    threads : int
        Number of workers.
    edge : "clamp" or "zero"
        How rescaling fills cells beyond the outer snippets, if the config says "auto".
    bundle : Bundle, optional
        The model on disk, which arrays, files, videos and labels need.
    backend, backbone : str
        Those of `load`, for the backbone of videos, which is opened when it is needed.
    """

    def __init__(
        self,
        sessions: Mapping[Net, Session],
        config: PipelineConfig,
        *,
        threads: int | None = None,
        edge: Edge = "clamp",
        bundle: Bundle | None = None,
        backend: str = "auto",
        backbone: str | None = None,
    ) -> None:
        self.config = config
        self.bundle = bundle
        self.threads = threads or os.cpu_count() or 1
        self.clock = StageClock()
        self._is_closed = False
        self._steps = steps_of(config, sessions, edge, threading.local())
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="actspan")
        # The kernels load while the caller checks its arguments.
        self._pool.submit(load_kernels, config)
        self._reading: dict[str, Any] = {"backbone": backbone, "backend": backend}

    @classmethod
    def load(
        cls,
        bundle: Bundle | Path | str,
        *,
        backend: str = "auto",
        precision: NetworkPrecision = "fp32",
        threads: int | None = None,
        edge: Edge = "clamp",
        without: Collection[Net] = (),
        config: PipelineConfig | None = None,
        backbone: str | None = None,
    ) -> Self:
        """Open the networks of a bundle on a backend; missing ONNX files are exported first.

        Parameters
        ----------
        precision : "fp32", "bf16" or "int8"
            Precision of the networks. Lower ones are faster and change the proposals slightly;
            int8 needs files of `actspan compile --target openvino --precision int8`.
        threads : int, optional
            Number of workers; all cores by default.
        without : collection of "tem", "pem"
            Networks to leave out, even if the bundle contains them. Without TEM only boundary
            scores are accepted; without PEM candidates are ranked by start score x end score.
        config : PipelineConfig, optional
            Settings of the stages, as `with_changes` returns them; those of the bundle by default.
        backbone : str, optional
            `onnx:FILE` for videos, if the bundle was trained on features of a custom encoder.

        Raises
        ------
        BundleError
            The bundle is damaged, or contains no PEM.
        BackendError
            The runtime is absent or refuses the model, or the processor has no arithmetic of this
            precision.
        ConfigError
            A precision is given for a model without networks, or together with another backend.
        """
        bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        config = bundle.config if config is None else config
        kept: dict[str, Any] = {"bundle": bundle, "backend": backend, "backbone": backbone}
        if config.label_free is not None:
            require_setting(
                precision == "fp32", "a label-free model has no networks: leave the precision out"
            )
            return cls({}, config, threads=threads, **kept)
        nets = [net for net in NETS if net in bundle.nets and net not in without]
        if config.bmn is None and "pem" not in [*nets, *without]:
            raise BundleError(
                f"{bundle.path}: contains no PEM, which proposals need; convert both: "
                "actspan convert tem.pth.tar pem.pth.tar --out BUNDLE"
            )
        threads = threads or os.cpu_count() or 1
        sessions = open_nets(bundle, nets, backend, threads, precision)
        return cls(sessions, config, threads=threads, edge=edge, **kept)

    def __exit__(self, *details: object) -> None:
        self.close()

    @cached_property
    def _inputs(self) -> InputReader:
        return InputReader(self.bundle, self.config, threads=self.threads, **self._reading)

    def close(self) -> None:
        """Stop the workers and close the sessions."""
        self._is_closed = True
        self._pool.shutdown(cancel_futures=True)
        if "_inputs" in self.__dict__:
            self._inputs.close()
        for session in self._steps.sessions.values():
            session.close()

    @overload
    def propose(  # type: ignore[overload-overlap]  # a path is an iterable of paths for mypy
        self,
        source: Source,
        *,
        top: int | None = None,
        min_score: float = 0.0,
        detections: bool = False,
        stride: float | None = None,
        length: float | None = None,
    ) -> Proposals: ...
    @overload
    def propose(
        self,
        source: Dataset | Iterable[Source],
        *,
        top: int | None = None,
        min_score: float = 0.0,
        detections: bool = False,
        stride: float | None = None,
        length: float | None = None,
    ) -> Iterator[Proposals]: ...
    def propose(
        self,
        source: Any,
        *,
        top: int | None = None,
        min_score: float = 0.0,
        detections: bool = False,
        stride: float | None = None,
        length: float | None = None,
    ) -> Proposals | Iterator[Proposals]:
        """Find the scored segments of one video, or of several.

        Parameters
        ----------
        source : Features, array, path, Dataset, or iterable of these
            One video: snippet features, (n, C) of any length; the path of a file of features
            (npy, npz, CSV, HDF5); or the path or address of a video, or of another recording that
            the model takes. Or a dataset of features; or an iterable of single videos.
        top : int, optional
            Keep the best segments per video; all by default.
        min_score : float
            Leave out segments that score less than this.
        detections : bool
            Label every segment with the model's classifier, whose score multiplies the segment's.
        stride, length : float, optional
            Seconds from snippet to snippet of arrays and feature files, and of a snippet: those
            of the model's features by default, if it states them.

        Returns
        -------
        Proposals, or iterator of Proposals in the order of the input
            Seconds, best first, with the id of the video: the name of its file, the id in the
            dataset, or `Features.video`.

        Raises
        ------
        ShapeError
            Features have another number of channels than the model.
        ConfigError
            `top` is not a positive integer, or `min_score` not a number.
        DataError
            A file cannot be read, or a dataset has problems.
        BundleError
            The model takes no videos, or has no classifier for `detections`.
        ActSpanError
            The pipeline was closed before all results were taken.

        Examples
        --------
        >>> with actspan.load("model/") as model:  # doctest: +SKIP
        ...     print(model.propose("match.mp4", top=1)[0])
        Segment(start=3.98, end=5.46, score=0.82, label=None)
        """
        check_choice(top, min_score)
        read = partial(self._inputs.read, stride=stride, length=length, keep=detections)
        options: dict[str, Any] = {"top": top, "min_score": min_score, "detections": detections}
        if isinstance(source, Dataset):
            return self._answers(self._inputs.read_dataset(source), edge=source.edge, **options)
        if isinstance(source, Iterable) and not is_one(source):
            return self._answers(map(read, source), **options)
        return next(self._answers(iter([read(source)]), **options))

    def _answers(
        self,
        inputs: Iterator[Input],
        *,
        top: int | None,
        min_score: float,
        detections: bool,
        edge: Edge | None = None,
    ) -> Iterator[Proposals]:
        """Yield the proposals of each input, in order; raise the error of one that fails."""
        classifier = self._inputs.open_classifier() if detections else None
        attempt = partial(self.attempt, edge=edge)
        for video, proposals in propose_each(inputs, attempt, 2 * self.threads):
            found = proposals.best(top, min_score).of_video(video.id)
            if classifier is not None:
                found = classifier.detect(video.features(), found, top=1).labelled()
            yield found

    def run(
        self, videos: Iterable[VideoInput], *, batch: int = BATCH, ahead: int | None = None
    ) -> Iterator[Outcome]:
        """Take videos through all stages; outcomes come in order, a bounded number at a time.

        A chunk has `batch` videos or windows, and `ahead` chunks may wait: by default two per
        worker. Yields one outcome per video in rescale mode; one per window in window mode, the
        last with proposals. Raises the error of a video that cannot be read, after the outcomes of
        those before it.
        """
        ahead = 2 * self.threads if ahead is None else ahead
        for result in self.attempt(pieces_of(videos, self.config), batch=batch, ahead=ahead):
            if isinstance(result, Failure):
                raise result.error
            yield result

    def attempt(
        self, pieces: Iterable[Piece], *, batch: int, ahead: int, edge: Edge | None = None
    ) -> Iterator[Outcome | Failure]:
        """Take pieces (whole videos or windows) through all stages.

        Windows of a recording come in order, its last one at the end. A chunk has `batch` pieces,
        and `ahead` chunks may wait; with 1 and 0 each piece is answered at once. A Failure stands
        for a video that cannot be read. The earlier windows of a recording that fails were yielded
        before it, and must be discarded. `edge` replaces that of the pipeline.
        """
        steps = self._steps if edge is None else replace(self._steps, edge=edge)
        chunks = chunked(pieces, batch)
        recordings = Recordings(self.config) if self.config.mode == "window" else None
        work = partial(_run_chunk, steps)
        try:
            for results, clock in map_ordered(self._pool, work, chunks, ahead=ahead):
                self.clock.add(clock)
                yield from results if recordings is None else recordings.complete(results)
        except (RuntimeError, CancelledError) as error:  # of the pool, unless it is open
            if not self._is_closed:
                raise
            what = "the pipeline is closed: propose, and take all results, before it is closed"
            raise ActSpanError(what) from error


def _run_chunk(steps: Steps, pieces: Sequence[Piece]) -> tuple[list[Outcome | Failure], StageClock]:
    """Take pieces through all stages: together, or in parts if their features are large."""
    clock, waiting, results = StageClock(), deque(pieces), list[Outcome | Failure]()
    while waiting:
        part: list[Piece | Failure] = []
        loaded: list[Features | ScoredVideo] = []
        size = 0
        with clock.time("read"):
            while waiting and size <= _LOADED:
                part.append(piece := waiting.popleft())
                try:
                    loaded.append(item := piece.load())
                    size += item.values.nbytes if isinstance(item, Features) else 0
                except ActSpanError as error:
                    part[-1] = Failure(piece.id, error)
        outcomes: Iterator[Outcome] = iter(())
        if loaded:
            read = [piece for piece in part if isinstance(piece, Piece)]
            batch = steps.walk(read, loaded, clock)
            with clock.time("soft-nms"):
                outcomes = iter(steps.outcomes(batch, batch.confidence))
        results += [item if isinstance(item, Failure) else next(outcomes) for item in part]
    return results, clock
