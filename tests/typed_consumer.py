"""A program of a user: what the documentation shows, for strict type checkers; it is not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import actspan
from actspan import BoundaryScores, Dataset, Features, Proposals, Segment


def five_lines() -> None:
    model = actspan.load("model/")
    found = model.propose("match.mp4", top=5)
    for segment in found:
        print(found.video, segment.start, segment.end, segment.score, segment.label)


def sources(array: NDArray[np.float32], many: list[Path]) -> None:
    with actspan.load(backend="openvino", threads=2) as model:
        one: Proposals = model.propose(array, stride=0.5, min_score=0.3)
        also: Proposals = model.propose(Features(array, 0.5, 1.0, video="a"), detections=True)
        path: Proposals = model.propose(Path("features/a.npy"))
        videos: Iterator[Proposals] = model.propose(many, top=3)
        mixed: Iterator[Proposals] = model.propose([array, Path("b.npy"), "c.mp4"])
        dataset: Iterator[Proposals] = model.propose(Dataset.load("my-videos").subset("validation"))
        print(one, also, path, list(videos), list(mixed), list(dataset))


def values(found: Proposals) -> None:
    first: Segment = found[0]
    best: Proposals = found[:5]
    high: Proposals = found[found.score > 0.5]
    chosen: Proposals = found[[0, 2]]
    ends: list[tuple[float, float]] = [(s.start, s.end) for s in found.best(10)]
    made = Proposals([0.1, 0.4], [0.3, 0.9], [0.8, 0.5], unit="fraction", label=["run", "jump"])
    seconds: NDArray[np.float64] = made.to_seconds(60).start
    text: str = found.to_json()
    print(first, len(best), high, chosen, ends, seconds, text, Proposals.concat([best, high]))


def stages(action: NDArray[np.float32], start: list[float], end: list[float]) -> None:
    scores = BoundaryScores(action, start, end)
    proposals = actspan.generate_proposals(scores)[:1000]
    features: NDArray[np.float32] = actspan.bsp_features(scores, proposals)
    kept = actspan.soft_nms(proposals, actspan.SoftNmsConfig(decay=0.4))
    print(features.shape, kept)


def jobs() -> None:
    dataset = actspan.extract("films/", out="set/", stride="0.25s", on_error="skip")
    bundle = actspan.train(dataset, out="model/", epochs=20, mode="window")
    run = actspan.propose(dataset=dataset.path, model=bundle.path, out="run/", resume=True)
    again = actspan.propose(["a.mp4", Path("b.mp4")], out=Path("other/"), settings={"pgm": {}})
    result = actspan.evaluate(run, ground_truth="set/")
    print(again.info["skipped"], result.auc_percent, result.at(100), result.summary()["AUC"])
    found = actspan.evaluate("run/", ground_truth=dataset, task="detection", protocol="thumos14")
    print(found.average_map, [video.id for video in dataset], run.proposals()["a"][0].end)
    model = actspan.load(bundle)
    print(actspan.evaluate(model.propose(dataset), ground_truth=dataset, tiou=[0.5]).recall)


def refuse(found: Proposals) -> None:
    try:
        actspan.soft_nms(found)
    except actspan.UnitError as error:
        print(error)
    except actspan.ActSpanError:
        raise
