"""Contract of sources, which list, check and open the videos of a job."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from actspan.config.base import to_dict
from actspan.config.changes import changes_between, settings_text, with_changes
from actspan.config.stages import Edge
from actspan.core.errors import DataError
from actspan.core.files import sha256
from actspan.core.problems import Problem
from actspan.core.progress import Progress
from actspan.core.types import Features
from actspan.data.dataset import Recording
from actspan.data.features import Entry
from actspan.jobs.checkpoint import FileStamp, Plan
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.pipeline.labels import Labeller
from actspan.pipeline.outcomes import Failure, Piece
from actspan.runtime.opening import backend_of_backbone, choose_backend, find_backend
from actspan.streams.addresses import Location

_PACKAGES = ("actspan", "numpy", "numba", "onnxruntime")


def package_version(name: str) -> str:
    """Return the version of an installed package whose module has its name, or "absent"."""
    try:
        return version(name)
    except PackageNotFoundError:  # from another distribution, such as onnxruntime-gpu
        with suppress(ImportError):
            return str(import_module(name).__version__)
    return "absent"


class Source(ABC):
    """Videos to process: a dataset of features, boundary scores, video files, or a live video.

    Either `check` is called, to start a job, or `restore`, to resume one and in workers.

    Attributes
    ----------
    config : PipelineConfig
        Settings of the model, with the changes of the request.
    changes : list of str
        These changes, KEY=VALUE.
    ids : tuple of str
        Videos that were found, in the order of the result.
    paths : mapping of str to Path or Address
        Videos by id, if the source is videos.
    files : mapping of str to Path, Address or Entry
        Files by id whose changes matter; none of a packed store, whose manifest has checksums.
    ends : mapping of str to float
        Seconds of each video, if the source is videos: announced, or once decoded its end.
    ending_notes : mapping of str to Problem
        Notes about videos that were decoded, such as damaged packets.
    checksums : mapping of str to str
        Checksums of the other inputs that must be unchanged when a job is resumed.
    protected : tuple of Path
        Files and folders that results must not replace.
    labeller : callable, optional
        Labels the proposals of a video by its id, of a live video at any time.
    """

    folder: Path | None = None  # the dataset, if the source is one
    edge: Edge = "clamp"  # how rescaling fills outer cells, if the bundle does not say
    is_decoded = False  # pieces come from a decoder, one by one, which itself reports progress
    shard_size = 1  # default number of videos per shard
    decoders: tuple[str, ...] = ()  # packages that decode the videos
    has_backbone = False  # pictures are embedded by an ONNX backbone
    ids: tuple[str, ...] = ()
    paths: Mapping[str, Location] = MappingProxyType({})
    files: Mapping[str, Any] = MappingProxyType({})
    ends: Mapping[str, float] = MappingProxyType({})
    ending_notes: Mapping[str, Problem] = MappingProxyType({})
    checksums: Mapping[str, str] = MappingProxyType({})
    protected: tuple[Path, ...] = ()
    labeller: Labeller | None = None

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        self.request, self.bundle = request, bundle
        self.config, self.changes = bundle.config, list[str]()
        if request.changes:
            self.config = with_changes(bundle.config, request.changes)
            self.changes = settings_text(changes_between(bundle.config, self.config))

    def close(self) -> None:
        """Close what was opened."""
        return

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of Python, and of the packages and runtimes that compute."""
        backend = self.request.backend
        runtimes = [choose_backend(self.bundle, backend).name] if self.bundle.nets else []
        if self.has_backbone:
            runtimes.append(backend_of_backbone(backend))
        packages = {name: name for name in (*_PACKAGES, *self.decoders)}
        for name in runtimes:
            runtime = find_backend(name)[0]
            packages[name] = runtime.package or runtime.module
        return {"python": platform.python_version()} | {
            name: package_version(package) for name, package in packages.items()
        }

    def record(self) -> dict[str, Any]:
        """Return the table `dataset` of `run.toml`."""
        return {}

    @abstractmethod
    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Check all videos before work starts; return the plan for those without problems.

        `problems` that were found elsewhere count as well. Raises DatasetError if there are
        problems and `on_error` is "fail", or no video is left.
        """

    @abstractmethod
    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the videos from a plan, and check those that are still missing as `check` does."""

    @abstractmethod
    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos: whole videos, or their windows in order."""

    @abstractmethod
    def features(self, video: str) -> Features | Recording:
        """Return the features of a video, of the one that is decoded now if videos are decoded."""

    def file(self, video: str) -> str:
        """Return the file or location of a video, for messages."""
        return str(self.files[video])

    def inputs(self) -> dict[str, dict[str, str]]:
        """Return everything that the result depends on, by kind, to compare it on resuming."""
        request, bundle = self.request, self.bundle
        config = hashlib.sha256(msgspec.json.encode(to_dict(bundle.config))).hexdigest()
        paths = {"scores": request.scores, "label scores": request.labels.labels_from}
        return {
            "bundle": {name: record.sha256 for name, record in bundle.files.items()}
            | {"settings": config},
            "dataset": dict(self.checksums),
            "settings": {
                "subset": str(request.subset),
                "backend": request.backend,
                "labels": str(request.labels.info()),
                "changes": ", ".join(self.changes) or "none",
                **{name: checksum(path) for name, path in paths.items() if path},
            },
            "versions": self.versions,
        }

    def plan(self, videos: tuple[str, ...], problems: Iterable[Problem], **details: Any) -> Plan:
        """Return the plan of a new job on videos; `details` are further fields of it."""
        return Plan(
            inputs=self.inputs(),
            keeps="run" if self.request.writes_run else "result",
            videos=videos,
            shard_size=self.request.shard_size or self.shard_size,
            stamps=self.stamps(videos),
            problems=tuple(problems),
            **details,
        )

    def stamps(self, videos: Iterable[str]) -> tuple[FileStamp, ...]:
        """Return size and time of each video's file, to detect changes; None if there is none."""
        known: dict[Path | None, FileStamp] = {None: None}
        result = []
        for video in videos:
            file = self.files.get(video)
            path: Path | None = file.path if isinstance(file, Entry) else file
            path = path if isinstance(path, Path) else None  # the content of an address is unknown
            if path is not None and path not in known:
                try:
                    status = path.stat()
                    known[path] = status.st_size, status.st_mtime_ns
                except OSError:
                    known[path] = None
            result.append(known[path])
        return tuple(result)

    def skip_or_raise(self, failure: Failure) -> Problem:
        """Return the problem of a video that could not be read, or raise if none may be skipped."""
        folder = self.folder
        if folder is not None and not folder.is_dir():
            raise DataError(
                f"{folder}: the dataset is gone; is its disk still there?"
            ) from failure.error
        file = self.file(failure.id)
        what = str(failure.error).removeprefix(f"{file}: ")
        if self.request.on_error == "fail":
            raise DataError(
                f"{file}: {what}; fix it, or leave this video out: --on-error skip"
            ) from failure.error
        return Problem(failure.id, file, what, "compute it again, or leave it out")


def checksum(path: Path) -> str:
    """Return the checksum of a file, or of the files directly in a folder."""
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        return "absent"
    listed = [(f.name, sha256(f)) for f in sorted(path.iterdir()) if f.is_file()]
    return hashlib.sha256(msgspec.json.encode(listed)).hexdigest()
