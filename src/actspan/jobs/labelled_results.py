"""Selection and labels of results, in order; the source of labels is opened before work starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from actspan.core.parallel import map_ordered
from actspan.core.problems import Problem
from actspan.jobs.propose_request import Selection
from actspan.jobs.shard_format import Result
from actspan.jobs.source import Source
from actspan.pipeline.classifier import ProposalClassifier, require_classifier
from actspan.pipeline.labels import read_labels


def open_labels(source: Source, stack: ExitStack) -> tuple[Problem, ...]:
    """Open the score file or the classifier of a job; return the problems of a score file.

    An engine that decodes videos has opened the classifier itself, because features are not kept
    after a video.
    """
    request, choice = source.request, source.request.labels
    if choice.labels_from is not None:
        labels, problems = read_labels(
            choice.labels_from, choice.top_labels, source.ids, request.on_error
        )
        source.labeller = labels.label
        return problems
    if not source.is_decoded:
        classifier = stack.enter_context(ProposalClassifier.open(source.bundle))
        source.labeller = classifier.labeller(source.features, choice.top_labels)
    return ()


def select(results: Iterable[Result], selection: Selection) -> Iterator[Result]:
    """Yield results with the proposals to output."""
    for result in results:
        if isinstance(result, Problem) or result.proposals is None:
            yield result
        else:
            yield replace(result, proposals=selection.of(result.proposals))


def add_detections(results: Iterable[Result], source: Source) -> Iterator[Result]:
    """Yield results in order, whole videos with their detections.

    Those of a dataset are labelled on all cores, and a bounded number of them waits. Decoded
    videos are labelled one by one, so that each is delivered before the next is decoded.
    """
    threads = source.request.threads or os.cpu_count() or 1
    ahead = 0 if source.is_decoded else 2 * threads
    pool = ThreadPoolExecutor(threads, thread_name_prefix="label")
    try:
        yield from map_ordered(pool, partial(_with_detections, source), results, ahead=ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _with_detections(source: Source, result: Result) -> Result:
    if isinstance(result, Problem) or result.proposals is None:
        return result
    proposals = result.proposals
    if result.labels is not None:
        names = require_classifier(source.bundle).labels
        detections = result.labels.first(len(proposals)).detections(proposals, names)
    else:
        assert source.labeller is not None
        detections = source.labeller(result.id, proposals)
    return replace(result, detections=detections)
