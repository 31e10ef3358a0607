"""A hub on loopback: the endpoints that huggingface_hub calls, with repositories in memory.

Each client is a process of its own, since huggingface_hub reads its settings when it is imported.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_loopback"
LARGE = 4096  # bytes from which a file is stored as LFS, which is answered by a redirection
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "other")


@dataclass
class Repository:
    """Commits of a repository, each with all its files; the last one is the main branch."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        name = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[name] = dict(files)
        return name

    def find(self, revision: str) -> str | None:
        if revision == "main":
            return next(reversed(self.commits), None)
        return self.tags.get(revision, revision if revision in self.commits else None)


class LoopbackHub(ThreadingHTTPServer):
    """Hub with faults that a test chooses.

    `short` are files (owner/name/file) of which the first half is sent, `flipped` those with a
    changed byte, `sizes` gives files another size in listings, `down` answers everything by 503.
    `requests` are the methods and paths that were asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.short: set[str] = set()
        self.flipped: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.down = False

    def add(self, name: str, files: dict[str, bytes], **options: bool) -> str:
        """Add a commit, to a new repository if there is none; return its name."""
        repository = self.repositories.setdefault(name, Repository(**options))
        return repository.commit(files)

    def files(self, name: str) -> dict[str, bytes]:
        """Return the files of the main branch."""
        repository = self.repositories[name]
        return repository.commits[repository.find("main") or ""]


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *details: object) -> None:
        pass

    def _answer(
        self, status: int, content: Any = b"", headers: dict[str, str] | None = None
    ) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code})

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        place = urlsplit(self.path).path
        self.server.requests.append(f"{self.command} {place}")
        if self.server.down:
            return self._answer(503)
        for method, pattern, name in _ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, place)):
                return getattr(self, name)(*map(unquote, found.groups()))  # type: ignore[no-any-return]
        return self._refuse(404, "NotFound")

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815

    @property
    def signed_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _find(self, name: str, revision: str) -> tuple[Repository, str] | None:
        """Return repository and commit, or answer with the error of a hub."""
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self.signed_in):
            return self._refuse(401 if not self.signed_in else 404, "RepoNotFound")
        if repository.gated and not self.signed_in:
            return self._refuse(403, "GatedRepo")
        commit = repository.find(revision)
        if commit is None and repository.commits:
            return self._refuse(404, "RevisionNotFound")
        return repository, commit or ""

    def _info(self, name: str, revision: str = "main") -> None:
        if found := self._find(name, revision):
            repository, commit = found
            files = [{"rfilename": path} for path in repository.commits.get(commit, {})]
            self._answer(200, {"id": name, "sha": commit or None, "siblings": files})

    def _paths(self, name: str, revision: str) -> None:
        if found := self._find(name, revision):
            repository, commit = found
            files = repository.commits[commit]
            wanted = parse_qs(self.body.decode())["paths"]
            self._answer(200, [self._entry(name, p, files[p]) for p in wanted if p in files])

    def _tree(self, name: str, revision: str) -> None:
        if found := self._find(name, revision):
            files = found[0].commits[found[1]]
            self._answer(200, [self._entry(name, path, files[path]) for path in files])

    def _entry(self, name: str, path: str, content: bytes) -> dict[str, Any]:
        size = self.server.sizes.get(f"{name}/{path}", len(content))
        entry = {"type": "file", "path": path, "size": size, "oid": _etag(content)}
        if len(content) >= LARGE:
            sha = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha, "size": size, "pointerSize": 130}
        return entry

    def _oid(self, content: bytes | None) -> str | None:
        if content is None:
            return None
        is_large = len(content) >= LARGE
        return hashlib.sha256(content).hexdigest() if is_large else _etag(content)

    def _resolve(self, name: str, revision: str, path: str) -> None:
        if not (found := self._find(name, revision)):
            return None
        repository, commit = found
        content = repository.commits[commit].get(path)
        if content is None:
            return self._refuse(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(content)}"'}
        if len(content) < LARGE:
            return self._send(f"{name}/{path}", content, headers)
        digest = hashlib.sha256(content).hexdigest()
        headers |= {
            "X-Linked-Size": str(len(content)),
            "X-Linked-Etag": f'"{digest}"',
            # Another host, to which no token may be sent.
            "Location": f"http://localhost:{self.server.server_port}/cdn/{name}/{commit}/{path}",
        }
        return self._answer(302, b"", headers)

    def _cdn(self, name: str, commit: str, path: str) -> None:
        if "Authorization" in self.headers:
            return self._refuse(400, "TokenSentToAnotherHost")
        return self._send(
            f"{name}/{path}", self.server.repositories[name].commits[commit][path], {}
        )

    def _send(self, file: str, content: bytes, headers: dict[str, str]) -> None:
        if file in self.server.flipped:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if file in self.server.short and self.command == "GET":
            content = content[: len(content) // 2]
        return self._answer(200, content, headers | {"Content-Length": str(len(content))})

    def _create(self) -> None:
        if not self.signed_in:
            return self._refuse(401, "Unauthorized")
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.server.repositories:
            return self._answer(409, {"url": f"{self.server.url}/{name}"})
        private = wanted.get("visibility") == "private"
        self.server.repositories[name] = Repository(private=private)
        self.server.repositories[name].commit({".gitattributes": b""})
        return self._answer(200, {"url": f"{self.server.url}/{name}"})

    def _validate(self) -> None:
        import yaml

        content = json.loads(self.body)["content"]
        found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        errors = []
        if found is None:
            errors = [{"message": "no metadata"}]
        else:
            data = yaml.safe_load(found[1])
            if data.get("license") not in LICENSES:
                errors = [{"message": f'"license" must be one of {LICENSES}'}]
        status = 400 if errors else 200
        self._answer(status, {"errors": errors, "warnings": []})

    def _preupload(self, name: str, revision: str) -> None:
        if not self.signed_in:
            return self._refuse(401, "RepoNotFound")
        if found := self._find(name, revision):
            known = found[0].commits.get(found[1], {})
            files = []
            for file in json.loads(self.body)["files"]:
                mode = "lfs" if file["size"] >= LARGE else "regular"
                oid = self._oid(known.get(file["path"]))
                answer = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
                files.append(answer | {"oid": oid})
            self._answer(200, {"files": files})
        return None

    def _batch(self, name: str) -> None:
        objects = [
            entry | {"actions": {"upload": {"href": f"{self.server.url}/upload/{entry['oid']}"}}}
            for entry in json.loads(self.body)["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._answer(400)
        self.server.uploads[oid] = self.body
        return self._answer(200)

    def _commit(self, name: str, revision: str) -> None:
        if not self.signed_in:
            return self._refuse(401, "RepoNotFound")
        if found := self._find(name, revision):
            files = dict(found[0].commits.get(found[1], {}))
            for line in self.body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = self.server.uploads[value["oid"]]
                elif entry["key"] == "deletedFile":
                    del files[value["path"]]
            oid = found[0].commit(files)
            url = f"{self.server.url}/{name}/commit/{oid}"
            self._answer(200, {"commitUrl": url, "commitOid": oid})
        return None


_REPO = r"([^/]+/[^/]+)"
_ROUTES = [
    ("GET", rf"/api/models/{_REPO}", "_info"),
    ("GET", rf"/api/models/{_REPO}/revision/([^/]+)", "_info"),
    ("POST", rf"/api/models/{_REPO}/paths-info/([^/]+)", "_paths"),
    ("GET", rf"/api/models/{_REPO}/tree/([^/]+)", "_tree"),
    ("GET", rf"/{_REPO}/resolve/([^/]+)/(.+)", "_resolve"),
    ("HEAD", rf"/{_REPO}/resolve/([^/]+)/(.+)", "_resolve"),
    ("GET", rf"/cdn/{_REPO}/([^/]+)/(.+)", "_cdn"),
    ("POST", r"/api/repos/create", "_create"),
    ("POST", r"/api/validate-yaml", "_validate"),
    ("POST", rf"/api/models/{_REPO}/preupload/([^/]+)", "_preupload"),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "_batch"),
    ("PUT", r"/upload/(\w+)", "_upload"),
    ("POST", rf"/api/models/{_REPO}/commit/([^/]+)", "_commit"),
]


def _etag(content: bytes) -> str:
    """Return git's checksum of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    """Start a hub; it is closed when the block ends."""
    hub = LoopbackHub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


def client_variables(endpoint: str, home: Path) -> dict[str, str]:
    """Return the environment variables of huggingface_hub for a hub on loopback."""
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",  # the protocol of another server
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


@dataclass
class Client:
    """A user of the hub, with a folder of caches of its own."""

    endpoint: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def actspan(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of actspan."""
        return self.python("-m", "actspan", *map(str, words), **environment)

    def python(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python."""
        settings = client_variables(self.endpoint, self.home)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            env=kept | settings | self.environment | environment,
            check=False,
        )
