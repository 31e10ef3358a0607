"""A container engine for tests, as a command `docker`, and a base image where no registry answers.

Podman replaces Docker where its daemon does not run. Where the base image cannot be pulled, one of
the same name is made by debootstrap: Debian 12 with its Python 3.11. Podman then has a store of its
own, so that the image never replaces the real one.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PACKAGES = "python3.11,python3.11-venv,python3-pip,ca-certificates"


def base_image() -> str:
    """Return the image that the Dockerfile starts from."""
    text = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    return re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)[0]


def install_engine(folder: Path, store: Path) -> None:
    """Write the command `docker` into a folder, with the base image; skip where nothing builds."""
    if _succeeds("docker", "version"):
        if not _succeeds("docker", "pull", base_image()):
            pytest.skip(f"needs {base_image()}, which no registry gives here")
        (folder / "docker").symlink_to(shutil.which("docker") or "")
        return
    programs = ("podman", "runc", "catatonit", "debootstrap")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs Docker, or Podman: apt-get install {' '.join(missing)}")
    if program("podman-compose") is None:
        pytest.skip("needs podman-compose (extra 'dev')")
    if os.geteuid():
        pytest.skip("debootstrap needs root")
    podman = f"podman --root {store / 'images'} --runroot {store / 'run'} --runtime runc"
    script = folder / "docker"
    script.write_text(_script(podman))
    script.chmod(0o755)
    if not _succeeds(*shlex.split(podman), "image", "exists", base_image()):
        _make_base_image(podman, store / "base")


def program(name: str) -> str | None:
    """Return the path of a program of this environment, or else of the machine."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def _script(podman: str) -> str:
    """Return a command `docker` that needs no rights that a sandbox lacks."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = f"--ulimit nofile={files}:{files} --ulimit nproc=4096:4096"
    build = "--isolation chroot --network host --format docker"  # only Docker's has health checks
    compose = f'{program("podman-compose")} --podman-path "$0"'
    return f"""#!/bin/bash
case $1 in
build) exec {podman} build {build} "${{@:2}}" ;;
run) exec {podman} run {limits} "${{@:2}}" ;;
create) exec {podman} create {limits} "${{@:2}}" ;;
compose) exec {compose} "${{@:2}}" ;;
*) exec {podman} "$@" ;;
esac
"""


def _make_base_image(podman: str, root: Path) -> None:
    """Import a new Debian 12 as the base image, with the certificates of this machine."""
    _run(f"debootstrap --variant=minbase --include={_PACKAGES} bookworm {root}")
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    _run(f"tar -C {root} -c . | {podman} import - docker.io/library/{base_image()}")
    shutil.rmtree(root)


def _run(line: str) -> None:
    words = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def _succeeds(*words: str) -> bool:
    try:
        return subprocess.run(words, capture_output=True, timeout=300).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
