"""Model cards: the README.md of a repository with a bundle, and its metadata for the hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from actspan.config.base import NOT_JSON, Config, dump_toml
from actspan.core.errors import ConfigError, DataError, require
from actspan.core.files import name_disk_errors, read_bytes
from actspan.core.limits import SETTINGS
from actspan.core.wording import counted, markdown_table, quoted, suggestion
from actspan.model.bundle import Bundle
from actspan.model.nets import video_net

# The identifiers that huggingface.co accepts; any other licence is called `other` there.
_LICENSE_NAMES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other
pddl postgresql unknown unlicense wtfpl zlib"""
_LICENSES = frozenset(_LICENSE_NAMES.split())
_RECALL = ("AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC")
_MARK = "<!-- Written by actspan push; checksum {} -->"
_MARKED = re.compile(re.escape(_MARK).replace(r"\{\}", "([0-9a-f]{64})") + r"\s*\Z")
_ABOUT_RECALL = """
AR@N is the average recall of the N best segments per video at tIoU 0.5 to 0.95, and AUC the area
below its curve up to N = 100."""


class Figures(Config, frozen=True, kw_only=True):
    """Figures of a bundle in percent, and the command that measured them."""

    command: str
    note: str = ""  # what the command does not say
    videos: int
    instances: int
    subset: str = "validation"
    values: dict[str, dict[str, float]]  # of the model and what it is compared with, by name


class CardRequest(Config, frozen=True):
    """Content of a model card besides that of its bundle.

    `license` is an identifier of the hub (apache-2.0, cc-by-4.0, other), `data` a sentence about
    the videos that the model was trained on.
    """

    license: str
    data: str = ""
    figures: Figures | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.license not in _LICENSES:
            raise ConfigError(
                f"license: the hub knows no licence {self.license!r}"
                f"{suggestion(self.license, _LICENSES)}; write apache-2.0, mit, cc-by-4.0, "
                "cc-by-nc-4.0, ..., or other"
            )


def read_figures(path: Path, repository: str) -> Figures:
    """Read the output of `actspan evaluate --json`; raise DataError if the file is not that."""
    with name_disk_errors(path, "cannot be read"):
        content = read_bytes(path, SETTINGS)
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        return Figures(
            command=f"actspan propose --model hf://{repository} --dataset DATASET --out run/ && "
            f"actspan evaluate run/ --ground-truth DATASET --subset {document['subset']}",
            videos=document["videos"],
            instances=document["instances"],
            subset=document["subset"],
            values={"model": {k: v for k, v in document.items() if isinstance(v, float)}},
        )
    except (*NOT_JSON, KeyError, ConfigError) as error:
        what = "not the output of actspan evaluate --json"
        raise DataError(f"{path}: {what}: write it again, or leave --figures out") from error


def model_card(bundle: Bundle, repository: str, request: CardRequest) -> str:
    """Return the card of a bundle in a repository, owner/name, as Markdown with metadata.

    Raises MissingExtraError if huggingface_hub is not installed.
    """
    figures = request.figures or _training_figures(bundle)
    parts = [
        f"# {repository.partition('/')[2]}",
        _introduction(bundle),
        _usage(bundle, repository),
        _data(bundle, request.data),
        _figures(figures),
        _features(bundle),
        _settings(bundle),
        _files(bundle),
        f"## Licence\n\n`{request.license}`, for the weights. ActSpan itself is Apache-2.0.",
    ]
    text = f"{_metadata(repository, request, figures)}\n" + "\n\n".join(parts) + "\n"
    return f"{text}\n{_MARK.format(_checksum(text))}\n"


def is_own_card(text: str) -> bool:
    """Return whether a card was written by `model_card` and not changed since."""
    text = text.replace("\r\n", "\n")
    mark = _MARKED.search(text)
    return mark is not None and mark[1] == _checksum(text[: mark.start() - 1])


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_KINDS = {"tem": "boundary-sensitive network (BSN)", "bmn": "boundary-matching network (BMN)"}
_INTRODUCTION = """A {} for ActSpan. It finds *when* actions happen in
a long, untrimmed video, as scored segments. *Which* action it is, only a classifier says, if there
is one among the files below."""
_LABEL_FREE = """Settings of ActSpan without networks: segments are where a stream changes, not what
happens."""


def _introduction(bundle: Bundle) -> str:
    if not bundle.nets:
        return _LABEL_FREE
    return _INTRODUCTION.format(_KINDS[video_net(bundle.config)])


