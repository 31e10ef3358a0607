"""Publish a bundle on a hub: its files and a model card, in one commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actspan.core.errors import ActSpanError, require
from actspan.core.limits import SETTINGS
from actspan.core.temporary import temporary_folder
from actspan.model.bundle import Bundle
from actspan.model.hub import Hub, name_hub_errors
from actspan.model.hub_address import HubAddress
from actspan.model.hub_card import is_own_card
from actspan.model.manifest import MANIFEST

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Pushed:
    """A commit that was pushed."""

    address: str  # hf://owner/name@commit
    page: str  # address of the commit for a browser
    files: tuple[str, ...]
    removed: tuple[str, ...]  # files of the bundle that was there before
    keeps_card: bool  # True if the repository has a card that somebody wrote or changed


def push_bundle(
    bundle: Bundle,
    address: HubAddress,
    card: str,
    *,
    private: bool = False,
    replace_card: bool = False,
) -> Pushed:
    """Push a bundle and its card, and remove files of an earlier bundle that it does not have.

    Parameters
    ----------
    address : HubAddress
        Repository, which is made if it does not exist. Its revision is the branch to push to.
    card : str
        README.md, as `model_card` returns it. A card that somebody wrote or changed is kept.
    private : bool
        Make a new repository private.
    replace_card : bool
        Replace such a card, too.

    Raises
    ------
    BundleError
        A file of the bundle is absent or damaged.
    HubError
        The hub cannot be reached, or refuses; nothing was changed, apart from a new empty
        repository.
    MissingExtraError
        huggingface_hub is not installed.
    """
    library: Any = require("huggingface_hub", extra="hub", purpose=f"pushing to {address}")
    paths = {MANIFEST: bundle.path / MANIFEST}
    paths |= {name: bundle.file(name) for name in bundle.files}  # after a check of each
    api = library.HfApi(library_name="actspan")
    with name_hub_errors(address):
        api.create_repo(address.repository, private=private, exist_ok=True)
    hub = Hub(address)
    existing = set(hub.list_files())
    keeps_card = CARD in existing and not replace_card and not is_own_card(_text(hub, CARD))
    removed = sorted((_bundle_files(hub, existing) - paths.keys()) & existing)
    operations = [library.CommitOperationAdd(name, str(path)) for name, path in paths.items()]
    operations += [library.CommitOperationDelete(name) for name in removed]
    if not keeps_card:
        operations.append(library.CommitOperationAdd(CARD, card.encode()))
    with name_hub_errors(address):
        commit = api.create_commit(
            address.repository,
            operations,
            commit_message=f"Bundle of {bundle.source.tool}",
            revision=address.revision,
            parent_commit=hub.commit,  # another push in the meantime is not overwritten
        )
    return Pushed(
        address=f"hf://{address.repository}@{commit.oid}",
        page=str(commit.commit_url),
        files=tuple(paths),
        removed=tuple(removed),
        keeps_card=keeps_card,
    )


def _text(hub: Hub, name: str) -> str:
    """Return a small file of a repository; "" if it is not text."""
    hub.require_size(name, hub.files([name])[name].size, SETTINGS)
    with temporary_folder() as folder:
        return hub.download(name, folder).read_text(encoding="utf-8", errors="replace")


def _bundle_files(hub: Hub, existing: set[str]) -> set[str]:
    """Return the files that the bundle in a repository lists; none if it has no bundle."""
    if MANIFEST not in existing:
        return set()
    with temporary_folder() as folder:
        hub.require_size(MANIFEST, hub.files([MANIFEST])[MANIFEST].size, SETTINGS)
        hub.download(MANIFEST, folder)
        try:
            return set(Bundle.load(folder).files)
        except ActSpanError:  # damaged, or of a later version: its files stay
            return set()
