"""Limits of connections, before a request reaches the application and its token is checked.

The size of a request's head, the time until it is complete, the requests sent ahead and the number
of connections are bounded. If there are too many, the one that has been idle longest is closed.
"""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle, Transport
from http import HTTPStatus

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from actspan.server.error_responses import SECURITY_HEADERS, ProblemError
from actspan.server.settings import OPEN_PATHS, Limits

_SPARE = 64  # connections above the limit, on which only the probes are answered
_AHEAD = 16  # most requests of a connection that wait for the answer to the one before
_STALLED = 10.0  # seconds without reading after which a client's connection may be closed
_CLOSE = {**SECURITY_HEADERS, "Connection": "close"}


class LimitedProtocol(HttpToolsProtocol):
    """Connection of a client; see `limited_protocol`."""

    limits = Limits()
    most = limits.connections

    def connection_made(self, transport: BaseTransport) -> None:
        """Accept a connection, if need be instead of the one that has been idle longest."""
        assert isinstance(transport, Transport)
        super().connection_made(transport)
        self._active = self.loop.time()  # time of the last byte received
        self._paused: float | None = None  # time at which the client ceased to read
        self._timer: TimerHandle | None = None
        self._refusal = ProblemError(400, "the request is not valid HTTP/1.1", _CLOSE)
        self._head = 0  # bytes of the request line and the headers so far
        self._unread = 0  # bytes received that are no part of a body or of a complete head
        self._in_head = self._is_ending = self._is_extra = False
        self._make_room()
        self._limit_time()

    def _make_room(self) -> None:
        """Close an idle connection if there are too many, or answer only the probes on this one."""
        others = [one for one in self.connections if isinstance(one, LimitedProtocol)]
        count = sum(not one._is_ending for one in others)
        if count <= self.most:
            return
        idle = [one for one in others if one is not self and one._may_be_closed()]
        if idle:
            min(idle, key=lambda one: one._active)._abort()
        elif count > self.most + _SPARE:
            self._abort()
        else:
            self._is_extra, self.app = True, self._answer_probes

    def _may_be_closed(self) -> bool:
        if self._is_ending:
            return False
        stalled = self._paused is not None and self.loop.time() - self._paused > _STALLED
        return stalled or self._is_idle

    @property
    def _is_idle(self) -> bool:
        """Return True if no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    async def _answer_probes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, but only requests to the probes."""
        if scope["path"] in OPEN_PATHS:
            await self.config.loaded_app(scope, receive, send)
        else:
            line = f"{self.most} connections are open already; try again in a moment"
            problem = ProblemError(503, line, {**_CLOSE, "Retry-After": "1"})
            await problem.response()(scope, receive, send)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._is_ending = True
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; refuse a request whose head has no end."""
        self._active = self.loop.time()
        self._unread += len(data)
        super().data_received(data)
        if self._unread > self.limits.head_bytes and not self.transport.is_closing():
            self._refuse(self._too_large())
        if self._is_idle:  # so a head or the rest of a refused body is on its way
            self._limit_time()
        else:
            self._stop_timer()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count and collect the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count and collect a header, or what follows a body in chunks."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self.limits.head_bytes:
            self._refusal = self._too_large()
            raise ValueError  # ends the parser, which calls `send_400_response`

    def on_headers_complete(self) -> None:
        """Pass a request on to the application."""
        if len(self.pipeline) >= _AHEAD:
            raise ValueError  # as above
        self._in_head, self._unread = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body, which has its own limits."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._unread = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody reads."""
        super().on_response_complete()
        if self._is_extra:
            self.transport.close()
        elif self._in_head or (self.cycle.response_complete and self.cycle.more_body):
            self._limit_time()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read."""
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        """Note that the client reads nothing."""
        self._paused = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client reads again."""
        self._paused = None
        super().resume_writing()

    def _limit_time(self) -> None:
        if self._timer is None and not self._is_ending:
            self._timer = self.loop.call_later(self.limits.head_seconds, self._end_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_late(self) -> None:
        self._timer = None
        if self._in_head and self._is_idle and not self.transport.is_closing():
            line = f"the request did not arrive within {self.limits.head_seconds:g} s"
            self._refuse(ProblemError(408, line, _CLOSE))
        else:
            self._abort()

    def _too_large(self) -> ProblemError:
        limit = self.limits.head_bytes
        line = f"the request line and the headers are larger than {limit} bytes, the limit here"
        return ProblemError(431, line, _CLOSE)

    def _refuse(self, problem: ProblemError) -> None:
        """Answer with an error, unless another answer is on its way; close the connection."""
        if not self._is_idle and (self.pipeline or self.cycle.response_started):
            self._abort()
            return
        response = problem.response()
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join((*lines, b"", bytes(response.body))))
        self.transport.close()
        self._limit_time()  # the client may not read

    def _abort(self) -> None:
        """Close the connection now, even if the client does not read what was written."""
        self._is_ending = True
        self._stop_timer()
        self.transport.abort()


def limited_protocol(limits: Limits) -> type[LimitedProtocol]:
    """Return the protocol of a server with these limits."""
    most = min(limits.connections, _open_files() // 2)
    return type("Protocol", (LimitedProtocol,), {"limits": limits, "most": most})


def _open_files() -> int:
    """Return the number of files that this process may have open; Windows has no such limit."""
    try:
        import resource
    except ImportError:
        return 1 << 20
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
