"""Accuracy of models that are trained and run as a user would do it; percent.

preset      AR@AN of a preset: train on the training part, evaluate on the validation part
sets        the same on several sets, as one table; or average mAP with the small classifier
videos      from videos to AR@AN: extract, train, propose from the video files, evaluate

Figures are printed per seed, then mean and sample standard deviation. Before AR@AN come guesses
that ignore the video, which any model has to beat: 100 segments per video drawn uniformly; a grid
of plain windows (the whole video, a half, a quarter ... a 32nd of it, each moved by half its
length, in random order); and 100 segments as long as training instances, at uniform centres.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter

import click
import numpy as np

from actspan import Bundle, Dataset, Pipeline, Video, evaluate_recall
from actspan.cli.train import training_report
from actspan.config.base import changed, read_toml
from actspan.config.training import PRESETS, ClassifierTrainConfig, preset
from actspan.core.progress import Report
from actspan.core.tiou import tiou_matrix
from actspan.data.annotations.formats import read_annotations
from actspan.data.detections import Detections, read_detections
from actspan.data.result_files import read_result
from actspan.evaluation import baselines
from actspan.evaluation.detection import evaluate_detection
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.sinks import SegmentList
from actspan.model.nets import Net
from actspan.pipeline.labelling import LabelChoice
from actspan.pipeline.outcomes import VideoInput
from actspan.streams.extract_request import ExtractRequest
from actspan.streams.extraction import extract_videos
from actspan.training.parts import trainable
from actspan.training.train_classifier import train_classifier
from actspan.training.trainer import train
from benchmarks.harness import benchmark, group, path_option, print_table

RECALL = ("AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC")
PRECISION = ("mAP@0.50", "mAP@0.75", "mAP@0.95", "average_mAP")
RIGHT, ANNOTATED = "right labels", "average_mAP, annotated labels"  # see `evaluate_labels`
DETECTION = (*PRECISION, RIGHT, ANNOTATED)
STREAMS = ("both", "appearance", "motion")
SUBSET = "validation"

Figures = dict[str, float]

seeds_option = click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2))
json_option = click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")


def reduced(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Return the dataset with a share of its training videos, drawn at random."""
    training = [video for video in dataset if video.subset == "training"]
    drawn = np.random.default_rng(seed).permutation(len(training))[round(share * len(training)) :]
    dropped = {training[i].id for i in drawn.tolist()}
    return dataset.select([video for video in dataset if video.id not in dropped])


def evaluate_preset(bundle: Bundle, dataset: Dataset, *, without: Sequence[Net] = ()) -> Figures:
    """Return AR@AN and AUC on the validation part; without PEM, of start x end scores."""
    validation = dataset.subset(SUBSET)
    videos = (VideoInput(v.id, lambda name=v.id: validation.read(name)) for v in validation)
    with Pipeline.load(bundle, without=without, edge=dataset.edge) as pipeline:
        proposals = {outcome.id: outcome.proposals for outcome in pipeline.run(videos)}
    return evaluate_recall(validation.videos, proposals, subset=SUBSET).summary()


def guesses_of(videos: Sequence[Video]) -> dict[str, baselines.Guess]:
    """Return the guesses by name; training lengths are included if there is a training part."""
    guesses: dict[str, baselines.Guess] = {
        "uniform-random": baselines.uniform_random,
        "plain windows": baselines.plain_windows,
    }
    training = [video.segments for video in videos if video.subset == "training"]
    if sum(map(len, training)):
        lengths = np.diff(np.concatenate(training), axis=1)[:, 0]
        guesses["training lengths"] = partial(baselines.of_lengths, lengths)
    return guesses


def print_guesses(videos: Sequence[Video], draws: int) -> None:
    """Print a line per guess."""
    evaluated = [video for video in videos if video.subset == SUBSET and len(video.segments)]
    for name, guess in guesses_of(videos).items():
        figures = baselines.evaluate_guess(guess, evaluated, draws=draws)
        print_row(name, figures, f"{draws} draws")


def print_mean(name: str, rows: Sequence[Figures]) -> None:
    """Print mean and sample standard deviation over seeds."""
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    mean = {column: float(np.mean(values)) for column, values in columns.items()}
    print_row(f"mean, {name}", mean, f"of {len(rows)}")
    if len(rows) > 1:
        spread = {column: float(np.std(values, ddof=1)) for column, values in columns.items()}
        print_row("  spread", spread)


def print_row(name: str, row: Figures, note: str = "") -> None:
    """Print the figures of a row, percent."""
    figures = "  ".join(f"{c} {row[c]:6.2f}" for c in (*RECALL, *DETECTION) if c in row)
    click.echo(f"{name:20s} {figures}  {note}")


