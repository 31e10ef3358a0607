"""A small RTSP server on loopback: it sends RTP packets over the RTSP connection."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import av

_PACKET = 7 * 188  # bytes of MPEG-TS per RTP packet
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\n{}a=control:track1\r\n"
_MPEGTS = _SDP.format("m=video 0 RTP/AVP 33\r\n")
_H264 = _SDP.format(
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
)
_RTCP = 200  # second byte of a report, which is no packet of the stream


class Track(NamedTuple):
    """Content of a server: its description, and RTP packets."""

    sdp: str
    packets: list[bytes]


def mpegts_track(path: Path, seconds: float) -> Track:
    """Return the packets of an MPEG-TS file that lasts about `seconds`."""
    data, packets = path.read_bytes(), list[bytes]()
    begins = range(0, len(data), _PACKET)
    for number, begin in enumerate(begins):
        stamp = int(90_000 * seconds * number / len(begins))
        head = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, stamp, 1)
        packets.append(head + data[begin : begin + _PACKET])
    return Track(_MPEGTS, packets)


class _Packets:
    """A file that keeps what FFmpeg writes at a time: one RTP packet."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.written.append(bytes(data))
        return len(data)


def h264_track(path: Path) -> Track:
    """Return the packets of a video, encoded as cameras do."""
    packets, codec = _Packets(), {"g": "25", "bf": "0", "preset": "ultrafast"}
    rtp = {"packetsize": "1200", "payload_type": "96"}
    with av.open(str(path)) as source, av.open(packets, "w", format="rtp", options=rtp) as out:
        stream = out.add_stream("libx264", rate=25, options=codec)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in source.decode(video=0):
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return Track(_H264, [packet for packet in packets.written if packet[1] != _RTCP])


class RtspServer:
    """Server that plays a track to each client in about `seconds`, and then closes the connection.

    `before` is called with the number of the connection, and returns the share of it to send;
    a negative share is followed by silence, not by the end of the connection, and None refuses the
    connection. `requests` are the first lines of all requests.
    """

    def __init__(
        self,
        track: Track,
        seconds: float,
        before: Callable[[int], float | None],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._track, self._seconds, self._before, self._tls = track, seconds, before, tls
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
        with suppress(OSError):
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with client:
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
                sdp = self._track.sdp
                reply += f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
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
        packets = self._track.packets
        for packet in packets[: int(abs(share) * len(packets))]:
            client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
            time.sleep(self._seconds / len(packets))
        if share < 0:
            self._over.wait(30)

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which would accept once more
        self._thread.join()
        self._listener.close()


@contextmanager
def rtsp_server(
    source: Path | Track,
    *,
    seconds: float = 1.0,
    before: Callable[[int], float | None] = lambda _: 1.0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[RtspServer]:
    """Start a server of an MPEG-TS file or a track; it is closed when the block ends."""
    track = mpegts_track(source, seconds) if isinstance(source, Path) else source
    server = RtspServer(track, seconds, before, tls)
    try:
        yield server
    finally:
        server.close()
