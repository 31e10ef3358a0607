"""Check who may send requests, and the security headers of every answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from actspan import Bundle
from actspan.cli import main
from actspan.core.errors import ConfigError
from actspan.server.http_server import make_token
from actspan.server.settings import ServeSettings
from tests.server.services import client_of, features, npy

TOKEN = "a-token-for-this-test"


@pytest.fixture(scope="module")
def guarded(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    data = tmp_path_factory.mktemp("guarded")
    with client_of(data, model=bundle.path, token=TOKEN, host="0.0.0.0") as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/healthz"),
        ("GET", "/nothing"),
        ("POST", "/api/propose"),
        ("PUT", "/api/propose"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
    ],
)
def test_security_headers_go_with_every_answer(client: TestClient, method: str, path: str) -> None:
    headers = client.request(method, path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_an_error_of_the_service_tells_nothing(client: TestClient) -> None:
    @client.app.get("/broken")
    def broken() -> None:
        raise RuntimeError("a secret")

    answer = client.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost:1", 200),
        ("[::1]:8000", 200),
        ("proxy.example", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example:8000", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_other_names_that_lead_to_loopback_are_refused(
    host: str, status: int, tmp_path: Path
) -> None:
    with client_of(tmp_path, hosts=("proxy.example",)) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1", 200),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:9999", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_others_cannot_post(client: TestClient, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}
    answer = client.post("/api/propose", content=npy(features()), headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="none"),
        pytest.param({"Authorization": f"Bearer {TOKEN}"}, 200, id="right"),
        pytest.param({"Authorization": f"bearer  {TOKEN}"}, 200, id="lower-case"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, 401, id="basic"),
        pytest.param({"Authorization": "Bearer "}, 401, id="empty"),
        pytest.param({"Authorization": f"Bearer {TOKEN}x"}, 401, id="longer"),
        pytest.param({"Authorization": "Bearer \xff".encode("latin-1")}, 401, id="not-ascii"),
        pytest.param({"Cookie": f"actspan_8000={TOKEN}"}, 401, id="wrong-cookie"),
    ],
)
def test_a_token_is_needed_where_there_is_one(
    headers: dict, status: int, guarded: TestClient
) -> None:
    for path in ("/", "/api/jobs", "/metrics", "/openapi.json", "/v2/models/tem"):
        answer = guarded.get(path, headers=headers)
        assert answer.status_code == status
    assert guarded.get("/healthz", headers=headers).status_code == 200
    assert guarded.get("/readyz", headers=headers).status_code == 200
    assert (status == 401) == ("www-authenticate" in answer.headers)


def test_a_browser_enters_by_the_address_that_is_printed(tmp_path: Path) -> None:
    with client_of(tmp_path, token=TOKEN) as client:
        assert client.get("/?token=wrong-token-wrong").status_code == 401
        first = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert (first.status_code, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/").status_code == 200
        assert client.get("/api/service").status_code == 200


@pytest.mark.parametrize(
    "others",
    [
        'x="',
        'x="a; actspan_8000=b"',
        "actspan_8000=other",
        "actspan_8000",
        ";;=;",
        'x="\\400"',
        "x=\xff\xfe",
        'x="' + "\\" * 20_000 + '"',
    ],
)
@pytest.mark.parametrize("ours_first", [True, False])
def test_cookies_of_other_applications_lock_nobody_out(
    others: str, ours_first: bool, tmp_path: Path
) -> None:
    with client_of(tmp_path, token=TOKEN) as client:
        first = client.get(f"/?token={TOKEN}", follow_redirects=False)
        client.cookies.clear()
        ours = first.headers["set-cookie"].split(";")[0]
        cookie = f"{ours}; {others}" if ours_first else f"{others}; {ours}"
        several = [("Cookie", others.encode("latin-1")), ("Cookie", ours.encode())]
        begun = time.monotonic()
        for headers in ({"Cookie": cookie.encode("latin-1")}, several):
            assert client.get("/api/service", headers=headers).status_code == 200
        assert time.monotonic() - begun < 2
        refused = client.get("/api/service", headers={"Cookie": others.encode("latin-1")})
        assert refused.status_code == 401


def test_services_of_one_host_keep_their_own_cookies(tmp_path: Path) -> None:
    cookies = []
    for port in (8001, 8002):
        with client_of(tmp_path / str(port), token=TOKEN, port=port) as client:
            first = client.get(f"/?token={TOKEN}", follow_redirects=False)
            cookies.append(first.headers["set-cookie"].split("=")[0])
    assert cookies == ["actspan_8001", "actspan_8002"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "0.0.0.0"}, "a token is needed"),
        ({"host": "::"}, "a token is needed"),
        ({"host": "example.org"}, "a token is needed"),
        ({"token": "short"}, "16 characters"),
        ({"token": "ключ" * 8}, "of ASCII"),
        ({"token": "sixteen letters and more"}, "without blanks"),
        ({"token": "sixteen-letters-and\nmore"}, "of ASCII"),
    ],
)
def test_open_doors_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ServeSettings(**settings).check()


@pytest.mark.parametrize(
    ("host", "given", "made"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("0.0.0.0", TOKEN, False),
    ],
)
def test_a_token_is_made_where_others_can_reach_it(host: str, given: str, made: bool) -> None:
    token = make_token(host, given)
    assert (token != given) == made
    assert ServeSettings(host=host, token=token).token == token


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing to serve"),
        (["--model", "nowhere"], 1, "does not exist"),
        (["--model", "."], 1, "not a bundle"),
    ],
    ids=["nothing", "missing", "no-bundle"],
)
def test_the_command_refuses_before_it_listens(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["serve", *words, "--port", "0"])
    assert done.exit_code == code
    assert said in done.output