@benchmark()
@path_option("--dataset", required=True, exists=True)
@click.option("--preset", "name", type=click.Choice(sorted(PRESETS)), default="default")
@seeds_option
@click.option("--labels", multiple=True, help="Use only instances whose label matches.")
@click.option("--share", default=1.0, help="Share of the training videos to use.")
@path_option("--config", help="TOML: changes of the preset.")
@path_option("--keep", help="Keep bundles here, and reuse them.")
@click.option("--draws", default=10, help="Random draws per guess.")
@json_option
def preset_(
    folder: Path,
    dataset: Path,
    name: str,
    seeds: tuple[int, ...],
    labels: tuple[str, ...],
    share: float,
    config: Path | None,
    keep: Path | None,
    draws: int,
    as_json: bool,
) -> None:
    """Evaluate a preset on the parts of a dataset; print guesses first. BSN also without PEM.

    \b
    Example:
      python -m benchmarks.accuracy preset --dataset jhmdb-spliced/
    """
    data = trainable(Dataset.load(dataset).with_labels(list(labels)))
    print_guesses(list(data), draws)
    settings = preset(name)
    if config is not None:
        settings = changed(settings, read_toml(config), where=str(config))
    rows, without = list[Figures](), list[Figures]()  # of the whole model, and of TEM alone
    folder = keep or folder
    with training_report() as report:
        for seed in seeds:
            begin, path = perf_counter(), folder / f"{name}-{seed}"
            if not (path / "model.toml").is_file():
                train(reduced(data, share, seed), path, settings, seed=seed, report=report)
            bundle = Bundle.load(path)
            rows.append(evaluate_preset(bundle, data))
            print_row(f"seed {seed}", rows[-1], f"{perf_counter() - begin:.0f} s")
            if "pem" in settings.nets:
                without.append(evaluate_preset(bundle, data, without=("pem",)))
                gain = rows[-1]["AUC"] - without[-1]["AUC"]
                print_row("  without PEM", without[-1], f"PEM adds {gain:.2f} AUC")
    print_mean("with PEM" if without else name, rows)
    if without:
        print_mean("without PEM", without)
    if as_json:
        summary = {"preset": name, "seeds": seeds, "rows": rows}
        summary |= {"rows_without_pem": without} if without else {}
        click.echo(json.dumps(summary))


@benchmark()
@click.argument("sets", nargs=-1, required=True)
@click.option("--preset", "name", type=click.Choice(sorted(PRESETS)), default="default")
@seeds_option
@click.option("--task", type=click.Choice(("recall", "detection")), default="recall")
@path_option("--config", help="TOML: changes of the preset.")
@path_option("--classifier", help="TOML: changes of the classifier's training.")
@path_option("--keep", help="Keep bundles here, and reuse them; classifiers are trained again.")
def sets(
    folder: Path,
    sets: tuple[str, ...],
    name: str,
    seeds: tuple[int, ...],
    task: str,
    config: Path | None,
    classifier: Path | None,
    keep: Path | None,
) -> None:
    """Evaluate a preset on several SETS: mean and sample deviation over seeds, and training time.

    A set is a dataset folder with both parts; FOLDER:LABEL uses only instances whose label matches.
    The time is that of the networks that make proposals.

    \b
    Example:
      python -m benchmarks.accuracy sets data/hapt 'data/hapt:*_TO_*' data/finch-song
      python -m benchmarks.accuracy sets data/hapt data/ucf-spliced --task detection
    """
    settings, of_labels = preset(name), ClassifierTrainConfig()
    if config is not None:
        settings = changed(settings, read_toml(config), where=str(config))
    if classifier is not None:
        of_labels = changed(of_labels, read_toml(classifier), where=str(classifier))
    columns, lines = RECALL if task == "recall" else DETECTION, []
    with training_report() as report:
        for number, chosen in enumerate(sets):
            source, _, label = chosen.partition(":")
            data = trainable(Dataset.load(source).with_labels([label] if label else []))
            rows, seconds = [], []
            for seed in seeds:
                path, begin = (keep or folder) / f"{name}-{number}-{seed}", perf_counter()
                if not (path / "model.toml").is_file():
                    train(data, path, settings, seed=seed, report=report)
                    seconds.append(perf_counter() - begin)
                if task == "recall":
                    rows.append(evaluate_preset(Bundle.load(path), data))
                else:
                    work = folder / f"labelled-{number}-{seed}"
                    detect(data, path, work, seed, report, of_labels)
                    rows.append(evaluate_labels(data, work))
                print_row(f"{chosen}, seed {seed}", rows[-1])
            shown = [mean_and_spread([row[c] for row in rows]) for c in columns]
            lines.append([chosen, *shown, f"{np.mean(seconds):.0f}" if seconds else "-"])
    click.echo()
    print_table(["set", *columns, "training, s"], lines)


