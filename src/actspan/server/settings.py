"""Settings of `actspan serve`: its address, the data that it serves, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from actspan.core.errors import ConfigError
from actspan.pipeline.core import BATCH

MIB, GIB, HOUR = 2**20, 2**30, 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request, of one job, and of all of them together.

    Attributes
    ----------
    request_bytes : int
        Maximum size of the body of a request that is answered at once.
    upload_bytes : int
        Maximum size of a job's body: a long recording's features, or a video.
    recording_seconds : float
        Maximum duration of a recording.
    body_seconds : float
        Maximum time for a body that is answered at once, and for each chunk of an upload.
    answer_seconds : float
        Maximum time from a complete request to its answer.
    decode_seconds : float
        Maximum processor time of the process that decodes an upload.
    decode_bytes : int
        Maximum address space of that process.
    waiting_rows : int
        Videos (rows, for single networks) that may wait for a worker; more are answered 429.
    waiting_jobs : int
        Jobs that may be unfinished; more are answered 429.
    kept_jobs : int
        Finished jobs whose results are kept; the oldest are deleted first.
    stop_seconds : float
        Maximum time for requests in progress after SIGTERM.
    """

    request_bytes: int = 64 * MIB
    upload_bytes: int = 4 * GIB
    recording_seconds: float = 24 * HOUR
    body_seconds: float = 60.0
    answer_seconds: float = 60.0
    decode_seconds: float = 6 * HOUR
    decode_bytes: int = 8 * GIB
    waiting_rows: int = 1024
    waiting_jobs: int = 100
    kept_jobs: int = 1000
    stop_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Batching:
    """Settings of the batches of concurrent requests.

    Attributes
    ----------
    rows : int
        Maximum number of videos per batch; by default the pipeline's own batch size.
    delay : float
        Seconds that the first request of a batch waits for others.
    """

    rows: int = BATCH
    delay: float = 0.002


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of the service.

    Attributes
    ----------
    model : Path, optional
        A bundle. Without one there are no proposals, and the viewer only shows `results`.
    results : tuple of Path
        Runs to show.
    ground_truth : Path, optional
        Annotations; those that the runs were made from unless given.
    videos : Path, optional
        A folder of videos to play.
    host, port : str, int
    token : str, optional
        Token that every caller must send; needed if `host` is not loopback.
    data : Path
        Folder of the database and of waiting uploads.
    backend, threads
        As for `Pipeline.load`.
    backbone : str, optional
        As for `BundleFeatures`: path of the encoder of the model's features.
    hosts : tuple of str
        Further host names of a loopback service, such as that of a proxy.

    Raises
    ------
    ConfigError
        Others could reach the service without a token, or a number is out of range.
    """

    model: Path | None = None
    results: tuple[Path, ...] = ()
    ground_truth: Path | None = None
    videos: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    data: Path = Path("actspan-serve")
    backend: str = "auto"
    threads: int | None = None
    backbone: str | None = None
    hosts: tuple[str, ...] = ()
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
