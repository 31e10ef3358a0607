"""Choice of the source of labels, and checks of what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actspan.core.errors import ConfigError
from actspan.core.problems import Problem, Skipped
from actspan.core.types import Proposals
from actspan.core.wording import counted, listed
from actspan.data.result_writers import result_writer
from actspan.model.bundle import Bundle
from actspan.pipeline.labelling.classifier import ProposalClassifier
from actspan.pipeline.labelling.fusion import Labeller, label_all
from actspan.pipeline.labelling.scores import LabelFile


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """A score file, a bundle's classifier, or neither.

    Attributes
    ----------
    file : Path, optional
    classify : bool
        Use the classifier.
    top : int
        Number of labels per proposal; the best are used.

    Raises
    ------
    ConfigError
        Both are requested, or `top` is not positive.
    """

    file: Path | None = None
    classify: bool = False
    top: int = 2

    def __post_init__(self) -> None:
        if self.classify and self.file is not None:
            raise ConfigError(
                "take labels from a file or from the bundle's classifier, not from both"
            )
        if self.top < 1:
            raise ConfigError(f"top {self.top}: each proposal needs at least one label")

    @property
    def wanted(self) -> bool:
        """True if labels are wanted at all."""
        return self.classify or self.file is not None

    def info(self) -> dict[str, Any] | None:
        """Return the entries for `run.toml`."""
        if not self.wanted:
            return None
        return {"from": str(self.file) if self.file else "classifier", "top": self.top}

    def read(
        self, videos: Iterable[str], on_error: Literal["fail", "skip"]
    ) -> tuple[LabelFile | None, tuple[Problem, ...]]:
        """Return the score file, if one was chosen, and problems such as videos without labels.

        Problems are only notes if proposals are written in any case.
        """
        if self.file is None:
            return None, ()
        labels, videos = LabelFile.read(self.file, top=self.top), list(videos)
        loss = Skipped.VIDEO if on_error == "fail" else Skipped.NOTHING
        remedy = "score it, or leave the video out"
        lacking = [
            Problem(name, str(self.file), "no label scores", remedy, loss)
            for name in labels.missing(videos)
        ]
        others = sorted(labels.videos.keys() - set(videos))
        if others:
            what = f"{counted(len(others), 'video')} without proposals ({listed(others)})"
            lacking.append(self._note(what, "their labels are not used"))
        lacking += [self._note(*note.split(": ", 1)) for note in labels.notes]
        return labels, tuple(lacking)

    def _note(self, what: str, consequence: str) -> Problem:
        return Problem("", str(self.file), what, consequence, Skipped.NOTHING)

    def open_classifier(
        self, bundle: Bundle, *, features: bool = True
    ) -> AbstractContextManager[ProposalClassifier | None]:
        """Open the bundle's classifier, if it was chosen; `features` is False without features.

        Raises
        ------
        ConfigError
            There are no features.
        BundleError
            The bundle has no classifier.
        """
        if not self.classify:
            return nullcontext()
        if not features:
            raise ConfigError(
                "the classifier needs features, and boundary scores come without; label the "
                "result afterwards: actspan label"
            )
        return ProposalClassifier.open(bundle)


def write_labelled(
    results: Iterable[tuple[str, Proposals]], labels: Labeller, path: Path
) -> tuple[int, int]:
    """Label results (seconds), write them, and return the numbers of videos and detections."""
    videos = detections = 0
    with result_writer(path, labelled=True) as writer:
        for video, found in label_all(labels, results):
            writer.add(video, found.segments, found.labels)
            videos += 1
            detections += len(found)
    return videos, detections
