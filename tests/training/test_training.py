"""Training on small synthetic data: it learns, is repeatable to the bit, and resumes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from actspan import (
    Bundle,
    Dataset,
    Features,
    Pipeline,
    TrainConfig,
    evaluate_recall,
)
from actspan.config.base import changed, from_dict, to_dict
from actspan.config.training import PRESETS, OptimConfig, PemTrainConfig, TemTrainConfig, preset
from actspan.core.errors import ActSpanError, AnnotationError, BundleError, ConfigError
from actspan.model.hub_card import CardRequest, model_card
from actspan.training.loop import Plan, learning_rate
from actspan.training.parts import draw_videos, trainable
from actspan.training.trainer import train
from tests.examples import write_dataset
from tests.training.tiny import NETS, OPTIM, TINY, Collected


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    return trainable(Dataset.load(write_dataset(folder, videos=8)))


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return train(dataset, tmp_path_factory.mktemp("model") / "bundle", TINY)


def test_the_model_is_compared_with_guesses(dataset: Dataset, bundle: Bundle) -> None:
    measured = (bundle.training or {})["evaluation"]
    videos = [video for video in dataset if video.subset == "validation"]
    assert measured["videos"] == len(videos)
    assert measured["instances"] == sum(len(video.segments) for video in videos)
    rows = ["model", "label-free", "plain windows", "training lengths"]
    assert list(measured["figures"]) == rows
    with Pipeline.load(bundle, edge=dataset.edge) as pipeline:
        found = {video.id: pipeline.propose(dataset.read(video.id)) for video in videos}
    expected = evaluate_recall(videos, found).summary()
    assert measured["figures"]["model"] == pytest.approx(expected, abs=0.5)
    assert "set_apart" not in (bundle.training or {})


def test_the_figures_of_a_training_are_in_its_card(bundle: Bundle) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    figures = (bundle.training or {})["evaluation"]["figures"]
    card = model_card(bundle, "me/mine", CardRequest(license="mit"))
    assert f"| label-free | {figures['label-free']['AR@1']:.2f} |" in card
    assert "actspan train --dataset" in card


@pytest.mark.parametrize("kept", [1, 100])
def test_a_model_no_better_than_guesses_is_reported(
    kept: int, dataset: Dataset, tmp_path: Path
) -> None:
    report = Collected()
    config = changed(TINY, {"pipeline": {"soft_nms": {"keep": kept}}}, where="test")
    measured = (train(dataset, tmp_path / "model", config, report=report).training or {})[
        "evaluation"
    ]
    model, *guesses = (row["AUC"] for row in measured["figures"].values())
    warned = [line for line in report.lines if line.startswith("warning: the model is no better")]
    assert len(warned) == (model <= max(guesses))
    assert warned or kept > 1
    assert all("--tem-hidden" in line and f"AUC {model:.1f}" in line for line in warned)


def test_an_interrupted_evaluation_is_resumed(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        train(dataset, out, TINY, report=Collected(stop=("evaluating", 1)))
    assert not out.exists()
    again = Collected()
    bundle = train(dataset, out, TINY, report=again)
    assert not any(note.startswith("training") for note in again.notes)
    assert "evaluation" in (bundle.training or {})


def test_held_out_videos_are_found_again(tmp_path: Path) -> None:
    unsplit = write_dataset(tmp_path / "data", videos=8, subsets=("",))
    dataset, report = trainable(Dataset.load(unsplit)), Collected()
    bundle = train(dataset, tmp_path / "model", TINY, validation_split=0.25, report=report)
    assert any("held out" in line for line in report.lines)
    parts = dict(bundle.training or {})["data"]
    assert [parts[name]["videos"] for name in ("training", "validation")] == [6, 2]
    assert len(bundle.set_apart) == 2
    assert Bundle.load(bundle.path).set_apart == bundle.set_apart
    found = Dataset.load(unsplit).subset("validation", bundle.set_apart)
    assert sorted(found.videos.ids) == list(bundle.set_apart)
    assert found.notes[-1] == "validation: the 2 videos that training held out"
    with pytest.raises(AnnotationError, match="no video in subset 'validation'"):
        Dataset.load(unsplit).subset("validation")
    with pytest.raises(AnnotationError, match="no video in subset 'testing'"):
        Dataset.load(unsplit).subset("testing", bundle.set_apart)


def test_a_subset_of_the_dataset_comes_before_what_was_set_apart(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", videos=8)
    dataset = Dataset.load(folder)
    assert dataset.subset("validation", ["video0"]).videos.ids == (
        dataset.subset("validation").videos.ids
    )


def weights_of(bundle: Bundle) -> dict[str, bytes]:
    return {net: bundle.file(f"{net}.safetensors").read_bytes() for net in NETS}


def test_the_bundle_can_propose(bundle: Bundle, dataset: Dataset) -> None:
    assert {"tem.onnx", "pem.onnx"} <= set(bundle.files)
    features = dataset.read(dataset.videos[0].id)
    with Pipeline.load(bundle, threads=1) as pipeline:
        found = pipeline.propose(features)
    assert len(found) > 0
    assert isinstance(features, Features)


def test_the_bundle_records_its_training(bundle: Bundle) -> None:
    record = dict(bundle.training or {})
    assert (record["preset"], record["seed"]) == ("custom", 0)
    assert record["data"]["training"]["videos"] == 4
    assert {"actspan", "torch"} <= set(record["versions"])
    assert 1 <= record["tem"][0]["epoch"] <= record["tem"][0]["epochs"] == 3
    assert from_dict(PemTrainConfig, record["config"]["pem"], where="record") == TINY.pem
    assert bundle.config.rescale.edge == "clamp"
    assert bundle.features.channels == 6


def test_logs_are_kept_and_the_state_is_removed(bundle: Bundle) -> None:
    assert all(list((bundle.path / "logs" / net).iterdir()) for net in NETS)
    assert [p.name for p in bundle.path.parent.iterdir()] == ["bundle"]


def test_two_trainings_give_the_same_bytes(
    bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    assert weights_of(train(dataset, tmp_path / "again", TINY)) == weights_of(bundle)


def test_the_seed_matters(bundle: Bundle, dataset: Dataset, tmp_path: Path) -> None:
    other = weights_of(train(dataset, tmp_path / "other", TINY, seed=1))
    assert all(other[net] != weights_of(bundle)[net] for net in NETS)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(("training TEM", 1), id="first-step"),
        pytest.param(("training TEM", 3), id="second-epoch"),
        pytest.param(("training PEM", 5), id="last-epoch-of-pem"),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    bundle: Bundle, dataset: Dataset, tmp_path: Path, stop: tuple[str, int]
) -> None:
    out = tmp_path / "cut-off"
    with pytest.raises(KeyboardInterrupt):
        train(dataset, out, TINY, report=Collected(stop))
    assert not out.exists()
    report = Collected()
    assert weights_of(train(dataset, out, TINY, report=report)) == weights_of(bundle)
    assert any("resuming" in line for line in report.lines) == (stop[1] > 1)
    assert [p.name for p in tmp_path.iterdir()] == ["cut-off"]


def test_a_killed_training_resumes_to_the_same_bytes(
    bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    settings = tmp_path / "tiny.json"
    settings.write_bytes(msgspec.json.encode(TINY))
    out = tmp_path / "killed"
    code = (
        "import sys, msgspec; from pathlib import Path; from actspan import Dataset, TrainConfig;"
        "from actspan.training.trainer import train; from actspan.training.parts import trainable;"
        "from tests.training.tiny import Collected;"
        "report = Collected(); tell = report.progress;\n"
        "def slow(*a):\n import time; time.sleep(0.2); tell(*a)\n"
        "report.progress = slow;"
        "config = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=TrainConfig);"
        "train(trainable(Dataset.load(sys.argv[1])), sys.argv[3], config, report=report)"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(dataset.path), str(settings), str(out)], cwd=root
    )
    state = tmp_path / "killed.training" / "tem.pt"
    deadline = time.monotonic() + 60
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    report = Collected()
    assert weights_of(train(dataset, out, TINY, report=report)) == weights_of(bundle)
    assert "resuming TEM" in report.lines[0]


def interrupted(dataset: Dataset, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, out, TINY, report=Collected(("training TEM", 3)))


def test_a_training_is_not_resumed_with_other_settings(dataset: Dataset, tmp_path: Path) -> None:
    interrupted(dataset, tmp_path / "b")
    with pytest.raises(ConfigError, match=r"other settings \(seed\).*--restart"):
        train(dataset, tmp_path / "b", TINY, seed=1)
    assert "pem" in train(dataset, tmp_path / "b", TINY, seed=1, restart=True).nets


def test_a_training_is_not_resumed_with_other_data(dataset: Dataset, tmp_path: Path) -> None:
    interrupted(dataset, tmp_path / "b")
    fewer = dataset.select(dataset.videos[1:])
    with pytest.raises(ConfigError, match=r"data\.training"):
        train(fewer, tmp_path / "b", TINY)


def test_a_damaged_state_is_reported(dataset: Dataset, tmp_path: Path) -> None:
    interrupted(dataset, tmp_path / "b")
    (tmp_path / "b.training" / "tem.pt").write_bytes(b"half a file")
    with pytest.raises(ActSpanError, match=r"tem\.pt: damaged.*--restart"):
        train(dataset, tmp_path / "b", TINY)


def test_an_existing_bundle_is_refused_before_work(bundle: Bundle, dataset: Dataset) -> None:
    report = Collected()
    with pytest.raises(BundleError, match="a bundle already exists"):
        train(dataset, bundle.path, TINY, report=report)
    assert report.notes == []


def test_training_learns(dataset: Dataset, tmp_path: Path) -> None:
    optim = msgspec.structs.replace(OPTIM, passes=60, epochs=6)
    config = msgspec.structs.replace(TINY, tem=TemTrainConfig(optim=optim, standardize=True))
    record = dict(train(dataset, tmp_path / "b", config).training or {})
    assert record["tem"][0]["training"] < 2.4  # 4 log 2 = 2.77 is knowing nothing
    assert record["tem"][0]["validation"] < 2.7


def test_without_validation_the_last_epoch_is_kept(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", videos=3, subsets=("training",))
    report = Collected()
    bundle = train(trainable(Dataset.load(folder)), tmp_path / "b", TINY, report=report)
    record = dict(bundle.training or {})
    assert [record[net][0]["epoch"] for net in NETS] == [3, 3]
    assert "validation" not in record["tem"][0]
    assert any("the model is not evaluated" in line for line in report.lines)


def test_only_training_and_validation_videos_are_read(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", videos=6, subsets=("training", "validation", "testing"))
    (folder / "features" / "video2.npy").unlink()
    assert {v.subset for v in trainable(Dataset.load(folder))} == {"training", "validation"}


def test_a_dataset_without_training_videos_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", videos=2, subsets=("testing",))
    with pytest.raises(AnnotationError, match=r"no video in subset 'training'.*'testing'"):
        trainable(Dataset.load(folder))


def test_splits_depend_on_seed_not_on_order(dataset: Dataset) -> None:
    first = draw_videos(dataset.videos, 0.25, seed=3)
    assert first == draw_videos(dataset.videos[::-1], 0.25, seed=3)
    assert len(first) == 2
    assert any(draw_videos(dataset.videos, 0.25, seed=s) != first for s in range(5))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_impossible_shares_are_refused(dataset: Dataset, share: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        draw_videos(dataset.videos, share, seed=0)


@pytest.mark.parametrize(
    ("optim", "videos", "epoch_steps", "steps"),
    [
        pytest.param(OptimConfig(), 480, 30, 600, id="published"),
        pytest.param(OptimConfig(epochs=10, passes=3, steps=100), 5, 10, 100, id="small-set"),
        pytest.param(OptimConfig(epochs=10, passes=4), 16_000, 400, 4000, id="large-set"),
    ],
)
def test_plans(optim: OptimConfig, videos: int, epoch_steps: int, steps: int) -> None:
    plan = Plan.of(optim, videos)
    assert (plan.epoch_steps, plan.steps) == (epoch_steps, steps)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("videos", [3, 40, 400, 4000])
@pytest.mark.parametrize("epochs", [1, 2, 20, 40])
def test_an_epoch_is_as_long_whatever_their_number(name: str, videos: int, epochs: int) -> None:
    whole, config = preset(name), preset(name).of_epochs(epochs)
    for net in ("tem",) if whole.trains_together else whole.nets:
        usual, optim = (getattr(settings, net).optim for settings in (whole, config))
        wanted, plan = Plan.of(usual, videos), Plan.of(optim, videos)
        assert plan.epochs == epochs
        assert plan.epoch_steps == pytest.approx(wanted.epoch_steps, rel=0.1)
        assert whole.of_epochs(usual.epochs) == whole


def test_step_schedule_drops_after_seven_epochs() -> None:
    optim, plan = OptimConfig(), Plan.of(OptimConfig(), 480)
    rates = [learning_rate(optim, plan, step) for step in (0, 209, 210, 419, 420, 599)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_one_cycle_rises_and_falls() -> None:
    optim = OptimConfig(schedule="one-cycle", warmup=0.2)
    plan = Plan.of(optim, 480)
    rates = np.array([learning_rate(optim, plan, step) for step in range(plan.steps)])
    assert rates.argmax() == 120
    assert rates.max() == optim.rate
    assert (np.diff(rates[:120]) > 0).all()
    assert (np.diff(rates[120:]) < 0).all()
    assert 0 < rates[-1] < 1e-7


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_toml(name: str) -> None:
    assert from_dict(TrainConfig, to_dict(PRESETS[name]), where=name) == PRESETS[name]


def test_the_published_preset_is_the_published_training() -> None:
    published = PRESETS["published"]
    assert (published.tem.optim.rate, published.pem.optim.rate) == (1e-3, 0.01)
    assert (published.tem.optim.weight_decay, published.pem.optim.weight_decay) == (1e-4, 1e-5)
    assert (published.tem.optim.decay_epochs, published.pem.optim.decay_epochs) == (7, 10)
    assert published.pem.loss == "published"
    assert not published.tem.standardize
