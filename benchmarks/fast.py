"""Fast modes: speed of the whole pipeline in bf16 and int8 beside float32, and what they change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path

import click

from actspan import Bundle, Dataset, Features, Pipeline
from actspan.cli.console import print_notes
from actspan.deploy.accuracy_report import answer_table
from actspan.deploy.compilation import compile_plan, find_compiler, prepare_plan
from actspan.deploy.deploy_requests import CompileRequest
from actspan.deploy.verification import verify_bundle
from actspan.pipeline.outcomes import VideoInput
from actspan.runtime.precision import NetworkPrecision, backend_for
from benchmarks.harness import benchmark, median_runs, print_table

PRECISIONS: tuple[NetworkPrecision, ...] = ("fp32", "bf16", "int8")
TARGETS = {"bf16": 1.4, "int8": 2.0}


def with_int8(source: Path, dataset: Path, folder: Path) -> tuple[Bundle, list[str]]:
    """Return a copy of a bundle with int8 files for a dataset, and the notes of the compiler."""
    shutil.copytree(source, folder)
    request = CompileRequest("openvino", precision="int8", calibrate=dataset)
    compiler = find_compiler(request)
    bundle, done = compile_plan(prepare_plan(Bundle.load(folder), request, compiler), compiler)
    return bundle, [note for result in done for note in result.notes]


def loaded(dataset: Dataset, count: int) -> list[VideoInput]:
    """Return `count` videos whose features are in memory; those of the dataset repeat."""
    features = {video.id: dataset.read(video.id) for video in dataset}

    def of(video: str) -> Features:
        return features[video]

    names = islice(cycle(features), count)
    return [VideoInput(f"{name}#{i}", partial(of, name)) for i, name in enumerate(names)]


def runs_of(
    bundle: Bundle, dataset: Dataset, videos: list[VideoInput], threads: int, stack: ExitStack
) -> dict[str, Callable[[], object]]:
    """Return a run over the videos for each precision."""

    def run(pipeline: Pipeline) -> None:
        for _ in pipeline.run(videos):
            pass

    return {
        precision: partial(
            run,
            stack.enter_context(
                Pipeline.load(bundle, precision=precision, threads=threads, edge=dataset.edge)
            ),
        )
        for precision in PRECISIONS
    }


@benchmark(rounds=9)
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--videos", "count", default=240, help="Videos per round.")
@click.option("--threads", default=2, help="Workers of the pipeline.")
@click.option("--subset", default="validation", help="Videos to propose.")
def main(
    folder: Path, model: Path, data: Path, count: int, threads: int, subset: str, rounds: int
) -> None:
    """Compare the precisions of MODEL on DATA, a dataset of features.

    A round runs the whole pipeline once in each precision, from features in memory to proposals;
    processor time is of all threads, and does not depend on other programs as much as wall time.

    \b
    Example:
      python -m benchmarks.fast model/ my-videos/
    """
    bundle, notes = with_int8(model, data, folder / "bundle")
    backends = [backend_for(precision) for precision in PRECISIONS[1:]]
    verification = verify_bundle(bundle, dataset=data, subset=subset, backends=backends)
    print_table(*answer_table(verification))
    click.echo()
    print_notes(notes)
    dataset = Dataset.load(data).subset(subset)
    with ExitStack() as stack:
        found = runs_of(bundle, dataset, loaded(dataset, count), threads, stack)
        runs = median_runs(found, rounds)
    exact = runs["fp32"]
    lines = []
    for name, run in runs.items():
        times = (run.cpu_seconds, run.seconds)
        ratios = (exact.cpu_seconds / run.cpu_seconds, exact.seconds / run.seconds)
        figures = chain.from_iterable(zip(times, ratios, strict=True))
        cells = [
            f"{1e3 * t / count:.3f} ms" if i % 2 == 0 else f"{t:.2f}x"
            for i, t in enumerate(figures)
        ]
        lines.append([name, *cells, f">= {TARGETS[name]:g}x" if name in TARGETS else ""])
    print_table(("precision", "processor time", "ratio", "wall time", "ratio", "target"), lines)


if __name__ == "__main__":
    main()
