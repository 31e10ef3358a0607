"""`actspan push` and `pull`: bundles on a hub."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

from actspan.cli.console import print_json, print_notes, print_text, say
from actspan.cli.help import Text
from actspan.cli.options import command, refuse_options
from actspan.config.base import Existing, ExistingFile, OutputFile, OutputFolder, doc
from actspan.core.errors import require
from actspan.core.wording import counted, quoted


@command(
    license=doc(
        "Licence of the weights, by its name on the hub: apache-2.0, cc-by-4.0, other.", "NAME"
    ),
    data=doc("A sentence for the card about the videos that the model was trained on.", "TEXT"),
    figures="Output of actspan evaluate --json for the card. [default: the figures of the "
    "training]",
    private="Make a new repository private.",
    card="Write the card to this file to look at it, and push nothing.",
    force="Replace a card that somebody wrote or changed.",
)
def push(
    bundle: Existing,
    repository: Annotated[str, Text("OWNER/NAME")],
    *,
    license: str,  # noqa: A002
    data: str = "",
    figures: ExistingFile | None = None,
    private: bool = False,
    card: OutputFile | None = None,
    force: bool = False,
    json_: bool = False,
) -> None:
    """Push a BUNDLE to OWNER/NAME on a hub, with a model card.

    The hub is huggingface.co, or the one that HF_ENDPOINT names. Sign in before: hf auth login, or
    HF_TOKEN. The repository is made if it does not exist. The card (README.md) says which data the
    model was trained on, its figures with their command, the licence, the grid of the features, the
    backbone and all settings. OWNER/NAME@BRANCH pushes to a branch.

    \b
    Example:
      actspan push my-model/ me/my-model --license apache-2.0
      actspan push my-model/ me/my-model --license cc-by-4.0 --card README.md
      actspan evaluate run/ --ground-truth my-videos/ --json > figures.json
      actspan push my-model/ me/my-model --license mit --private \\
          --figures figures.json
    """
    from actspan.model.bundle import Bundle
    from actspan.model.hub_address import HubAddress
    from actspan.model.hub_card import CardRequest, model_card, read_figures
    from actspan.model.hub_push import push_bundle

    loaded, address = Bundle.load(bundle), HubAddress.parse(repository)
    measured = None if figures is None else read_figures(figures, address.repository)
    request = CardRequest(license=license, data=data, figures=measured)
    text = model_card(loaded, address.repository, request)
    if card is not None:
        from actspan.core.files import atomic_file

        with atomic_file(card) as stream:
            stream.write(text.encode())
        say(f"card: {card}; nothing was pushed")
        return
    _show_progress_in_terminals()
    pushed = push_bundle(loaded, address, text, private=private, replace_card=force)
    if pushed.keeps_card:
        print_notes(["README.md of the repository is kept: somebody wrote it; --force replaces it"])
    if json_:
        print_json(asdict(pushed))
        return
    print_text(f"pushed: {counted(len(pushed.files), 'file')} to {pushed.address}")
    print_text(f"page:   {pushed.page}")
    print_text(f"next:   actspan propose --model {pushed.address} --dataset DIR --out run/")


@command(
    out="Bundle folder to write. [default: the cache, which --model hf://OWNER/NAME uses]",
    force="Replace an existing bundle in --out.",
)
def pull(
    repository: Annotated[str, Text("OWNER/NAME[@REVISION]")],
    *,
    out: OutputFolder | None = None,
    force: bool = False,
    json_: bool = False,
) -> None:
    """Download a bundle from OWNER/NAME on a hub, and compare every file with its checksum.

    REVISION is a branch, a tag or a commit. A whole commit is the same model for ever, and needs no
    network once it is here. Nothing in the repository is run or unpickled, and sizes are checked
    before the download.

    \b
    Example:
      actspan pull me/my-model --out my-model/
      actspan propose --model hf://me/my-model@v1 match.mp4
    """
    from actspan.model.hub import local_bundle, pull_bundle
    from actspan.model.hub_address import HubAddress

    if out is None:
        refuse_options(["force"], "without --out")
    name = HubAddress.parse(repository).repository
    _show_progress_in_terminals()
    if out is None:
        path = local_bundle(repository)
        model = f"hf://{name}@{path.name}"
    else:
        path = pull_bundle(repository, out, overwrite=force).path
        model = quoted(path)
    if json_:
        print_json({"bundle": path})
        return
    print_text(f"bundle: {path}")
    print_text(f"next:   actspan propose --model {model} --dataset DIR --out run/")


def _show_progress_in_terminals() -> None:
    """Turn off the progress bars of huggingface_hub unless a person sees them."""
    if not sys.stderr.isatty():
        hub = require("huggingface_hub.utils", extra="hub", purpose="using a hub")
        hub.disable_progress_bars()
