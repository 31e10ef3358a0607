"""HTTP servers on loopback that give files well and badly: the first part of a path says how."""

from __future__ import annotations

import base64
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PASSWORD = "s3cret/word"
CODED = "me:s3cret%2Fword"


class VideoServer(ThreadingHTTPServer):
    """Server of the files in a folder.

    Paths: /ranges/FILE (with ranges), /whole/FILE (without), /stops/FILE (half of it),
    /drops/FILE (with ranges, the first answer is half), /once/FILE (the same, without ranges),
    /hangs/FILE (half, then nothing),
    /private/FILE (with a password), /chunked/FILE (no length), /cut/FILE (half, no length).
    `requests` are the paths that were asked for, with their ranges.
    """

    daemon_threads = True

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.folder, self.requests = folder, list[str]()
        self.dropped: set[str] = set()
        self.over = threading.Event()

    def url(self, path: str, user: str = "") -> str:
        return f"{self.scheme}://{user + '@' if user else ''}127.0.0.1:{self.server_port}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: VideoServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *details: object) -> None:
        pass

    def do_GET(self) -> None:
        place = self.path.partition("?")[0]
        wanted = self.headers.get("Range", "")
        self.server.requests.append(f"{self.path} {wanted}")
        way, _, name = place.strip("/").partition("/")
        file = self.server.folder / name
        if way == "private":
            expected = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != expected:
                return self._refuse(401)
        if not file.is_file():
            return self._refuse(404)
        data = file.read_bytes()
        has_ranges = way in ("ranges", "drops")
        first = int(re.findall(r"\d+", wanted)[0]) if has_ranges and wanted else 0
        self.send_response(206 if has_ranges and wanted else 200)
        if has_ranges:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        chunked = way in ("chunked", "cut")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        self._send(way, place, data[first:], chunked=chunked)
        return None

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Basic realm=test")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, way: str, place: str, data: bytes, *, chunked: bool) -> None:
        drops = way in ("drops", "once") and place not in self.server.dropped
        self.server.dropped.add(place)
        is_half = drops or way in ("stops", "hangs", "cut")
        data = data[: len(data) // 2] if is_half else data
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            if chunked and not is_half:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has seen enough
            is_half = True
        if way == "hangs":
            self.server.over.wait(30)
        self.close_connection = is_half


@contextmanager
def video_server(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[VideoServer]:
    """Start a server; it is closed when the block ends."""
    server = VideoServer(folder, tls)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
