"""Clients of the service for `serve_faults`: what they send, and what must be answered."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from threading import Event, Lock
from typing import Any, NamedTuple

from benchmarks.serve import HEAD, STRIDE, Request, malformed

IDLE = 3.0  # seconds after which a client opens a new connection; the service closes idle ones
_MALFORMED = 0.22  # share of the acts, some of which are several requests
_WAITING = 3  # most jobs of a client that are not done
_HEADS = (
    b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 400_000 + b"\r\n\r\n",
    b"nothing of HTTP\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n",
    b"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999\r\n\r\nbroken off",
    b"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
)


class Answer(NamedTuple):
    """Status, headers and body of a response."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


@dataclass
class Record:
    """Counts of what all clients met, which they share."""

    statuses: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    malformed: int = 0
    wrong: list[str] = field(default_factory=list)
    unexpected: int = 0  # 503 and 507 while the service could work
    accepted: int = 0  # jobs
    done: int = 0  # jobs with the right result
    corrected: int = 0  # corrections that were stored
    slowest_probe: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def add_wrong(self, line: str) -> None:
        """Record an answer that is not the right one."""
        with self.lock:
            self.wrong.append(line)


class Client:
    """Client that sends random requests one after another, and checks every answer.

    `in_fault` says whether the service may be unable to work now. `jobs` are bodies of jobs and
    what their results must contain; `direct` are requests that are answered at once.
    """

    def __init__(
        self,
        number: int,
        port: int,
        record: Record,
        direct: Sequence[Request],
        jobs: Sequence[tuple[bytes, Any]],
        in_fault: Callable[[], bool],
    ) -> None:
        self._number, self._port, self._record = number, port, record
        self._direct, self._job_bodies, self._in_fault = direct, jobs, in_fault
        self._random = random.Random(number)
        self._connection: HTTPConnection | None = None
        self._used = 0.0
        self._waiting: dict[str, Any] = {}  # results that jobs must have, by path
        self._revision, self._segments = 0, None
        self._half_open: list[socket.socket] = []

    def run(self, stop: Event) -> None:
        """Send requests until `stop`, then wait for the jobs and check what was stored."""
        acts = (self._ask_directly, self._submit, self._poll, self._correct, self._probe)
        weights = (40, 15, 15, 12, 8)
        while not stop.is_set():
            if self._random.random() < _MALFORMED:
                self._break_rules()
            else:
                self._random.choices(acts, weights)[0]()
            time.sleep(self._random.uniform(0.02, 0.3))
        end = time.monotonic() + 300
        while self._waiting and time.monotonic() < end:
            self._poll()
            time.sleep(0.2)
        for path in self._waiting:
            self._record.add_wrong(f"{path}: accepted, but not done")
        self._check_corrections()

    def _send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request and count its answer."""
        if self._connection is None or time.monotonic() - self._used > IDLE:
            self._connection = HTTPConnection("127.0.0.1", self._port, timeout=120)
        fault = self._in_fault()
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (OSError, HTTPException) as error:
            self._connection = None
            answer = Answer(0, {}, b"")
            self._record.add_wrong(f"{method} {path}: {type(error).__name__}: {error}")
        self._used = time.monotonic()
        with self._record.lock:
            self._record.sent += 1
            self._record.statuses[answer.status] += 1
            if answer.status in (503, 507) and not (fault or self._in_fault()):
                self._record.unexpected += 1
        if answer.status >= 500 and answer.status not in (503, 507):
            self._record.add_wrong(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer

    def _expect(self, answer: Answer, statuses: Sequence[int], what: str) -> bool:
        """Record an answer with another status; return whether it is the first of them."""
        if answer.status not in (*statuses, 429, 503, 507, 0):
            self._record.add_wrong(f"{what}: {answer.status} {answer.body[:300]!r}")
        return answer.status == statuses[0]

    def _ask_directly(self) -> None:
        request = self._random.choice(self._direct)
        answer = self._send("POST", request.path, request.body, **request.headers)
        head = int(answer.headers.get(HEAD, 0))
        if answer.status not in (429, 0) and not request.check(answer.status, head, answer.body):
            self._record.add_wrong(f"{request.path}: {answer.status}, another answer")

    def _submit(self) -> None:
        if len(self._waiting) >= _WAITING:
            self._poll()
            return
        body, wanted = self._random.choice(self._job_bodies)
        answer = self._send("POST", f"/api/jobs?stride={STRIDE}", body)
        if self._expect(answer, [202], "submit"):
            self._waiting[answer.headers["Location"]] = wanted
            with self._record.lock:
                self._record.accepted += 1

    def _poll(self) -> None:
        for path, wanted in list(self._waiting.items()):
            answer = self._send("GET", path)
            if not self._expect(answer, [200], path) or answer.json["state"] in (
                "queued",
                "running",
            ):
                continue
            result = self._send("GET", f"{path}/result")
            if self._expect(result, [200], f"{path}/result: {answer.json['error']}"):
                with self._record.lock:
                    self._record.done += result.json["proposals"] == wanted
                if result.json["proposals"] != wanted:
                    self._record.add_wrong(f"{path}: another result")
                self._send("DELETE", path)
            if result.status != 503:
                del self._waiting[path]

    def _correct(self) -> None:
        """Replace the corrections of a video that no other client changes."""
        start = round(self._random.uniform(0, 4), 3)
        segments = [{"start": start, "end": start + 1, "label": "x"}]
        path = f"/api/browse/corrections?id=video{self._number}"
        body = json.dumps({"revision": self._revision, "segments": segments}).encode()
        answer = self._send("PUT", path, body, **{"Content-Type": "application/json"})
        if self._expect(answer, [200], "corrections"):
            self._revision, self._segments = answer.json["revision"], answer.json["segments"]
            with self._record.lock:
                self._record.corrected += 1

    def _check_corrections(self) -> None:
        answer = self._send("GET", f"/api/browse/corrections?id=video{self._number}")
        found = answer.json
        if (found["revision"], found["segments"]) != (self._revision, self._segments):
            line = f"{self._revision}, {self._segments} were stored"
            self._record.add_wrong(f"corrections of video{self._number}: {found}, but {line}")

    def _probe(self) -> None:
        path = self._random.choice(("/healthz", "/readyz", "/metrics", "/api/jobs?limit=5"))
        begun = time.perf_counter()
        answer = self._send("GET", path)
        self._expect(answer, [200], path)
        if path == "/healthz":
            if answer.status != 200:
                self._record.add_wrong(f"/healthz: {answer.status}")
            with self._record.lock:
                seconds = time.perf_counter() - begun
                self._record.slowest_probe = max(self._record.slowest_probe, seconds)

    def _break_rules(self) -> None:
        """Send a body or a head that is not valid, or leave a request half-open."""
        with self._record.lock:
            self._record.malformed += 1
        if self._random.random() < 0.5:
            request = malformed(self._random.choice(self._direct), self._random.randrange(4))
            answer = self._send("POST", request.path, request.body, **request.headers)
            if answer.status != 429 and not request.check(answer.status, 0, answer.body):
                self._record.add_wrong(f"malformed {request.path}: {answer.status}")
            return
        client = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        with suppress(OSError):
            client.sendall(self._random.choice(_HEADS))
        self._half_open.append(client)
        if len(self._half_open) > 3:
            with suppress(OSError), self._half_open.pop(0) as oldest:
                oldest.recv(4096)
