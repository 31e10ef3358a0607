"""Everything that an answer depends on: checksums of inputs, settings, versions."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from actspan.config.base import to_dict
from actspan.core.files import sha256
from actspan.data.annotations.formats import find_annotations
from actspan.data.layout import SPEC_FILE
from actspan.data.remote import url_of
from actspan.data.store.manifest import MANIFEST
from actspan.jobs.proposing.request import Request, Summary
from actspan.jobs.shards.plan import origin_of
from actspan.model.bundle import Bundle

PACKAGES = ("actspan", "numpy", "numba", "onnxruntime")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def made_from(request: Request, bundle: Bundle) -> dict[str, dict[str, str]]:
    """Return the inputs, by kind, that must be unchanged when a run is resumed."""
    config = msgspec.json.encode(to_dict(bundle.config))
    files = {name: record.sha256 for name, record in bundle.files.items()}
    annotations = find_annotations(request.dataset)
    texts = [request.dataset / SPEC_FILE, request.dataset / MANIFEST]
    settings = {
        "subset": str(request.subset),
        "backend": request.backend,
        "labels": str(request.labels.info()),
    }
    given = {"scores": request.scores, "label scores": request.labels.file}
    return {
        "bundle": files | {"settings": hashlib.sha256(config).hexdigest()},
        "dataset": {path.name: _checksum(path) for path in (annotations, *texts) if path},
        "settings": settings | {name: _checksum(path) for name, path in given.items() if path},
        "versions": versions(),
    }


def _place(path: Path) -> str:
    """Return the URL or the absolute path."""
    return str(url_of(path) or path.resolve())


def _checksum(path: Path) -> str:
    """Return the checksum of a file, or of the files directly in a folder."""
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        return "absent"
    listed = [(f.name, sha256(f)) for f in sorted(path.iterdir()) if f.is_file()]
    return hashlib.sha256(msgspec.json.encode(listed)).hexdigest()


def origin(request: Request, bundle: Bundle) -> str:
    """Return the SHA-256 of `made_from`; runs with the same origin have the same answers."""
    return origin_of(made_from(request, bundle), request.keeps)


def run_info(request: Request, bundle: Bundle, summary: Summary) -> dict[str, Any]:
    """Return the content of `run.toml`."""
    annotations = find_annotations(request.dataset)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "videos": summary.videos,
        "proposals": summary.proposals,
        "detections": summary.detections,
        "origin": origin(request, bundle),
        "bundle": {
            "path": _place(request.model),
            "files": {name: record.sha256 for name, record in bundle.files.items()},
            "set_apart": list(bundle.set_apart) or None,
        },
        "dataset": {
            "path": _place(request.dataset),
            "subset": request.subset,
            "annotations": None if annotations is None else annotations.name,
            "annotations_sha256": None if annotations is None else sha256(annotations),
            "scores": None if request.scores is None else str(request.scores),
            "assumptions": list(summary.notes),
        },
        "backend": request.backend,
        "versions": versions(),
        "pipeline": to_dict(bundle.config),
        "labels": request.labels.info(),
        "timing": {
            "seconds": round(summary.seconds, 3),
            "videos_per_second": round(summary.rate, 1),
            "stages": {stage: round(share, 4) for stage, share in summary.stages.items()},
        },
        "skipped": [problem.record for problem in summary.problems if problem.is_error],
    }
