"""Addresses of recordings on a network: how they are named, shown and opened.

An address may contain a user, a password or a token. It is therefore shown without the part before
the last `@`, without its query, and without values (`key=value`) in its path.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from actspan.config.streams import TIMEOUT
from actspan.core.errors import VideoError
from actspan.core.limits import PIXELS

# With one slash, too, so that a mistyped address is not shown as the name of a missing file.
_ADDRESS = re.compile(r"(rtsps?|https?):/|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_VALUE = re.compile(r"=[^/]*")
_UNSAFE = re.compile(r'[\x00-\x1f/\\*=<>:"|?]+')  # also those that Windows refuses
_LONGEST = 100  # characters of a name
_HIDDEN = "***"

# FFmpeg may follow a playlist or a redirection to these protocols only, never to a file. A finite
# download that is interrupted is continued where it stopped, after at most 0, 1 and 3 seconds.
_HTTP = {
    "protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto,data",
    "reconnect": "1",
    "reconnect_delay_max": "4",
}
# TCP passes firewalls and loses no packets; UDP is tried if the server does not offer it.
_RTSP = {
    "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto",
    "rtsp_flags": "prefer_tcp",
}
DECODING = {"max_pixels": str(PIXELS)}  # options of FFmpeg for every video
_OPTIONS = {"http": _HTTP, "https": _HTTP, "rtsp": _RTSP, "rtsps": _RTSP}

_UNREACHABLE = "check that its server runs and can be reached from here"
_LATE = f"{_UNREACHABLE}, or wait longer for it: --timeout"
_REFUSED = "check that its server runs, and the port of the address"
_CERTIFICATE = (
    "; if no known authority signed its certificate, name its file: SSL_CERT_FILE=camera.pem"
)
_REMEDIES = {
    "401": "check the user and the password in the address",
    "403": "check the user and the password in the address",
    "404": "check the path of the address",
}
_NOT_WHOLE = (
    "open it in a player; a server without ranges cannot give an mp4 whose index is at its end: "
    "download it first"
)


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Address of a video or of sound that FFmpeg reads: rtsp, rtsps, http or https.

    It has the members of a `Path` that messages and names need. `str` gives it without credentials.

    Attributes
    ----------
    url : str
        The whole address, which is never shown.
    timeout : float
        Seconds without data after which the connection counts as interrupted.

    Examples
    --------
    >>> address = Address.parse("rtsp://me:secret@camera:554/gate.sdp?token=1")
    >>> str(address), address.stem
    ('rtsp://***@camera:554/gate.sdp?***', 'gate')
    """

    url: str
    timeout: float = TIMEOUT

    @classmethod
    def parse(cls, text: str, timeout: float = TIMEOUT) -> Self:
        """Check an address; raise VideoError for one that is invalid or of another protocol."""
        address = cls(text.strip(), timeout)
        try:
            parts = urlsplit(address.url)
            is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:  # the port is not a number, or the host is damaged
            is_valid = False
        if not is_valid:
            raise VideoError(
                f"{text.partition(':')[0]}://{_HIDDEN}: not a valid address; write a special "
                "character of a password by its code: %2F for /, %40 for @, %3F for ?"
            )
        if address.scheme not in _OPTIONS:
            raise VideoError(
                f"{address}: only rtsp, rtsps, http and https are opened here; pipe another stream "
                "to standard input: ffmpeg -i ADDRESS -c copy -f mpegts - | actspan propose "
                "--follow -"
            )
        return address

    @property
    def scheme(self) -> str:
        """Protocol: rtsp, rtsps, http or https."""
        return self.url.partition("://")[0].lower()

    @property
    def is_live(self) -> bool:
        """True for RTSP, which has no beginning to go back to."""
        return self.scheme in ("rtsp", "rtsps")

    @property
    def is_secure(self) -> bool:
        """True if the connection is encrypted, and the certificate of the server checked."""
        return self.scheme in ("https", "rtsps")

    @property
    def has_query(self) -> bool:
        """True if the address has a query, which is not shown."""
        return "?" in self.url

    def _shown(self) -> tuple[str, str, str]:
        """Return the hidden user, the host, and the path, without query and values."""
        before, _, _ = self.url.partition("://")[2].partition("?")
        _, user, place = before.partition("#")[0].rpartition("@")
        host, slash, path = place.partition("/")
        return f"{_HIDDEN}@" if user else "", host, slash + _VALUE.sub(f"={_HIDDEN}", path)

    def __str__(self) -> str:
        return f"{self.scheme}://{''.join(self._shown())}" + f"?{_HIDDEN}" * self.has_query

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    @property
    def name(self) -> str:
        """Last part of the path, or the host without a path; safe as the name of a file."""
        _, host, path = self._shown()
        last = unquote(path.rstrip("/").rpartition("/")[2])
        name = _UNSAFE.sub("-", last).strip("-. ")[:_LONGEST]
        return name or re.sub(r":\d+$", "", host)

    @property
    def suffix(self) -> str:
        """Suffix of the path, such as .mp4; "" without a path."""
        return PurePosixPath(self._shown()[2]).suffix

    @property
    def stem(self) -> str:
        """Return the name without the suffix of the path."""
        return self.name.removesuffix(self.suffix) or self.name

    def resolve(self) -> Self:
        """Return the address, which does not depend on a folder."""
        return self

    def open(self, av: Any) -> Any:
        """Open the container with PyAV; raise VideoError if that fails."""
        limits, begin = (self.timeout, self.timeout), monotonic()
        try:
            return av.open(self.url, timeout=limits, options=self._options())
        except (av.FFmpegError, ValueError) as error:
            # FFmpeg may take the bytes that it has at a timeout for a damaged file.
            is_late = monotonic() - begin >= self.timeout
            raise self.failure("cannot be opened", TimeoutError() if is_late else error) from error

    def _options(self) -> dict[str, str]:
        """Return the options for FFmpeg, which accepts any certificate by default."""
        if not self.is_secure:
            return {**_OPTIONS[self.scheme], **DECODING}
        trusted = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE, or that of the system
        known = {} if trusted is None else {"ca_file": trusted}
        return {**_OPTIONS[self.scheme], **DECODING, "tls_verify": "1", **known}

    def failure(self, what: str, error: Exception) -> VideoError:
        """Return the error of a server, from one of FFmpeg, whose own text has the credentials."""
        reason = getattr(error, "strerror", None) or type(error).__name__
        usual = _UNREACHABLE + _CERTIFICATE * self.is_secure
        remedy = next((r for code, r in _REMEDIES.items() if f" {code} " in reason), usual)
        if isinstance(error, TimeoutError) or type(error).__name__ == "ExitError":  # PyAV's timeout
            reason = f"no data within {self.timeout:g} s"
            remedy = _LATE
        elif isinstance(error, ConnectionRefusedError):
            remedy = _REFUSED
        elif isinstance(error, ValueError) and not self.is_live:  # not a video
            remedy = _NOT_WHOLE
        return VideoError(f"{self}: {what}: {reason}", remedy)


Location = Path | Address  # of a recording


def is_address(text: str) -> bool:
    """Return whether an argument is an address, not a path."""
    return _ADDRESS.match(text) is not None


def raise_if_interrupted(location: Location, error: Exception, seconds: float) -> None:
    """Raise VideoError if reading an address failed; return if the content is damaged.

    `error` is one of FFmpeg, `seconds` the time up to which the recording was decoded.
    """
    if isinstance(location, Address) and not isinstance(error, ValueError):
        raise location.failure(f"interrupted after {seconds:.1f} s", error) from error


def argument_of(location: Location) -> str:
    """Return the argument that names a recording from any folder, an address with credentials."""
    return location.url if isinstance(location, Address) else str(location.resolve())
