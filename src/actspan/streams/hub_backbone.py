"""Backbones on a hub: hf:owner/name@COMMIT, one ONNX file and its preprocessing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

from actspan.core.errors import HubError
from actspan.core.files import is_plain_name, sha256
from actspan.core.folders import atomic_folder
from actspan.core.limits import SETTINGS, WEIGHTS
from actspan.core.wording import listed
from actspan.model.hub import Hub
from actspan.model.hub_address import HubAddress

_NAME = re.compile(
    r"hf:(?://)?(?P<repository>[^/@]+/[^/@]+)(/(?P<file>[^@]+))?(@(?P<revision>.+))?"
)
_CHECKSUM = "checksum"  # file with the checksum of the ONNX file


def hub_backbone(name: str) -> Path:
    """Return the ONNX file of a backbone on a hub, after a download at its first use.

    Its TOML file, which describes the pictures, is next to it.

    Parameters
    ----------
    name : str
        hf:owner/name@COMMIT, or hf:owner/name/FILE.onnx@COMMIT if the repository has several ONNX
        files. Only a whole commit, of 40 digits, is accepted: features of a backbone that changes
        could not be made again.

    Raises
    ------
    HubError
        The name has no commit, or as for `local_bundle`.
    MissingExtraError
        huggingface_hub is not installed.
    """
    from filelock import FileLock

    found = _NAME.fullmatch(name)
    if found is None:
        raise HubError(f"backbone {name}: write hf:owner/name@COMMIT")
    revision = f"@{found['revision']}" if found["revision"] else ""
    address = HubAddress.parse(found["repository"] + revision)
    hub = Hub(address)
    if address.commit is None:
        path = f"/{found['file']}" if found["file"] else ""
        raise HubError(
            f"backbone {name}: {address.revision or 'the newest commit'} may change; name the "
            f"commit, which is now: hf:{address.repository}{path}@{hub.commit}"
        )
    file = found["file"] or "only"
    folder = hub.folder("backbones") / file.replace("/", "--").removesuffix(".onnx")
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _download(hub, found["file"] or _only_onnx_file(hub), folder)
    return _checked(folder, name)


def _only_onnx_file(hub: Hub) -> str:
    """Return the ONNX file of a repository; raise HubError if there is not exactly one."""
    files = [name for name in hub.list_files() if name.endswith(".onnx")]
    if len(files) == 1:
        return files[0]
    what = f"has {listed(sorted(files))}: name one" if files else "has no ONNX file: name another"
    example = f"hf:{hub.address.repository}/FILE.onnx@{hub.commit}"
    raise HubError(f"{hub.address}: the repository {what}, as in {example}")


def _download(hub: Hub, name: str, folder: Path) -> None:
    """Download an ONNX file and its TOML file to a folder: both, or nothing."""
    toml = str(PurePosixPath(name).with_suffix(".toml"))
    if not all(map(is_plain_name, name.split("/"))):
        raise HubError(f"{hub.address}: {name!r} is not a file of a repository")
    files = hub.files([name, toml])
    for wanted, limit in ((name, WEIGHTS), (toml, SETTINGS)):
        if wanted not in files:
            what = "which says how pictures are prepared; download the ONNX file, write it, and use"
            raise HubError(
                f"{hub.address}: the repository has no {wanted}"
                + (f", {what} --backbone onnx:FILE" if wanted == toml else "")
            )
        hub.require_size(wanted, files[wanted].size, limit)
    with atomic_folder(folder) as partial:
        for wanted in (name, toml):
            path = hub.download(wanted, partial / "download")
            if expected := files[wanted].sha256:
                hub.require_checksum(path, expected)
            path.rename(partial / path.name)
        shutil.rmtree(partial / "download")
        checksum = sha256(partial / PurePosixPath(name).name)
        (partial / _CHECKSUM).write_text(checksum, encoding="ascii")


def _checked(folder: Path, name: str) -> Path:
    """Return the ONNX file of a folder; raise HubError if it changed since its download."""
    path = next(folder.glob("*.onnx"), folder)
    if not path.is_file() or sha256(path) != (folder / _CHECKSUM).read_text(encoding="ascii"):
        raise HubError(f"backbone {name}: {folder} is damaged: remove it, to download it again")
    return path