def mean_and_spread(values: Sequence[float]) -> str:
    """Return mean and sample standard deviation as text."""
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def load_model(
    source: Path, keep: Path, streams: str, share: float, seed: int, report: Report
) -> Bundle:
    """Load the model of a share of the training videos, or extract features and train it."""
    out = keep / f"model-{streams}-{share:g}-{seed}"
    if (out / "model.toml").is_file():
        return Bundle.load(out)
    features = keep / f"features-{streams}"
    extract_videos(ExtractRequest((str(source),), features, streams=streams))
    dataset = trainable(Dataset.load(features))
    return train(reduced(dataset, share, seed), out, seed=seed, report=report)


def evaluate_videos(bundle: Bundle, source: Path) -> tuple[Figures, str]:
    """Return AR@AN and AUC of proposals from the video files, and the speed."""
    segments = SegmentList()
    request = ProposeRequest(bundle.path, videos=(str(source),), subset=SUBSET)
    summary = propose(request, sinks=[segments])
    videos = read_annotations(source).videos
    figures = evaluate_recall(videos, segments.proposals, subset=SUBSET).summary()
    return figures, f"{summary.video_seconds / summary.seconds:.1f}x real time"


@benchmark()
@click.argument("videos", type=click.Path(path_type=Path, exists=True))
@path_option("--keep", required=True, help="Folder for features and models.")
@click.option("--streams", multiple=True, type=click.Choice(STREAMS), default=("both",))
@click.option("--share", "shares", multiple=True, default=(1.0,), help="Of the training videos.")
@seeds_option
def videos(
    folder: Path,
    videos: Path,
    keep: Path,
    streams: tuple[str, ...],
    shares: tuple[float, ...],
    seeds: tuple[int, ...],
) -> None:
    """Evaluate models of VIDEOS, a dataset folder with videos/ and both subsets.

    Guesses are printed first. What is in `--keep` is not made again.

    \b
    Example:
      python -m benchmarks.accuracy videos jhmdb-spliced/ --keep work/ --streams motion
    """
    print_guesses(read_annotations(videos).videos, draws=10)
    with training_report() as report:
        for kind, share in product(streams, shares):
            name = kind if share == 1 else f"{kind}, {share:g} of the videos"
            rows = []
            for seed in seeds:
                begin = perf_counter()
                bundle = load_model(videos, keep, kind, share, seed, report)
                seconds = perf_counter() - begin
                row, pace = evaluate_videos(bundle, videos)
                rows.append(row)
                print_row(f"{name}, seed {seed}", row, f"{seconds:.0f} s, then {pace}")
            print_mean(name, rows)


def detect(
    dataset: Dataset,
    model: Path,
    folder: Path,
    seed: int,
    report: Report,
    config: ClassifierTrainConfig,
) -> None:
    """Train the classifier into a copy of the model, and run it as a user would.

    The copy is `model` in the folder, the run is `run`.
    """
    shutil.copytree(model, folder / "model")
    train_classifier(dataset, Bundle.load(folder / "model"), config, seed=seed, report=report)
    propose(
        ProposeRequest(
            model=folder / "model",
            dataset=dataset.path,
            out=folder / "run",
            subset=SUBSET,
            labels=LabelChoice(classify=True),
            backend="onnxruntime",
        )
    )


def evaluate_labels(dataset: Dataset, folder: Path) -> Figures:
    """Return mAP of what `detect` made, and two figures more.

    They are the share of annotated instances that get their own label, and the average mAP of the
    same proposals with the label of the instance that each overlaps most, and no other score.
    """
    found = read_detections(folder / "run")
    record = (Bundle.load(folder / "model").training or {})["classifier"]
    annotated = evaluate_detection(dataset, with_annotated_labels(dataset, folder / "run"))
    return evaluate_detection(dataset, found).summary() | {
        RIGHT: 100.0 * record["accuracy"][SUBSET],
        ANNOTATED: 100.0 * annotated.average_map,
    }


def with_annotated_labels(dataset: Dataset, run: Path) -> dict[str, Detections]:
    """Return a run's proposals with the label of the instance that each overlaps most."""
    found = {}
    for name, proposals in read_result(run).items():
        video = dataset[name]
        if video.labels:
            overlap = tiou_matrix(proposals.start, proposals.end, *video.segments.T)
            labels = [video.labels[i] for i in overlap.argmax(axis=1).tolist()]
            found[name] = Detections.of(proposals, labels)
    return found


preset_.name = "preset"
main = group(
    "Measure the accuracy of models.",
    "accuracy preset --dataset jhmdb-spliced/",
    *(preset_, sets, videos),
)

if __name__ == "__main__":
    main()
