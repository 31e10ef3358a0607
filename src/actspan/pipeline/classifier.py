"""Labels by a bundle's own classifier, from the features inside each proposal.

A kernel pools the features of the snippets of a proposal; it has a plain NumPy version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from actspan.config.stages import ClassifierConfig
from actspan.core.errors import BundleError, ShapeError
from actspan.core.kernels import kernel
from actspan.core.segments import Proposals, require_unit
from actspan.core.types import Features, Float32, Float64
from actspan.data.dataset import Recording
from actspan.data.detections import Detections, ProposalLabels
from actspan.model.bundle import Bundle
from actspan.pipeline.labels import Labeller
from actspan.runtime.export import export_network
from actspan.runtime.opening import open_session
from actspan.runtime.session import Session

CONTEXT = 0.25  # length of each context, as a share of the proposal's length
# A proposal's score already reflects background, so the classifier's share counts a quarter.
BACKGROUND_POWER = 0.25
_ROWS = 4096  # snippets read at a time, so that a recording of a day fits into memory

Int64 = NDArray[np.int64]
Snippets = Features | Recording  # that can be read in parts


class SnippetRanges(NamedTuple):
    """Snippet ranges of proposals, (N,) int64 each: inside first <= i < last, context around it."""

    before: Int64
    first: Int64
    last: Int64
    after: Int64


def pool_features(source: Snippets, proposals: Proposals, parts: int = 1) -> Float32:
    """Compute mean features inside, shortly before and shortly after each proposal.

    A snippet is inside if its centre is; a proposal between two centres gets the nearest
    snippet. The inside is split into equal parts; a part without a snippet gets the next one.
    Beyond the ends of the recording, the context is the outermost snippet.

    Parameters
    ----------
    source : Features or recording
        n snippets of C channels.
    proposals : Proposals
        N proposals, seconds.
    parts : int
        Number of parts of the inside.

    Returns
    -------
    (N, (parts + 2) C) float32
        Means of the parts, then before and after.

    Examples
    --------
    >>> steps = Features(np.arange(4.0)[:, None], stride=1.0, length=1.0)
    >>> pool_features(steps, Proposals([1.0], [3.0], [0.9], unit="seconds"))
    array([[1.5, 0. , 3. ]], dtype=float32)
    """
    ranges = _ranges(source, proposals)
    channels = source.rows(0, 1).values.shape[1]
    out = np.empty((len(proposals), (parts + 2) * channels), dtype=np.float32)
    for chosen, low, high in _blocks(ranges):
        values = source.rows(low, high).values
        before, first, last, after = (bound[chosen] - low for bound in ranges)
        _pool(values, before, first, last, after, chosen, out)
    return out


def pool_features_plain(source: Snippets, proposals: Proposals, parts: int = 1) -> Float32:
    """Compute `pool_features` in plain NumPy."""
    values = source.rows(0, len(source)).values
    rows = []
    for before, first, last, after in zip(*_ranges(source, proposals), strict=True):
        edges = first + (last - first) * np.arange(parts + 1) // parts
        spans = [*pairwise(edges), (before, first), (last, after)]
        nearest = [*edges[:-1], first, last - 1]
        means = [
            values[low:high].mean(axis=0) if low < high else values[instead]
            for (low, high), instead in zip(spans, nearest, strict=True)
        ]
        rows.append(np.concatenate(means))
    return np.array(rows, np.float32).reshape(-1, (parts + 2) * values.shape[1])


def _ranges(source: Snippets, proposals: Proposals) -> SnippetRanges:
    """Return the snippets inside and around proposals, whose seconds are those of results."""
    require_unit(proposals, "seconds", "pool_features")
    snippets = len(source)
    seconds = source.rows(0, 1).seconds * snippets
    start: Float64 = proposals.start / seconds
    end: Float64 = proposals.end / seconds
    first = np.ceil(start * snippets - 0.5)
    last = np.floor(end * snippets - 0.5) + 1
    middle = np.floor((start + end) / 2 * snippets)
    first, last = (np.where(last > first, x, y) for x, y in ((first, middle), (last, middle + 1)))
    first = np.clip(first, 0, snippets - 1).astype(np.int64)
    last = np.clip(last, first + 1, snippets).astype(np.int64)
    context = np.maximum(np.rint(CONTEXT * (last - first)), 1).astype(np.int64)
    before, after = np.maximum(first - context, 0), np.minimum(last + context, snippets)
    return SnippetRanges(before, first, last, after)


def _blocks(ranges: SnippetRanges) -> Iterator[tuple[Int64, int, int]]:
    """Yield groups of nearby proposals, and the range of snippets that each group needs."""
    order = np.argsort(ranges.before, kind="stable")
    first = 0
    while first < len(order):
        low = int(ranges.before[order[first]])
        high = np.maximum.accumulate(ranges.after[order[first:]])
        count = max(int(np.searchsorted(high, low + _ROWS, "right")), 1)
        yield order[first : first + count], low, int(high[count - 1])
        first += count


@kernel
def _pool(
    values: Float32,
    before: Int64,
    first: Int64,
    last: Int64,
    after: Int64,
    rows: Int64,
    out: Float32,
) -> None:
    channels = values.shape[1]
    for k in range(len(rows)):
        row = out[rows[k]]
        parts = len(row) // channels - 2
        for part in range(parts):
            low = first[k] + (last[k] - first[k]) * part // parts
            high = first[k] + (last[k] - first[k]) * (part + 1) // parts
            _mean(values, low, high, low, row[part * channels : (part + 1) * channels])
        around = row[parts * channels :]
        _mean(values, before[k], first[k], first[k], around[:channels])
        _mean(values, last[k], after[k], last[k] - 1, around[channels:])


@kernel
def _mean(values: Float32, first: int, last: int, instead: int, out: Float32) -> None:
    """Write the mean of the snippets first <= i < last, or snippet `instead` if there are none."""
    if first == last:
        out[:] = values[instead]
        return
    out[:] = 0.0
    for i in range(first, last):
        for c in range(len(out)):
            out[c] += values[i, c]
    share = np.float32(1.0 / (last - first))
    for c in range(len(out)):
        out[c] *= share


def require_classifier(bundle: Bundle) -> ClassifierConfig:
    """Return the settings of a bundle's classifier; raise BundleError if it has none."""
    config = bundle.config.classifier
    if config is not None and bundle.has_classifier:
        return config
    if bundle.config.label_free is not None:
        raise BundleError(
            "labels need a model with a classifier, and label-free proposals have no model: train "
            "one (actspan train --classifier) and give it (--model), or take the labels from a "
            "file: --labels-from"
        )
    raise BundleError(
        f"{bundle.path}: has no classifier of proposals; train one with the bundle (actspan train "
        "--classifier) or into it (docs/how-to/detection.md), or take the labels from a file: "
        "--labels-from"
    )


