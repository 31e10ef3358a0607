"""Source of a job from the features of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from actspan.config.base import OnError
from actspan.core.errors import BundleError
from actspan.core.files import sha256
from actspan.core.problems import Problem
from actspan.core.progress import Progress, no_progress
from actspan.core.types import Features
from actspan.core.wording import quoted
from actspan.data.annotations.formats import find_annotations
from actspan.data.dataset import Dataset, Recording, url_of
from actspan.data.names import VIDEOS
from actspan.data.store_manifest import MANIFEST
from actspan.data.timebase import SPEC_FILE
from actspan.jobs.checkpoint import Plan, digest
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.source import Source, checksum
from actspan.model.bundle import Bundle
from actspan.pipeline.bsn_steps import NEEDS_CURVES
from actspan.pipeline.inputs import check_features
from actspan.pipeline.outcomes import Piece, VideoInput
from actspan.pipeline.steps import feature_inputs, pieces_of

# A shard takes some tenths of a second, but one recording may last a day.
_SHARD_SIZE = {"rescale": 256, "window": 8}


class FeatureSource(Source):
    """Features of a dataset, one file per video or a packed store."""

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        if bundle.config.label_free is not None:
            if request.scores is not None:
                raise BundleError("boundary scores need a model with a PEM: give --model")
        elif request.scores is not None and bundle.config.bmn is not None:
            raise BundleError(f"{bundle.path}: BMN takes features, not boundary scores")
        elif request.scores is not None and bundle.config.curves:
            raise BundleError(f"{bundle.path}: {NEEDS_CURVES}, without --scores")
        elif request.scores is None and not bundle.takes_features:
            raise BundleError(
                f"{bundle.path}: contains no TEM, which features need; add one: actspan convert "
                f"TEM --out {quoted(bundle.path)}, or give boundary scores that were computed "
                "elsewhere: --scores"
            )
        if request.scores is not None and self.config.fusion.label_free:
            raise BundleError(
                "this model uses label-free proposals, which boundary scores do not give; leave "
                "them out: --set fusion.label_free=0"
            )
        assert request.dataset is not None
        self.folder = folder = request.dataset
        self.shard_size = _SHARD_SIZE[bundle.config.mode]
        dataset = Dataset.load(folder)
        dataset.require_fit(self.config)
        if request.subset is not None:
            dataset = dataset.subset(request.subset, bundle.set_apart)
        self.dataset, self.ids, self.edge = dataset, dataset.videos.ids, dataset.edge
        self._annotations = annotations = find_annotations(folder)
        if dataset.packing is None:
            self.files = dataset.entries
        files = [folder / SPEC_FILE, folder / MANIFEST]
        self.protected = (folder / "features", folder / VIDEOS)
        if annotations is not None:
            files.insert(0, annotations)
            self.protected = (*self.protected, annotations)
        self.checksums = {path.name: checksum(path) for path in files}
        self.checksums["videos"] = digest(self.ids)

    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Read all features, and keep the videos without problems; see `Source.check`."""
        dataset = replace(self.dataset, problems=(*self.dataset.problems, *problems))
        checked = check_features(dataset, self.bundle, self.request.on_error, progress)
        self.dataset = checked
        return self.plan(
            checked.videos.ids, checked.problems, notes=checked.notes, spec=checked.spec
        )

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the spec from a plan; check the features that are still needed."""
        self.dataset = replace(
            self.dataset, spec=plan.spec, problems=plan.problems, notes=plan.notes
        )
        needed = set(missing)
        if needed and self.request.on_error == "fail":
            left = [video for video in self.dataset if video.id in needed]
            check_features(self.dataset.select(left), self.bundle, "fail", progress)

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Yield the pieces of videos; workers read them."""
        return pieces_of(feature_inputs(self.dataset, videos, self.config), self.config)

    def features(self, video: str) -> Features | Recording:
        """Return the features of any video of the dataset."""
        return self.dataset.open(video)

    def record(self) -> dict[str, Any]:
        """Return where the dataset is, and its annotations."""
        folder, annotations, scores = self.dataset.path, self._annotations, self.request.scores
        return {
            "path": str(url_of(folder) or folder.resolve()),
            "subset": self.request.subset,
            "annotations": None if annotations is None else annotations.name,
            "annotations_sha256": None if annotations is None else sha256(annotations),
            "scores": None if scores is None else str(scores),
        }

    def file(self, video: str) -> str:
        """Return the location of a video's features."""
        return str(self.dataset.entries.get(video, self.dataset.path))


def inputs_from_features(
    dataset: Dataset, bundle: Bundle, on_error: OnError, progress: Progress = no_progress
) -> tuple[Dataset, Iterable[VideoInput]]:
    """Check like `check_features`; return the dataset without bad videos, and its jobs."""
    dataset = check_features(dataset, bundle, on_error, progress)
    return dataset, feature_inputs(dataset, dataset.videos.ids, bundle.config)
