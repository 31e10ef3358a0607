"""Make what a page names small and local: trainings, measurements, services, cameras, web sites."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from socket import socket

from tests.docs.material import TINY, Material
from tests.model.loopback_hub import TOKEN, client_variables, loopback_hub
from tests.streams.http_server import video_server

SMALLER = {
    r"\bactspan train\b": f"actspan train {' '.join(TINY)}",
    r" --tem-hidden 8 --pem-hidden 8(?=.* --preset (?:jjboy|mmaction2|paddle))": "",
    r"\bactspan demo\b": "actspan demo --videos 3",
    r"\bactspan bench\b": "actspan bench --seconds 0.02 --batch 1 --videos 2",
    r"\bactspan bench\b(?!.* --model)": "actspan bench --channels 8 --length 20",
    r"(?<=openvino:bf16) --batch 16": "",
    r"\bcurl ": "curl -sSf ",
    r"\bsleep 1\b": "sleep 0.1",
    r"--rounds \d+": "--rounds 5",
    r"--workers \d+": "--workers 2",
}


class Loopback:
    """Servers in place of those that a page names; they are started when they are named first."""

    def __init__(self, material: Material) -> None:
        self.port = free_port()  # of the service
        self.variables: dict[str, str] = {}
        self._material, self._open, self._hub_commit = material, ExitStack(), ""

    def close(self) -> None:
        self._open.close()

    def adapt(self, text: str) -> str:
        """Return a text with small work, and with addresses on loopback."""
        for pattern, replacement in SMALLER.items():
            text = re.sub(pattern, replacement, text)
        if "https://example.org/" in text or "rtsp://" in text:
            server = self._open.enter_context(video_server(Path.cwd()))
            here = server.url("ranges/")
            text = text.replace("https://example.org/", here)
            text = re.sub(r"rtsp://(\w+:\w+@)?camera/stream", f"{here}recording.ts", text)
        if "OWNER/NAME" in text:
            text = text.replace("OWNER/NAME@COMMIT", f"OWNER/ENCODER@{self._start_hub()}")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        return text.replace("--host 0.0.0.0", "--host 127.0.0.1").replace("/var/lib/", "var/lib/")

    def _start_hub(self) -> str:
        """Start a hub with a model and an encoder; return the commit of the encoder."""
        if not self._hub_commit:
            hub = self._open.enter_context(loopback_hub())
            self.variables = client_variables(hub.url, Path.cwd() / "hub") | {"HF_TOKEN": TOKEN}
            hub.add("OWNER/NAME", self._material.contents("film-model"))
            self._hub_commit = hub.add("OWNER/ENCODER", self._material.contents("encoder"))
        return self._hub_commit


def free_port() -> int:
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