def with_classifier_graph(bundle: Bundle) -> Bundle:
    """Return a bundle with the ONNX file of its classifier; export it if it is missing."""
    if "classifier.onnx" in bundle.files:
        return bundle
    return export_network(bundle, "classifier")[0]


class ProposalClassifier(AbstractContextManager["ProposalClassifier"]):
    """A classifier that is ready to run. Several threads may use it at once.

    Examples
    --------
    >>> with ProposalClassifier.open(Bundle.load("bsn/")) as classifier:  # doctest: +SKIP
    ...     detections = classifier.detect(features, proposals)
    """

    def __init__(self, session: Session, config: ClassifierConfig) -> None:
        self.config, self._session = config, session

    @classmethod
    def open(cls, bundle: Bundle) -> Self:
        """Open a bundle's classifier; export its ONNX file first if it is missing.

        Raises
        ------
        BundleError
            The bundle has none, or it is damaged.
        """
        config, bundle = require_classifier(bundle), with_classifier_graph(bundle)
        # The reference backend gives the same labels everywhere, and the network is small.
        session = open_session(bundle.file("classifier.onnx"), backend="onnxruntime")
        return cls(session, config)

    def close(self) -> None:
        """Free the network."""
        self._session.close()

    def __exit__(self, *details: object) -> None:
        self.close()

    def detect(self, source: Snippets, proposals: Proposals, *, top: int = 2) -> Detections:
        """Give every proposal (seconds) its `top` best labels, one detection each, best first.

        The score of a detection is that of the proposal times that of the label. Raises ShapeError
        if features have another number of channels than the classifier.
        """
        labels = self.best_labels(source, proposals, top=top)
        return labels.detections(proposals, self.config.labels)

    def best_labels(self, source: Snippets, proposals: Proposals, *, top: int) -> ProposalLabels:
        """Return the `top` best labels of every proposal (seconds); raise as `detect`."""
        top = min(top, len(self.config.labels))
        if not len(proposals):
            return ProposalLabels(np.empty((0, top), np.int64), np.empty((0, top)))
        channels = source.rows(0, 1).values.shape[1]
        if channels != self.config.channels:
            raise ShapeError(
                f"features have {channels} channels, the classifier expects {self.config.channels}"
            )
        pooled = pool_features(source, proposals, self.config.parts)
        # Probabilities of every label, and of background last: (N, L + 1).
        probabilities = self._session.run({"pooled": pooled})["output"].astype(np.float64)
        labels, foreground = probabilities[:, :-1], 1.0 - probabilities[:, -1:]
        score = labels * np.maximum(foreground, 1e-6) ** (BACKGROUND_POWER - 1)  # (N, L)
        best = np.argsort(-score, axis=1, kind="stable")[:, :top]
        return ProposalLabels(best, np.take_along_axis(score, best, axis=1))

    def labeller(self, open_features: Callable[[str], Snippets], top: int) -> Labeller:
        """Return the function that gives each proposal of a video its `top` best labels.

        `open_features` opens the features of a video by its id.
        """

        def label(video: str, proposals: Proposals) -> Detections:
            return self.detect(open_features(video), proposals, top=top)

        return label