def _metadata(repository: str, request: CardRequest, figures: Figures | None) -> str:
    """Return the YAML block of the hub."""
    hub = require("huggingface_hub", extra="hub", purpose="writing a model card")
    results = []
    for metric, value in ({} if figures is None else figures.values.get("model", {})).items():
        results.append(
            hub.EvalResult(
                task_type="temporal-action-proposals",
                dataset_type=figures.subset if figures else "",
                dataset_name="videos of the model card",
                metric_type=metric.lower(),
                metric_name=metric,
                metric_value=round(value, 2),
            )
        )
    data = hub.ModelCardData(
        license=request.license,
        library_name="actspan",
        tags=["actspan", "temporal-action-localization", "temporal-action-proposals", "video"],
        model_name=repository.partition("/")[2] if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _usage(bundle: Bundle, repository: str) -> str:
    """Return the section with five lines that run."""
    address = f"hf://{repository}"
    takes_streams = bundle.features.extraction is not None and bundle.takes_features
    source = '"match.mp4", top=5' if takes_streams else 'actspan.Dataset.load("my-videos/")'
    loop = (
        [f"for segment in model.propose({source}):", "    print(segment)"]
        if takes_streams
        else [f"for found in model.propose({source}):", "    print(found.video, found[0])"]
    )
    words = "match.mp4 --top 5" if takes_streams else "--dataset my-videos/ --out run/"
    extra = "" if not takes_streams else ", and the extra `video` for videos"
    return "\n".join(
        [
            "## Use",
            "",
            f"Install ActSpan with the extra `hub`{extra}. Then, in Python:",
            "",
            "```python",
            "import actspan",
            "",
            f'model = actspan.load("{address}")',
            *loop,
            "```",
            "",
            "or on the command line:",
            "",
            "```sh",
            f"actspan propose --model {address} {words}",
            "```",
        ]
    )


def _data(bundle: Bundle, about: str) -> str:
    """Return the section about the data of the training, or the checkpoints."""
    source, training = bundle.source, bundle.training or {}
    facts = [about] if about else []
    facts += [source.note[:1].upper() + source.note[1:] + "."] if source.note else []
    facts += [
        f"{counted(part.get('videos', 0), f'{name} video')}: {counted(part['samples'], 'sample')}, "
        f"SHA-256 `{part['sha256']}`."
        for name, part in _tables(training.get("data")).items()
        if {"samples", "sha256"} <= part.keys()
    ]
    facts += [f"From `{file.name}`, SHA-256 `{file.sha256}`." for file in source.files]
    if "seed" in training:
        facts.append(f"Preset `{training.get('preset', 'custom')}`, seed {training['seed']}.")
    versions = [f"{name} {version}" for name, version in (training.get("versions") or {}).items()]
    facts += [f"Made with {', '.join(versions) or source.tool}."]
    return "\n".join(["## Data", "", *(f"- {fact}" for fact in facts)])


def _training_figures(bundle: Bundle) -> Figures | None:
    """Return the figures that the training measured, or None."""
    record = bundle.training or {}
    evaluation = record.get("evaluation")
    if not isinstance(evaluation, Mapping) or not _tables(evaluation.get("figures")):
        return None
    note = bundle.source.note.removeprefix("trained on ") or "DATASET"
    preset = record.get("preset", "custom")
    words = f"actspan train --dataset {quoted(note)} --out MODEL --seed {record.get('seed', 0)}"
    is_custom = preset == "custom"
    return Figures(
        command=words if is_custom else f"{words} --preset {preset}",
        note="with the settings `[training.config]` of `model.toml`" if is_custom else "",
        videos=int(evaluation.get("videos", 0)),
        instances=int(evaluation.get("instances", 0)),
        values=_tables(evaluation["figures"]),
    )


def _tables(value: Any) -> dict[str, dict[str, Any]]:
    """Return the tables of a record that may have been written by hand."""
    entries = value.items() if isinstance(value, Mapping) else ()
    return {str(name): dict(entry) for name, entry in entries if isinstance(entry, Mapping)}


def _figures(figures: Figures | None) -> str:
    if figures is None:
        return "## Figures\n\nThe model was not evaluated: `actspan evaluate` measures it."
    names = [name for name in _RECALL if any(name in row for row in figures.values.values())]
    others = {name for row in figures.values.values() for name in row} - {*names}
    names += sorted(others)
    rows = [
        [name, *(f"{row[n]:.2f}" if n in row else "-" for n in names)]
        for name, row in figures.values.items()
    ]
    lines = [
        "## Figures",
        "",
        *markdown_table(["", *names], rows),
        "",
        f"In percent, measured on {counted(figures.videos, f'{figures.subset} video')} with "
        f"{counted(figures.instances, 'instance')} by `{figures.command}`"
        f"{', ' * bool(figures.note)}{figures.note}.",
    ]
    return "\n".join(lines) + (_ABOUT_RECALL if "AUC" in names else "")


def _features(bundle: Bundle) -> str:
    """Return the section about the grid of the features, and the backbone."""
    return "\n".join(
        [
            "## Features",
            "",
            "The features that the model expects, with their grid and backbone:",
            "",
            *_toml({"features": bundle.features}),
        ]
    )


def _settings(bundle: Bundle) -> str:
    return "\n".join(["## Settings", "", *_toml({"pipeline": bundle.config})])


def _toml(tables: Mapping[str, Any]) -> list[str]:
    return ["```toml", dump_toml(tables).strip(), "```"]


def _files(bundle: Bundle) -> str:
    rows = [[f"`{n}`", f"{r.size:,}", f"`{r.sha256}`"] for n, r in bundle.files.items()]
    return "\n".join(["## Files", "", *markdown_table(["file", "bytes", "SHA-256"], rows)])
