"""Limits before authentication: the size of a head, the time until it is complete, connections."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from actspan.bench.timing import anonymous_memory
from actspan.server.settings import Limits
from tests.server.live import Live, serving
from tests.server.services import Process, process_of

TOKEN = "a-token-for-this-test"
HEAD_SECONDS = 0.5
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@contextmanager
def connected(live: Live, *, buffer: int | None = None) -> Iterator[socket.socket]:
    host, port = live.url.removeprefix("http://").split(":")
    with socket.socket() as client:
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(20)
        client.connect((host, int(port)))
        yield client


def answer_of(client: socket.socket) -> bytes:
    """Return what the service sends until it closes the connection."""
    parts = []
    with suppress(ConnectionError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def status_of(client: socket.socket) -> int:
    line = client.recv(65536).split(b"\r\n")[0]
    return int(line.split()[1])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    limits = Limits(head_seconds=HEAD_SECONDS, connections=8, stop_seconds=5)
    with serving(tmp_path_factory.mktemp("data"), token=TOKEN, limits=limits) as opened:
        yield opened


@pytest.fixture(scope="module")
def small_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Yield a service that may open 1024 files, as usual on Linux."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    films = tmp_path_factory.mktemp("films")
    (films / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    words = ("--videos", films, "--token", TOKEN, "--data", tmp_path_factory.mktemp("data"))
    with process_of(*words) as opened:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert opened.live.ask("/healthz").status == 200
        before_it, now = 0, anonymous_memory(opened.process.pid)
        while now > before_it:  # what it imports and reads in the background
            time.sleep(1)
            before_it, now = now, anonymous_memory(opened.process.pid)
        yield opened


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\nX: ", b"a", id="one-header"),
        pytest.param(b"GET /", b"a", id="address"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X: 1\r\n", id="many-headers"),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"a",
            id="chunk-extension",
        ),
        pytest.param(
            b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nX: ",
            b"a",
            id="trailer",
        ),
    ],
)
def test_what_has_no_end_is_cut_off_early(
    start: bytes, rest: bytes, small_process: Process
) -> None:
    live, process = small_process.live, small_process.process.pid
    before = anonymous_memory(process)
    sent = 0
    with connected(live) as client, suppress(ConnectionError):
        client.sendall(start)
        block = rest * (65536 // len(rest))
        while sent < 1 << 27:
            client.sendall(block)
            sent += len(block)
    assert sent < 1 << 24  # what the kernel buffers, not what the service reads
    assert anonymous_memory(process) - before < 16 << 20
    assert live.ask("/healthz").status == 200


def test_a_large_head_is_refused_with_the_limit(live: Live) -> None:
    with connected(live) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n")
        answer = answer_of(client)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert b"larger than 65536 bytes" in answer


@pytest.mark.parametrize("text", [b"no HTTP at all\r\n\r\n", b"GET / HTTP/1.1\r\nA\0: b\r\n\r\n"])
def test_what_is_not_http_is_refused_as_a_problem(text: bytes, live: Live) -> None:
    with connected(live) as client:
        client.sendall(text)
        answer = answer_of(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"not valid HTTP/1.1" in answer


def test_cookies_of_others_up_to_the_limit_are_read_in_no_time(live: Live) -> None:
    begun = time.monotonic()
    cookie = b'x="' + b"\\" * 60_000 + b'"'
    with connected(live) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: " + cookie + b"\r\n\r\n")
        assert status_of(client) == 401
    assert time.monotonic() - begun < 2


def test_a_request_must_arrive_in_time_however_slowly(live: Live) -> None:
    begun = time.monotonic()
    with connected(live) as client:
        with suppress(ConnectionError):
            for byte in HALF * 10:
                client.sendall(bytes([byte]))
                time.sleep(0.05)
        answer = answer_of(client)
    assert time.monotonic() - begun < 10 * HEAD_SECONDS
    assert b" 408 " in answer or not answer  # the reset of the connection may overtake it


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HALF, id="half"),
        pytest.param(HEALTH + HALF, id="second-half"),
        pytest.param(
            b"POST /api/browse HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n",
            id="refused-body",
        ),
    ],
)
def test_half_open_requests_are_closed(sent: bytes, live: Live) -> None:
    begun = time.monotonic()
    with connected(live) as client:
        client.sendall(sent)
        answer_of(client)
    assert time.monotonic() - begun < 10 * HEAD_SECONDS


def test_a_refused_body_cannot_keep_a_connection(live: Live) -> None:
    begun = time.monotonic()
    with connected(live) as client, suppress(ConnectionError):
        client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999\r\n\r\n")
        assert status_of(client) == 401
        while time.monotonic() - begun < 20:
            client.sendall(b"a")
            time.sleep(0.05)
    assert time.monotonic() - begun < 10 * HEAD_SECONDS


def test_connections_are_kept_and_pipelined_requests_answered(live: Live) -> None:
    with connected(live) as client:
        for count in (1, 1, 5):
            client.sendall(HEALTH * count)
            found = b""
            while found.count(b'"ok"') < count:
                found += client.recv(65536)


def test_few_requests_are_sent_ahead(live: Live) -> None:
    with connected(live) as client:
        with suppress(ConnectionError):
            client.sendall(HEALTH * 1000)
        assert answer_of(client).count(b"HTTP/1.1 200") < 100
    assert live.ask("/healthz").status == 200


def test_the_oldest_idle_connections_make_room(live: Live) -> None:
    with ExitStack() as opened:
        for _ in range(50):
            opened.enter_context(connected(live)).sendall(HALF)
        assert live.ask("/healthz").status == 200


def test_who_reads_nothing_makes_room(live: Live) -> None:
    with ExitStack() as opened:
        for _ in range(8):
            client = opened.enter_context(connected(live, buffer=1024))
            client.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                for _ in range(1000):
                    client.send(HEALTH)
        assert live.ask("/healthz").status == 200


def test_a_thousand_half_open_requests_do_not_stop_the_probes(small_process: Process) -> None:
    live = small_process.live
    with ExitStack() as opened:
        slowest = 0.0
        for number in range(1500):
            client = opened.enter_context(connected(live))
            with suppress(ConnectionError):
                client.sendall(HALF)
            if number % 100 == 99:
                begun = time.monotonic()
                assert live.ask("/healthz").status == 200
                slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 5
    files = len(list(Path(f"/proc/{small_process.process.pid}/fd").iterdir()))
    assert files < 900


def test_a_service_full_of_requests_answers_only_probes(live: Live, tmp_path: Path) -> None:
    limits = Limits(connections=2, stop_seconds=1, body_seconds=3)
    request = b"PUT /api/browse/corrections?id=x HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with serving(tmp_path, limits=limits) as full, ExitStack() as opened:
        clients = [opened.enter_context(connected(full)) for _ in range(2)]
        for client in clients:
            client.sendall(request + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            assert status_of(client) == 100  # the service waits for the body
        refused = full.ask("/api/service")
        assert refused.headers["retry-after"]
        assert "2 connections are open already" in refused.json["detail"]
        assert full.ask("/healthz").status == 200
        assert full.ask("/readyz").status == 200
        for client in clients:  # a body that does not arrive ends
            assert status_of(client) == 408
