"""What stands before every request: host, origin, token, size of the body; and headers after it.

A page of somebody else's in the user's browser can send requests to a loopback service. The Host
check stops one that lets its own name point here (DNS rebinding), the Origin check one that posts.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actspan.server.headers import SECURITY
from actspan.server.problems import ProblemError
from actspan.server.settings import ServeSettings

COOKIE = "actspan_token"
OPEN_PATHS = frozenset({"/healthz", "/readyz"})  # for probes, which know no token
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware that lets no request past which may not be answered.

    Parameters
    ----------
    app : ASGIApp
    settings : ServeSettings
    body_limit : function of a path
        How many bytes a body sent there may have.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, body_limit: Callable[[str], int]
    ) -> None:
        self._app, self._settings, self._body_limit = app, settings, body_limit
        own = {"localhost", "127.0.0.1", "::1", settings.host}
        self._hosts = {name.lower() for name in own | set(settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._body_limit(scope["path"])
        answer = self._answer(scope, headers, limit)
        if answer is not None:
            await answer(scope, receive, secured(send))
            return
        await self._app(scope, limited(receive, limit), secured(send))

    def _answer(self, scope: Scope, headers: Headers, limit: int) -> Response | None:
        """What a request is answered that goes no further."""
        try:
            self._check_host(headers)
            _check_origin(scope, headers)
            entry = self._enter(scope)
            if entry is None:
                self._check_token(scope, headers)
                _check_size(headers, limit)
        except ProblemError as problem:
            return problem.response()
        return entry

    def _check_host(self, headers: Headers) -> None:
        name = _host_name(headers.get("host", ""))
        if self._settings.is_loopback and name not in self._hosts:
            raise ProblemError(
                400, f"host {name!r} is not one of this service; actspan serve --allow-host adds it"
            )

    def _enter(self, scope: Scope) -> Response | None:
        """Let a browser in that opens `/?token=...`: the token moves to a cookie."""
        if scope["path"] != "/" or b"token=" not in scope["query_string"]:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._settings.token is None or not _same(given, self._settings.token):
            return None
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(COOKIE, given, httponly=True, samesite="strict")
        return response

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        wanted = self._settings.token
        if wanted is None or scope["path"] in OPEN_PATHS:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else _cookie(headers)
        if not _same(given, wanted):
            raise ProblemError(
                401,
                "a token is needed: send 'Authorization: Bearer TOKEN', or open /?token=TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )


def secured(send: Send) -> Send:
    """Add the security headers to whatever is answered."""

    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
        await send(message)

    return send_secured


def limited(receive: Receive, limit: int) -> Receive:
    """Stop a body that turns out longer than its limit."""
    taken = 0

    async def receive_limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _too_large(limit)
        return message

    return receive_limited


def _check_origin(scope: Scope, headers: Headers) -> None:
    origin = headers.get("origin")
    if origin is None or scope["method"] in SAFE_METHODS:
        return
    scheme, _, place = origin.partition("://")
    if scheme not in ("http", "https") or place.lower() != headers.get("host", "").lower():
        raise ProblemError(
            403, f"origin {origin!r}: only pages of this service may send requests to it"
        )


def _check_size(headers: Headers, limit: int) -> None:
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than {limit} bytes, which is the limit here")


def _host_name(host: str) -> str:
    """A Host header without its port, in lower case."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _same(given: str, wanted: str) -> bool:
    """Compare in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
