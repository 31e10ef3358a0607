"""A small RTSP server on loopback: it sends an MPEG-TS file as RTP over the RTSP connection."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PACKET = 7 * 188  # bytes of MPEG-TS per RTP packet
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\n"
    "a=control:track1\r\n"
)


class RtspServer:
    """Server that plays a file to each client in about `seconds`, and then closes the connection.

    `before` is called with the number of the connection, and returns the share of the file to send;
    a negative share is followed by silence, not by the end of the connection, and None refuses the
    connection. `requests` are the first lines of all requests.
    """

    def __init__(self, path: Path, seconds: float, before: Callable[[int], float | None]) -> None:
        self._data, self._seconds, self._before = path.read_bytes(), seconds, before
        self.requests: list[str] = []
        self.connections = 0
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            share = self._before(self.connections)
            threading.Thread(target=self._answer, args=(client, share), daemon=True).start()

    def _answer(self, client: socket.socket, share: float | None) -> None:
        with client, suppress(OSError):
            if share is not None:
                self._converse(client, share)

    def _converse(self, client: socket.socket, share: float) -> None:
        stream = client.makefile("rb")
        while line := stream.readline().decode():
            self.requests.append(line.strip())
            method, headers = line.split()[0], {}
            while header := stream.readline().decode().strip():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            reply = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n"
            if method == "OPTIONS":
                reply += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n"
            elif method == "DESCRIBE":
                reply += f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n\r\n"
                reply += _SDP
            elif method == "SETUP":
                transport = headers["transport"].split(",")[0]
                reply += f"Transport: {transport}\r\nSession: 1\r\n\r\n"
            else:
                reply += "Session: 1\r\n\r\n"
            client.sendall(reply.encode())
            if method == "PLAY":
                return self._play(client, share)
            if method == "TEARDOWN":
                return None
        return None

    def _play(self, client: socket.socket, share: float) -> None:
        packets = range(0, len(self._data), _PACKET)
        for number, begin in enumerate(packets[: int(abs(share) * len(packets))]):
            stamp = int(90_000 * self._seconds * number / len(packets))
            payload = self._data[begin : begin + _PACKET]
            packet = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, stamp, 1) + payload
            client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
            time.sleep(self._seconds / len(packets))
        if share < 0:
            self._over.wait(30)

    def close(self) -> None:
        self._over.set()
        self._listener.close()


@contextmanager
def rtsp_server(
    path: Path, *, seconds: float = 1.0, before: Callable[[int], float | None] = lambda _: 1.0
) -> Iterator[RtspServer]:
    """Start a server; it is closed when the block ends."""
    server = RtspServer(path, seconds, before)
    try:
        yield server
    finally:
        server.close()
