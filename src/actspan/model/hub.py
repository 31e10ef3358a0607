"""Models on a hub: files are downloaded once, after a check of their sizes, and compared.

A repository with a bundle contains the files of the bundle. Nothing in it is run or unpickled.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actspan.core.errors import ActSpanError, HubError, require
from actspan.core.files import sha256
from actspan.core.folders import atomic_folder, locked_folder
from actspan.core.limits import SETTINGS, WEIGHTS
from actspan.model.bundle import Bundle
from actspan.model.hub_address import HubAddress
from actspan.model.manifest import MANIFEST, FileRecord, check_new_bundle

_SIGN_IN = "sign in with `hf auth login`, or set HF_TOKEN"


def local_bundle(address: str) -> Path:
    """Return the folder of a bundle on a hub, after a download at its first use.

    Parameters
    ----------
    address : str
        hf://owner/name, or hf://owner/name@revision with a branch, tag or commit. A bundle at a
        whole commit that was downloaded before needs no network.

    Returns
    -------
    path : Path
        Folder in the cache of huggingface_hub (HF_ASSETS_CACHE), one per commit.

    Raises
    ------
    HubError
        The hub cannot be reached, or the repository, the revision or a bundle in it does not
        exist, is private, too large or damaged.
    MissingExtraError
        huggingface_hub is not installed.
    """
    from filelock import FileLock

    hub = Hub(HubAddress.parse(address))
    folder = hub.folder("bundles")
    with FileLock(f"{folder}.lock"):
        if not (folder / MANIFEST).is_file():
            hub.download_bundle(folder)
    return folder


def pull_bundle(address: str, out: Path, *, overwrite: bool = False) -> Bundle:
    """Download a bundle from a hub into a new folder; raise as `local_bundle`, or BundleError."""
    hub = Hub(HubAddress.parse(address))
    with locked_folder(out):
        check_new_bundle(out, overwrite=overwrite)
        hub.download_bundle(out)
        return Bundle.load(out)


class Hub:
    """One commit of a repository on a hub, which is looked up when the object is made.

    Parameters
    ----------
    address : HubAddress
        With HF_HUB_OFFLINE=1, a branch or tag means the commit that it had when it was last looked
        up.

    Attributes
    ----------
    commit : str
        The whole commit.

    Raises
    ------
    HubError, MissingExtraError
        See `local_bundle`.
    """

    def __init__(self, address: HubAddress) -> None:
        self._library = require("huggingface_hub", extra="hub", purpose=f"reading {address}")
        self.address = address
        self._api = self._library.HfApi(library_name="actspan")
        name, revision = address.repository, address.revision
        is_offline = self._library.is_offline_mode()
        with name_hub_errors(address):
            if address.commit is None and not is_offline:
                # Fails without a connection, where the next call takes an older commit.
                self._api.model_info(name, revision=revision)
            found = self._api.resolve_revision(name, revision=revision, local_files_only=is_offline)
        self.commit: str = found.resolved

    def folder(self, kind: str) -> Path:
        """Return the folder of this commit in the cache, which may not exist yet."""
        namespace = self.address.repository.replace("/", "--")
        parent = self._library.cached_assets_path("actspan", namespace, kind)
        return Path(parent) / self.commit

    def files(self, names: Iterable[str]) -> dict[str, FileRecord]:
        """Return size and checksum ("" if the hub does not know it) of those files that exist."""
        with name_hub_errors(self.address):
            found = self._api.get_paths_info(
                self.address.repository, list(names), revision=self.commit
            )
        files = (entry for entry in found if isinstance(entry, self._library.hf_api.RepoFile))
        return {
            file.path: FileRecord(sha256=file.lfs.sha256 if file.lfs else "", size=file.size)
            for file in files
        }

    def list_files(self) -> list[str]:
        """Return the names of all files of the repository."""
        with name_hub_errors(self.address):
            names: list[str] = self._api.list_repo_files(
                self.address.repository, revision=self.commit
            )
        return names

    def download(self, name: str, folder: Path) -> Path:
        """Download a file into a folder; call it only after a check of its size."""
        with name_hub_errors(self.address, name):
            path = self._api.hf_hub_download(
                self.address.repository, name, revision=self.commit, local_dir=folder
            )
        return Path(path)

    def download_bundle(self, folder: Path) -> None:
        """Download the bundle of the repository to a folder: all of it, or nothing."""
        with atomic_folder(folder) as partial:
            self._check_sizes({MANIFEST: None}, SETTINGS)
            self.download(MANIFEST, partial)
            try:
                files = Bundle.load(partial).files
            except ActSpanError as error:
                text = str(error).replace(str(partial), str(self.address))
                raise HubError(f"{text} (in the repository, at commit {self.commit})") from error
            self._check_sizes({name: record.size for name, record in files.items()}, WEIGHTS)
            for name, record in files.items():
                self.require_checksum(self.download(name, partial), record.sha256)
            shutil.rmtree(partial / ".cache", ignore_errors=True)  # records of huggingface_hub

    def _check_sizes(self, expected: Mapping[str, int | None], limit: int) -> None:
        """Raise HubError if a file is missing, too large, or not of the expected size, if any."""
        found = self.files(expected) if expected else {}
        for name, size in expected.items():
            if name not in found:
                what = (
                    f"the repository has no {name}, so it contains no bundle of actspan; push one: "
                    f"actspan push BUNDLE {self.address.repository}"
                    if name == MANIFEST
                    else f"incomplete: {name} is missing; {self._repair}"
                )
                raise HubError(f"{self.address}: {what}")
            self.require_size(name, found[name].size, limit)
            if size not in (None, found[name].size):
                what = f"{found[name].size} bytes where {MANIFEST} says {size}"
                raise HubError(f"{self.address}: {name} is damaged: {what}; {self._repair}")

    def require_size(self, name: str, size: int, limit: int) -> None:
        """Raise HubError if a file is too large to be downloaded."""
        if size > limit:
            what = f"{name} has {size:,} bytes; the limit is {limit:,}"
            raise HubError(f"{self.address}: {what}; use another model")

    def require_checksum(self, path: Path, expected: str) -> None:
        """Raise HubError if a file that was downloaded has another SHA-256 than expected."""
        if sha256(path) != expected:
            what = f"{path.name} is damaged: its SHA-256 is not the recorded one"
            raise HubError(f"{self.address}: {what}; run it again; if it stays, {self._repair}")

    @property
    def _repair(self) -> str:
        return f"its owner has to push it again: actspan push BUNDLE {self.address.repository}"


@contextmanager
def name_hub_errors(address: HubAddress, file: str = "") -> Iterator[None]:
    """Convert errors of huggingface_hub to a HubError that names the repository and the remedy."""
    errors: Any = require("huggingface_hub.errors", extra="hub", purpose=f"reading {address}")
    transport: Any = require("httpx2", extra="hub", purpose=f"reading {address}")
    name = f"{address}: {file}: " if file else f"{address}: "
    try:
        yield
    except errors.GatedRepoError as error:
        what = f"needs the permission of its owner: ask on its page, then {_SIGN_IN}"
        raise HubError(f"{name}{what}") from error
    except errors.RepositoryNotFoundError as error:
        what = f"no such repository, or it is private: check its name, or {_SIGN_IN}"
        raise HubError(f"{name}{what}") from error
    except errors.RevisionNotFoundError as error:
        what = "the repository has no such revision; leave it out for the newest, or look at its"
        raise HubError(f"{name}{what} page for branches, tags and commits") from error
    except errors.RemoteEntryNotFoundError as error:
        raise HubError(f"{name}does not exist in the repository") from error
    except errors.HfHubHTTPError as error:
        raise HubError(f"{name}{_refusal(error.response.status_code)}") from error
    except (
        errors.LocalEntryNotFoundError,
        errors.RevisionResolutionError,
        errors.OfflineModeIsEnabled,
        transport.TransportError,
    ) as error:
        raise HubError(f"{name}{_unreachable(error)}") from error
    except ValueError as error:
        raise HubError(f"{name}refused: {' '.join(str(error).split())}") from error
    except OSError as error:  # too few bytes, or a full disk
        reason = str(error).strip().partition("\n")[0]
        raise HubError(f"{name}the transfer failed: {reason}; run it again") from error


def _refusal(status: int) -> str:
    """Return the message about a status of HTTP that has no error of its own."""
    if status in (401, 403):
        return f"the hub refuses access (HTTP {status}): {_SIGN_IN}; its token needs the permission"
    if status == 429:
        return "the hub refuses more requests for now (HTTP 429): wait some minutes"
    return f"the hub fails (HTTP {status}): try again later"


def _unreachable(error: BaseException) -> str:
    """Return the message about a hub that cannot be reached."""
    hub: Any = require("huggingface_hub", extra="hub", purpose="reading a hub")
    if hub.is_offline_mode():
        return (
            "was not downloaded before, and HF_HUB_OFFLINE is set: unset it, or copy the bundle "
            "here and give its folder"
        )
    reason = str(error.__cause__ or error).strip().partition("\n")[0]
    return (
        f"{hub.constants.ENDPOINT} cannot be reached ({reason}): check the network (HF_ENDPOINT "
        "names another hub, HTTPS_PROXY a proxy); HF_HUB_OFFLINE=1 uses what was downloaded before"
    )
