"""Settings of `actspan serve`: its address, the data that it serves, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from actspan.core.errors import ConfigError
from actspan.pipeline.core import BATCH

MIB, GIB, HOUR = 2**20, 2**30, 3600.0
JOBS_PATH = "/api/jobs"  # path of the jobs, whose bodies have a limit of their own


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request, of one job, and of all of them together."""

    request_bytes: int = 64 * MIB  # body of a request that is answered at once
    upload_bytes: int = 4 * GIB  # body of a job: a long recording's features, or a video
    recording_seconds: float = 24 * HOUR
    body_seconds: float = 60.0  # for a body answered at once, and for each chunk of an upload
    answer_seconds: float = 60.0  # from a complete request to its answer
    decode_seconds: float = 6 * HOUR  # processor time of the process that decodes an upload
    decode_bytes: int = 8 * GIB  # address space of that process
    waiting_rows: int = 1024  # videos (rows, for single networks) in the queue; beyond it 429
    waiting_jobs: int = 100  # unfinished jobs; beyond it 429
    kept_jobs: int = 1000  # finished jobs whose results are kept, the newest
    stop_seconds: float = 30.0  # for requests in progress after SIGTERM


@dataclass(frozen=True, slots=True)
class Batching:
    """Settings of the batches of concurrent requests."""

    rows: int = BATCH  # most videos per batch; by default the pipeline's own batch size
    delay: float = 0.002  # seconds that the first request of a batch waits for others


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of the service.

    Raises
    ------
    ConfigError
        Others could reach the service without a token, or a number is out of range.
    """

    model: Path | None = None  # a bundle; without one the viewer only shows `results`
    results: tuple[Path, ...] = ()  # runs to show
    ground_truth: Path | None = None  # annotations; by default those of the runs
    videos: Path | None = None  # folder of videos to play
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None  # what callers must send; needed if `host` is not loopback
    data: Path = Path("actspan-serve")  # folder of the database and of waiting uploads
    backend: str = "auto"  # as for `Pipeline.load`
    threads: int | None = None  # as for `Pipeline.load`
    backbone: str | None = None  # as for `BundleFeatures`: encoder of the model's features
    hosts: tuple[str, ...] = ()  # further host names of a loopback service, such as a proxy's
    limits: Limits = field(default_factory=Limits)
    batching: Batching = field(default_factory=Batching)

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.token:
            raise ConfigError(f"host {self.host}: others can reach it, so a token is needed")
        if self.token is not None and len(self.token) < 16:
            raise ConfigError("token: at least 16 characters are needed, so that nobody guesses it")
        if self.batching.rows < 1 or self.batching.delay < 0:
            raise ConfigError("batching: rows must be at least 1, and delay not negative")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
