"""Labels from a bundle's own classifier, applied to the features inside each proposal."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from actspan.config.stages import ClassifierConfig
from actspan.core.errors import BundleError, ShapeError
from actspan.core.types import Float32, Proposals
from actspan.data.dataset import Dataset
from actspan.data.detections import Detections
from actspan.model.bundle import Bundle
from actspan.pipeline.labelling.pooling import PARTS, Snippets, pool_features
from actspan.runtime.export import export_network
from actspan.runtime.opening import open_session
from actspan.runtime.session import Session

# A proposal's score already reflects background, so the classifier's share counts half.
BACKGROUND_POWER = 0.5


class ProposalClassifier:
    """A classifier that is ready to run. Several threads may use it at once.

    Examples
    --------
    >>> with ProposalClassifier.open(Bundle.load("bsn/")) as classifier:  # doctest: +SKIP
    ...     detections = classifier.detect(features, proposals)
    """

    def __init__(self, session: Session, config: ClassifierConfig) -> None:
        self.config = config
        self._session = session

    @classmethod
    def open(cls, bundle: Bundle) -> Self:
        """Open a bundle's classifier; export its ONNX file first if it is missing.

        Raises
        ------
        BundleError
            The bundle has none, or it is damaged.
        """
        config = bundle.config.classifier
        if config is None or not bundle.has_classifier:
            raise BundleError(
                f"{bundle.path}: has no classifier of proposals; train one with the bundle "
                "(actspan train --classifier) or into it (docs/detection.md), or take the labels "
                "from a file: --labels-from"
            )
        if "classifier.onnx" not in bundle.files:
            bundle, _ = export_network(bundle, "classifier")
        # The reference backend gives the same labels everywhere, and the network is small.
        session = open_session(bundle.file("classifier.onnx"), backend="onnxruntime")
        return cls(session, config)

    @property
    def channels(self) -> int:
        """Channels that features must have."""
        return self.config.channels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()

    def probabilities(self, source: Snippets, proposals: Proposals) -> Float32:
        """Compute the probabilities of every label, and of background last: (N, L + 1).

        Raises
        ------
        ShapeError
            Features have another number of channels than the classifier.
        """
        pooled = pool_features(source, proposals)
        if pooled.shape[1] != self.config.inputs:
            raise ShapeError(
                f"features have {pooled.shape[1] // PARTS} channels, the classifier expects "
                f"{self.channels}"
            )
        return self._session.run({"pooled": pooled})["output"]

    def detect(self, source: Snippets, proposals: Proposals, *, top: int = 2) -> Detections:
        """Label every proposal; multiply its score by the score of the label.

        Parameters
        ----------
        source : Features or recording
            The video's snippets.
        proposals : Proposals
            N proposals, seconds.
        top : int
            Number of labels per proposal; the best are used.

        Returns
        -------
        Detections
            Best first.
        """
        if not len(proposals):
            return Detections(Proposals.empty(), np.empty(0, np.int64), self.config.labels)
        found = self.probabilities(source, proposals).astype(np.float64)
        labels, foreground = found[:, :-1], 1.0 - found[:, -1:]
        score = labels * np.maximum(foreground, 1e-6) ** (BACKGROUND_POWER - 1)  # (N, L)
        top = min(top, len(self.config.labels))
        best = np.argsort(-score, axis=1, kind="stable")[:, :top]
        row = np.repeat(np.arange(len(proposals)), top)
        fused = proposals.score[row] * score[row, best.ravel()]
        segments = Proposals(proposals.start[row], proposals.end[row], fused)
        return Detections(segments, best.ravel(), self.config.labels).ranked()


@dataclass(frozen=True, slots=True)
class ClassifiedLabels:
    """Labels for a dataset's proposals by a classifier, `top` labels per proposal."""

    dataset: Dataset
    classifier: ProposalClassifier
    top: int = 2

    def fuse(self, video: str, proposals: Proposals) -> Detections:
        """Label one video's proposals (seconds).

        Raises
        ------
        FeatureError
            The video's features cannot be read.
        """
        return self.classifier.detect(self.dataset.open(video), proposals, top=self.top)
