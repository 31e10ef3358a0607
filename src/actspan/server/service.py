"""Service with a model: the process that decodes uploads, and their jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from actspan.core.errors import DataError
from actspan.core.temporary import temporary_folder
from actspan.data.dataset import Recording
from actspan.data.features import Entry, read_array
from actspan.data.timebase import SnippetGrid
from actspan.model.bundle import Bundle
from actspan.server.database import Database
from actspan.server.error_responses import ProblemError
from actspan.server.inference_tensors import TensorSpec
from actspan.server.job_runner import Check, JobRunner
from actspan.server.job_store import ClaimedJob, UploadStore
from actspan.server.proposal_answers import JobOptions, as_json
from actspan.server.requests import Bodies, Metrics
from actspan.server.served_model import ServedModel
from actspan.server.settings import Limits, ServeSettings
from actspan.server.storage_errors import StorageError, disk_error
from actspan.server.uploads import JsonTask, Task
from actspan.server.worker_process import WorkerProcess

_UPDATE = 0.5  # seconds between two updates of progress
_DECODING = {"npy": 0.1, "arrow": 0.1, "video": 0.95}  # share of decoding in a job's progress


class Decoder:
    """Process that decodes uploads one after another, with limits.

    A job's decoder has limited processor time and ends after one upload; the other one has a
    limited time per upload.
    """

    def __init__(self, limits: Limits, *, for_job: bool) -> None:
        self._seconds = limits.decode_seconds if for_job else limits.answer_seconds
        memory = limits.decode_bytes if for_job else limits.answer_bytes
        words = ["actspan.server.uploads", str(memory)]
        if for_job:
            words.append(str(round(limits.decode_seconds)))
        self._process = WorkerProcess(words, "the upload", once=for_job)
        self.close = self._process.close

    def decode(
        self, task: Task, progress: Callable[[float], None] = lambda fraction: None
    ) -> float:
        """Decode an upload and return the seconds from snippet to snippet.

        `progress` is called several times per second, with the done share; it may raise to stop.
        Raises DataError if the upload cannot be decoded, or not within the limits.
        """
        reply = self._process.run(
            asdict(task), self._seconds, lambda reply: progress(reply.get("progress", 0.0))
        )
        return float(reply["stride"])

    def read_json(self, task: JsonTask) -> int:
        """Write the tensors of a request as bytes; return the number of bytes of its JSON.

        Raises DataError if it is no such request, or not within the limits.
        """
        return int(self._process.run(asdict(task), self._seconds)["header"])


class UploadWork:
    """Computation of the jobs of uploads."""

    def __init__(self, store: UploadStore, model: ServedModel, settings: ServeSettings) -> None:
        self._store, self._model, self._settings = store, model, settings
        self._decoder = Decoder(settings.limits, for_job=True)
        self.close = self._decoder.close
        self.discard = store.remove_files

    def run(self, job: ClaimedJob, check: Check) -> bytes:
        """Return the answer of a job, JSON."""
        share, updated = _DECODING[job.kind], monotonic()

        def progress(fraction: float) -> None:
            nonlocal updated
            check()
            if monotonic() - updated >= _UPDATE:
                updated = monotonic()
                with suppress(StorageError):  # the next update has it
                    self._store.set_progress(job.id, fraction)

        options = JobOptions.model_construct(**job.options)  # checked before
        kind: Any = job.kind
        features = self._store.features(job.id)
        task = Task(
            kind=kind,
            source=str(self._store.upload(job.id)),
            target=str(features),
            channels=self._model.channels,
            stride=options.stride or 0.0,
            longest=self._settings.limits.recording_seconds,
            largest=self._settings.limits.upload_bytes,
            model=str(self._model.bundle.path),
            backend=self._settings.backend,
            backbone=self._settings.backbone,
        )
        stride = self._decoder.decode(task, lambda fraction: progress(share * fraction))
        length = stride if kind == "video" else options.length or stride
        grid = SnippetGrid(stride, length)
        values = read_array(Entry(features), mapped=True)
        recording = Recording(Entry(Path("upload")), values, grid)
        proposals = self._model.propose_recording(
            recording, lambda fraction: progress(share + (1 - share) * fraction)
        )
        selected, detections = options.select(proposals), None
        if options.detections:
            detections = self._model.detect(recording, selected, options.top_labels)
        if options.keep and kind == "video":
            self._store.keep(job.id)
        return as_json(selected, recording.seconds, detections)


@contextmanager
def decoding_folder() -> Iterator[Path]:
    """Make a temporary folder for a body; raise StorageError if the disk cannot be used."""
    try:
        with temporary_folder() as folder:
            yield folder
    except OSError as error:
        raise disk_error(error.errno) from error


class ProposalService:
    """Model, decoder, jobs and limits of a service, for its operations."""

    def __init__(self, database: Database, settings: ServeSettings, metrics: Metrics) -> None:
        assert settings.model is not None
        self.limits, self.metrics = settings.limits, metrics
        self.bodies = Bodies(settings.limits, metrics)
        bundle = Bundle.load(settings.model)
        self.store = UploadStore(database, settings.data, self.limits.kept_jobs)
        with ExitStack() as opened:
            self.model = opened.enter_context(closing(ServedModel(bundle, settings, metrics)))
            self.decoder = opened.enter_context(closing(Decoder(self.limits, for_job=False)))
            work = UploadWork(self.store, self.model, settings)
            self.runner = opened.enter_context(closing(JobRunner(self.store, work, metrics)))
            self._opened = opened.pop_all()  # setup succeeded, so everything stays open
        for state in self.store.counts():
            metrics.jobs.labels(state).set_function(partial(self._count, state))

    def read_json(
        self, body: bytearray, header: int | None, specs: Sequence[TensorSpec]
    ) -> tuple[bytearray, int]:
        """Return a request of the inference protocol with binary tensors, and its bytes of JSON.

        Another process reads the JSON. Raises ProblemError (400) if it does not fit the protocol.
        """
        with decoding_folder() as folder:
            source, target = folder / "request", folder / "binary"
            source.write_bytes(body)
            plain = [spec.model_dump() for spec in specs]
            try:
                size = self.decoder.read_json(JsonTask(str(source), str(target), header, plain))
            except DataError as error:
                raise ProblemError(400, str(error)) from error
            return bytearray(target.read_bytes()), size

    def _count(self, state: str) -> int:
        return self.store.counts()[state]

    def close(self) -> None:
        """Queue the running job again, answer the waiting requests, and free everything."""
        self._opened.close()
