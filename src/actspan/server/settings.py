"""Settings of `actspan serve`: its address, the data that it serves, and its limits."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import field

from actspan.config.base import (
    Bounds,
    Config,
    Existing,
    ExistingBundle,
    ExistingFolder,
    OutputFolder,
    Positive,
    doc,
)
from actspan.config.stages import BATCH
from actspan.core.errors import ConfigError

MIB, GIB, HOUR = 2**20, 2**30, 3600.0
# Paths whose bodies have their own limits.
JOBS_PATH, PROPOSE_PATH = "/api/jobs", "/api/propose"
INFER = "/infer"  # the end of such paths
OPEN_PATHS = frozenset({"/healthz", "/readyz"})  # for probes, which have no token

_VISIBLE = re.compile("[!-~]*")  # characters that headers and addresses carry unchanged


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request, of one job, and of all of them together."""

    request_bytes: int = 64 * MIB  # body of a request that is answered at once
    tensor_json_bytes: int = 16 * MIB  # JSON of a request that gives tensors; larger ones as bytes
    json_bytes: int = 4 * MIB  # body of any other request
    upload_bytes: int = 4 * GIB  # body of a job: a long recording's features, or a video
    recording_seconds: float = 24 * HOUR
    connections: int = 512  # at once; at most half of the files that the process may open
    head_bytes: int = 64 * 1024  # request line and headers, which others' cookies are among
    head_seconds: float = 10.0  # from a connection, or the last answer, to the next request
    body_seconds: float = 60.0  # for a body answered at once, and for each chunk of an upload
    answer_seconds: float = 60.0  # from a complete request to its answer
    decode_seconds: float = 6 * HOUR  # processor time of the process that decodes an upload
    decode_bytes: int = 8 * GIB  # address space of that process
    answer_bytes: int = 2 * GIB  # address space of the one that decodes bodies answered at once
    waiting_rows: int = 1024  # videos (rows, for single networks) in the queue; beyond it 429
    waiting_jobs: int = 100  # unfinished jobs; beyond it 429
    waiting_media: int = 24  # pictures and waveforms being made, or waiting; beyond it 429
    cache_bytes: int = 1 * GIB  # pictures and waveforms that are kept on disk
    kept_jobs: int = 1000  # finished jobs whose results are kept, the newest
    stop_seconds: float = 30.0  # for requests in progress after SIGTERM
    batch_rows: int = BATCH  # most videos per batch; by default the pipeline's own batch size
    batch_delay: float = 0.002  # seconds that the first request of a batch waits for others


class ServeSettings(Config, frozen=True):
    """Settings of the service; without a model the viewer only shows `results`."""

    model: Annotated[
        ExistingBundle | None,
        doc(
            "Bundle to propose with: a folder, an archive, a URL or hf://OWNER/NAME.", group="Model"
        ),
    ] = None
    results: Annotated[
        tuple[Existing, ...],
        doc("Run folder to show in the viewer; may be repeated, to compare runs.", group="Input"),
    ] = ()
    ground_truth: Annotated[
        Existing | None,
        doc("Ground truth to show. [default: the datasets of the runs]", group="Input"),
    ] = None
    videos: Annotated[
        ExistingFolder | None,
        doc("Folder of videos to play, named after their ids.", group="Input"),
    ] = None
    host: Annotated[
        str, doc("Address to listen on; anything but loopback needs a token.", group="Service")
    ] = "127.0.0.1"
    port: Annotated[
        int, Bounds(0, 65535), doc("Port to listen on; 0 chooses a free port.", group="Service")
    ] = 8000
    token: Annotated[
        str | None,
        doc(
            "Token that clients must send. [default: $ACTSPAN_TOKEN; else none on loopback, and a "
            "new one otherwise, which is printed]",
            group="Service",
        ),
    ] = None
    data: Annotated[
        OutputFolder, doc("Folder for jobs, results and corrections.", group="Output")
    ] = Path("actspan-serve")
    backend: Annotated[str, doc("Inference runtime.", "NAME", group="Speed")] = "auto"
    threads: Annotated[
        Positive | None, doc("Number of threads. [default: all cores]", group="Speed")
    ] = None
    backbone: Annotated[
        str | None, doc("Custom backbone of the model, for videos.", "onnx:FILE", group="Model")
    ] = None
    hosts: Annotated[
        tuple[str, ...],
        doc(
            "Another host name that a loopback service accepts, for example of a proxy in front "
            "of it; may be repeated.",
            "NAME",
            group="Service",
        ),
    ] = ()
    changes: dict[str, Any] = field(default_factory=dict)  # of the model's settings
    limits: Limits = Limits()

    def check(self) -> None:
        """Raise ConfigError if others could reach the service without a token."""
        if not self.token and not is_loopback(self.host):
            raise ConfigError(f"host {self.host}: others can reach it, so a token is needed")
        if self.token is not None and len(self.token) < 16:
            raise ConfigError(
                "token: at least 16 characters are needed, so that it cannot be guessed"
            )
        if self.token is not None and not _VISIBLE.fullmatch(self.token):
            raise ConfigError(
                "token: only letters, digits and signs of ASCII can be sent; without blanks"
            )
        if self.limits.batch_rows < 1 or self.limits.batch_delay < 0:
            raise ConfigError("batches: at least 1 row is needed, and a delay that is not negative")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address to listen on."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
