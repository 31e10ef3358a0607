"""Processor time of a video in each part of `propose`: worker, opening, and the driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actspan import Dataset
from actspan.bench import synthetic
from actspan.bench.records import CHANNELS
from actspan.bench.timing import timed
from actspan.core.progress import no_progress
from actspan.core.storage import FolderStorage
from actspan.data.result_writers import result_writer
from actspan.jobs.checkpoint import Checkpoint, Plan
from actspan.jobs.driver import LocalEngine
from actspan.jobs.feature_source import FeatureSource
from actspan.jobs.propose_request import ProposeRequest
from actspan.pipeline.outcomes import Outcome
from benchmarks.data import make_store

VIDEO_BYTES = 2 * synthetic.LENGTH * CHANNELS  # float16


@dataclass(frozen=True)
class Costs:
    """Measured costs: milliseconds of processor time per video."""

    stages: dict[str, float]  # of a worker of one thread, with committing
    opening: float  # of every worker, before its first shard: annotations and ids of all videos
    assembling: float  # of the driver: shards to the result file

    @property
    def computing(self) -> float:
        """Return the seconds of all stages."""
        return sum(self.stages.values())


def measure(folder: Path, videos: int, seed: int) -> Costs:
    """Run a worker's and the driver's parts here, one after the other, on one thread.

    Processor time is used because it does not depend on other processes.
    """
    bundle = synthetic.make_bundle(folder / "bundle", seed)
    path = make_store(folder / "store", videos, seed)
    opening = timed(lambda: Dataset.load(path)).cpu_seconds
    dataset = Dataset.load(path)
    ids = tuple(video.id for video in dataset)
    plan = Plan(inputs={}, keeps="result", videos=ids, shard_size=64, spec=dataset.spec)
    (folder / "shards").mkdir()
    checkpoint = Checkpoint.start(FolderStorage(folder / "shards"), plan)
    request = ProposeRequest(bundle.path, path, folder / "result.json", threads=1)
    source = FeatureSource(request, bundle)
    source.restore(plan, (), no_progress)

    def compute(first: int, last: int) -> None:
        for number, results in engine.run(checkpoint, range(first, last), no_progress):
            checkpoint.commit(number, results)

    def assemble() -> None:
        with result_writer(folder / "result.json") as writer:
            for number in range(len(plan.shards)):
                for result in checkpoint.read(number):
                    if isinstance(result, Outcome) and result.proposals is not None:
                        writer.add(result.id, result.proposals)

    with LocalEngine(request, bundle, source) as engine:
        compute(0, 1)  # kernels are loaded
        engine.clock.drain()
        computing = timed(lambda: compute(1, len(plan.shards))).cpu_seconds
        each = 1e3 * computing / (videos - plan.shard_size)
        shares = engine.clock.shares()
        stages = {str(stage): each * share for stage, share in shares.items()}
    assembling = timed(assemble).cpu_seconds
    return Costs(stages, 1e3 * opening / videos, 1e3 * assembling / videos)
