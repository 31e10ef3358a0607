"""What `actspan serve` is told: where it listens, what it serves, and how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from actspan.errors import ConfigError
from actspan.pipeline import BATCH

MIB, GIB, HOUR = 2**20, 2**30, 3600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request, one job and all of them together may ask for.

    Attributes
    ----------
    request_bytes : int
        Body of a request that is answered at once.
    upload_bytes : int
        Body of a job: a long recording's features, or a video.
    recording_seconds : float
        How long a recording may last.
    body_seconds : float
        How long a body that is answered at once may take to arrive, and an upload to go on.
    answer_seconds : float
        From a complete request to its answer.
    decode_seconds : float
        Processor time of the process that decodes an upload.
    decode_bytes : int
        Address space of that process.
    waiting_rows : int
        Videos (rows, for single networks) that wait for a worker; more are answered 429.
    waiting_jobs : int
        Jobs that are not finished; more are answered 429.
    kept_jobs : int
        Finished jobs whose results are kept; the oldest go first.
    stop_seconds : float
        After SIGTERM, how long requests under way may take.
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
    """How concurrent requests are brought together.

    Attributes
    ----------
    rows : int
        Videos that a worker takes at once; as many as the pipeline does by itself.
    delay : float
        Seconds that the first of a batch waits for others.
    """

    rows: int = BATCH
    delay: float = 0.002


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """All that the service is told.

    Attributes
    ----------
    model : Path, optional
        A bundle; without one nothing is proposed, and the viewer shows what `results` hold.
    results : tuple of Path
        Runs to look at.
    ground_truth : Path, optional
        Annotations; what the runs were made from unless given.
    videos : Path, optional
        A folder of videos to play.
    host, port : str, int
    token : str, optional
        What every caller has to know; needed where `host` is not loopback.
    data : Path
        Folder of the database and of uploads that wait.
    backend, threads
        As for `Pipeline.load`.
    backbone : str, optional
        As for `BundleFeatures`: where the encoder of the model's features lies.
    hosts : tuple of str
        Further names under which a loopback service may be called (of a proxy before it).

    Raises
    ------
    ConfigError
        It would be open to others without a token, or a number is out of range.
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
