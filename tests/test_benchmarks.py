"""The baseline of the benchmarks is correct, and ActSpan gives the same answers."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click import UsageError
from click.testing import CliRunner

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")
pytest.importorskip("onnx")

import actspan  # noqa: E402
from actspan.bench import synthetic  # noqa: E402
from actspan.bench.roof import AtBest  # noqa: E402
from actspan.config.bmn import BmnConfig, MapAxes  # noqa: E402
from actspan.config.stages import FeatureSpec  # noqa: E402
from actspan.core.tiou import tiou_matrix  # noqa: E402
from actspan.data.result_files import read_result  # noqa: E402
from actspan.model.checkpoints import read_checkpoint  # noqa: E402
from actspan.model.manifest import Source  # noqa: E402
from actspan.runtime.export import export_bundle  # noqa: E402
from benchmarks import (  # noqa: E402
    accuracy,
    after_bmn,
    data,
    general,
    harness,
    peer_functions,
    peers,
    published_evaluation,
)
from benchmarks.published_evaluation import compare  # noqa: E402
from benchmarks.published_steps import (  # noqa: E402
    make_folders,
    open_network,
    run_after_tem,
    run_tem,
    score_boundaries,
    write_boundaries,
)
from tests.examples import write_dataset  # noqa: E402

BENCHMARKS = (
    *(
        "accuracy",
        "after_bmn",
        "backends",
        "bmn",
        "commands",
        "extract",
        "few_labels",
        "general",
        "label_free",
    ),
    *("memory", "peers", "pictures", "review", "scale", "serve", "speed", "stages", "viewer"),
    *("serve_faults", "workspace"),
)
COLUMNS = ["xmin", "xmax", "xmin_score", "xmax_score", "score", "match_iou", "match_ioa"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> actspan.Bundle:
    return synthetic.make_bundle(tmp_path_factory.mktemp("synthetic") / "bundle")


@pytest.fixture(scope="module")
def published_pem(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the published PEM as ONNX."""
    torch = pytest.importorskip("torch")
    file = data / "weights" / "pem_best.pth.tar"
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    bundle = actspan.Bundle.create(
        tmp_path_factory.mktemp("published") / "pem",
        config=actspan.PipelineConfig(pem=actspan.PemConfig()),
        features=FeatureSpec(),
        source=Source.of([file]),
        weights={"pem": {name.removeprefix("module."): w.numpy() for name, w in state.items()}},
    )
    exported, _ = export_bundle(bundle, check_torch=False)
    return exported.file("pem.onnx")


def position_of(video: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds that the features cover, and those of position 1.0 as published."""
    a_frame = video["duration_second"] / video["duration_frame"]
    return video["feature_frame"] * a_frame, video["duration_frame"] // 16 * 16 * a_frame


@pytest.mark.parametrize("part", [".", "dense"])
def test_baseline_is_the_published_code(
    part: str, golden: Path, published_pem: Path, tmp_path: Path
) -> None:
    folder = golden / part
    stages = np.load(folder / "stages.npz")
    videos = json.loads((folder / "videos.json").read_text(encoding="utf-8"))
    names = sorted(videos, key=lambda name: -len(stages[f"{name}/proposals"]))[:2]
    spans = {name: position_of(videos[name]) for name in names}
    instances = {
        name: [tuple(np.array(a["segment"]) / spans[name][0]) for a in videos[name]["annotations"]]
        for name in names
    }
    make_folders(tmp_path)
    for name in names:
        write_boundaries(tmp_path, name, stages[f"{name}/tem"])
    run_after_tem(tmp_path, {n: spans[n][1] for n in names}, published_pem, instances)

    for name in names:
        candidates = pd.read_csv(tmp_path / "candidates" / f"{name}.csv")[COLUMNS].to_numpy()
        np.testing.assert_allclose(
            candidates, stages[f"{name}/proposals"][:1000], rtol=0, atol=1e-9
        )
        bsp = np.load(tmp_path / "bsp" / f"{name}.npy")
        np.testing.assert_allclose(bsp, stages[f"{name}/bsp"][:1000], rtol=0, atol=1e-6)
        pem = pd.read_csv(tmp_path / "pem" / f"{name}.csv").iou_score.to_numpy()
        np.testing.assert_allclose(pem, stages[f"{name}/pem"][:1000], rtol=0, atol=1e-6)
    published = read_result(folder / "result_proposal.json")
    mine = read_result(tmp_path / "result.json")
    assert compare(published, mine).same == len(names)


@pytest.mark.parametrize(("code", "prefix"), [("jjboy2020", "jjboy"), ("mmaction2", "mmaction2")])
def test_baseline_after_bmn_is_the_published_code(code: str, prefix: str, data: Path) -> None:
    stages = np.load(data / "bmn" / "stages.npz")
    published = np.load(data / "bmn" / "proposals.npz")
    for video in ("v_dense_a", "v_dense_b"):
        arrays = (stages[f"{video}/{name}"] for name in ("map", "start", "end"))
        output = after_bmn.Output(*arrays)
        every = code == "jjboy2020"
        candidates = after_bmn.list_all(output) if every else after_bmn.list_peaks(output)
        np.testing.assert_array_equal(candidates, published[f"{video}/{prefix}/candidates"])
        picked = after_bmn.soft_nms(candidates, code)
        np.testing.assert_allclose(
            picked, published[f"{video}/{prefix}/picked"], rtol=0, atol=1e-15
        )


@pytest.mark.parametrize(
    ("axes", "prefix"), [("start-end", "jjboy"), ("duration-start", "mmaction2")]
)
def test_baseline_of_bmn_is_the_published_network(axes: MapAxes, prefix: str, data: Path) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.published_bmn import PublishedBmn

    net = PublishedBmn(BmnConfig(axes=axes)).eval()
    checkpoint = read_checkpoint(data / "bmn" / "bmn_made_up.pth.tar", preset="jjboy2020")
    net.load(checkpoint.weights)
    with np.load(data / "bmn" / "stages.npz") as stages:
        video = next(name.partition("/")[0] for name in stages if name.endswith("/feature"))
        with torch.inference_mode():
            found = net(torch.from_numpy(stages[f"{video}/feature"].T[None]))
        for output, name in zip(found, ("map", "start", "end"), strict=True):
            published = stages[f"{video}/{prefix}/{name}"]
            np.testing.assert_allclose(output[0].numpy(), published, rtol=0, atol=1e-5)


@pytest.mark.parametrize("code", ["jjboy2020", "mmaction2"])
def test_actspan_gives_the_proposals_of_the_published_steps_after_bmn(
    code: str, tmp_path: Path
) -> None:
    videos, seconds = [after_bmn.make_output(number, seed=0) for number in range(3)], [30, 60, 90]
    theirs = after_bmn.run_published(tmp_path, videos, seconds, code)
    ours = after_bmn.run_ours(videos, seconds, code)
    assert compare(ours, theirs).same == len(videos)


@pytest.mark.parametrize("part", [".", "dense"])
def test_baseline_evaluator_is_the_published_one(part: str, golden: Path) -> None:
    folder = golden / part
    found = published_evaluation.evaluate(
        folder / "ground_truth.json", folder / "result_proposal.json"
    )
    stages = np.load(folder / "stages.npz")
    np.testing.assert_array_equal(found.recall, stages["eval/recall"])
    np.testing.assert_array_equal(found.average_recall, stages["eval/avg_recall"])
    np.testing.assert_array_equal(found.proposals_per_video, stages["eval/proposals_per_video"])


def test_actspan_gives_the_proposals_of_the_baseline(
    bundle: actspan.Bundle, tmp_path: Path
) -> None:
    numbers = range(3)
    names = [synthetic.name_of(number) for number in numbers]
    seconds = {synthetic.name_of(number): synthetic.seconds_of(number) for number in numbers}
    data.make_csv_dataset(tmp_path / "csv", len(numbers))
    run_tem(tmp_path / "csv" / "features", tmp_path, names, bundle.file("tem.onnx"))
    run_after_tem(tmp_path, seconds, bundle.file("pem.onnx"))

    strides = (seconds[name] / synthetic.LENGTH for name in names)
    features = [
        actspan.Features(synthetic.make_features(number), stride, stride)
        for number, stride in zip(numbers, strides, strict=True)
    ]
    with actspan.Pipeline.load(bundle, threads=2, backend="onnxruntime") as pipeline:
        ours = dict(zip(names, pipeline.propose(features), strict=True))
    assert compare(ours, read_result(tmp_path / "result.json")).same == len(names)


def test_actspan_evaluates_like_the_baseline(tmp_path: Path) -> None:
    truth, result = tmp_path / "annotations.json", tmp_path / "result.json"
    data.write_annotations(truth, range(40))
    data.write_result(result, range(36), proposals=57)  # four videos have no proposals
    theirs = published_evaluation.evaluate(truth, result)
    ours = actspan.evaluate_recall(truth, result)
    np.testing.assert_array_equal(ours.recall, theirs.recall)
    assert ours.auc == pytest.approx(theirs.auc, rel=1e-12)
    assert 0.3 < theirs.auc < 0.9


def test_synthetic_data_are_realistic_and_repeatable(bundle: actspan.Bundle) -> None:
    first, again = synthetic.make_features(7), synthetic.make_features(7)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, synthetic.make_features(7, seed=1))
    tem = open_network(bundle.file("tem.onnx"))
    scores = score_boundaries(tem, first.T[None])
    found = actspan.generate_proposals(actspan.BoundaryScores.from_array(scores))
    assert 300 < len(found) < 2000


def test_guesses_are_printed_one_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    segments, labels = ((3.0, 6.0), (11.0, 25.0)), ("", "")
    videos = [
        actspan.Video(part, 30.0, part, segments, labels) for part in ("training", "validation")
    ]
    accuracy.print_guesses(videos, draws=2)
    lines = capsys.readouterr().out.splitlines()
    names = ["uniform-random", "plain windows", "training lengths"]
    assert [line[:20].strip() for line in lines] == names
    assert list(accuracy.guesses_of(videos[1:])) == names[:2]


def test_accuracy_on_several_sets_is_one_table(tmp_path: Path) -> None:
    brief = "{epochs = 1, passes = 1, steps = 0, least_steps = 0}"
    (tmp_path / "brief.toml").write_text(f"[tem]\noptim = {brief}\n")
    dataset = write_dataset(tmp_path / "set")
    arguments = [str(dataset), f"{dataset}:*", "--config", str(tmp_path / "brief.toml")]
    result = CliRunner().invoke(accuracy.sets, [*arguments, "--seed", "0", "--seed", "1"])
    assert result.exit_code == 0, result.output
    header, _, *rows = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")[-3:]] == ["AUC", "training, s", ""]
    assert [row.split("|")[1].strip() for row in rows] == arguments[:2]
    assert all(row.count(" ± ") == len(accuracy.RECALL) for row in rows)
    assert rows[0].split("|")[2:8] == rows[1].split("|")[2:8]  # the label matches everything


def recording(name: str, seed: int) -> general.Recording:
    """Return a recording of one instance among random candidates, and one useful descriptor."""
    draw = np.random.default_rng(seed)
    ends = np.sort(draw.uniform(size=(300, 2)), axis=1)
    candidates = actspan.Proposals(*ends.T, draw.uniform(0.5, 1, 300), unit="fraction")
    best = tiou_matrix(*ends.T, np.array([0.4]), np.array([0.6]))[:, 0]
    described = np.column_stack([best, draw.normal(size=300)])
    video = actspan.Video(name, 10.0, "training", [[4.0, 6.0]], ("",))
    return general.Recording(video, 10.0, candidates, described)


def test_general_weights_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general, "GENERATIONS", 8)
    config = actspan.SoftNmsConfig()
    sets = [[recording(f"{name}{i}", i) for i in range(4)] for name in "ab"]
    weights = general.fit(sets, config)
    np.testing.assert_array_equal(weights, general.fit(sets, config))
    unseen = [recording("c", 9)]
    assert general.auc(unseen, weights, config) > general.auc(unseen, np.zeros(2), config) + 1


def test_general_descriptors_do_not_prefer_a_length() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    first, last = np.triu_indices(41, 2)
    described = general.describe(values, values[:, 0].astype(float), first / 40, last / 40)
    assert described.std(axis=0).min() > 0.01
    for length in (2, 3, 4):  # each of these has a bin of its own
        np.testing.assert_allclose(described[last - first == length].mean(axis=0), 0, atol=1e-9)


def test_sets_that_share_recordings_are_left_out_together() -> None:
    sets = {"a": [recording("x", 0)], "part of a": [recording("x", 1)], "b": [recording("y", 0)]}
    assert general.apart("a", sets) == general.apart("part of a", sets) == ["b"]
    assert general.apart("b", sets) == ["a", "part of a"]
    del sets["b"]
    with pytest.raises(UsageError, match="no other SET"):
        general.apart("a", sets)


def test_functions_for_python_2_divide_as_there(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("def halve(x):\n    return x / 2, x / 2.0, 1. / (x / 3)\n")
    assert peer_functions.load_python_2(tmp_path / "old.py").halve(7) == (3, 3.5, 0.5)


def test_peers_are_compared_by_segment() -> None:
    segments = np.array([[0.1, 0.2], [0.3, 0.9]])
    answer = peer_functions.Answer(segments, np.array([0.5, 0.4]))
    other = peer_functions.Answer(segments[::-1], np.array([0.4, 0.6]))
    assert peers.difference(answer, other) == pytest.approx(0.1)
    assert peers.difference(answer, peer_functions.Answer(segments + 0.1, answer.values)) == np.inf
    assert (
        peers.difference(answer, peer_functions.Answer(segments[:1], answer.values[:1])) == np.inf
    )


def test_peers_that_nobody_has_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_openmmlab", lambda clone: None)
    result = CliRunner().invoke(peers.main, [])
    assert result.exit_code == 2
    assert "give --authors, a clone of the authors' repository" in result.output


def test_a_ratio_needs_both_sides_at_their_best() -> None:
    calm, noisy = AtBest(1.0, 1.1, True), AtBest(2.0, 9.0, False)
    assert harness.ratio(noisy._replace(is_reached=True), calm, " of it") == "2x of it"
    assert harness.ratio(noisy, calm) == harness.ratio(calm, noisy) == "too noisy: repeat"


def test_libraries_are_limited_to_avx2_by_their_variables() -> None:
    line = "from benchmarks.harness import *; limit_instructions('avx2'); import numpy, os; "
    line += "r = open_roof(((1, 8, 8, 8),)); print(r.kernel, os.environ['NUMBA_CPU_NAME'])"
    told = harness.run_new("python", "-c", line)
    assert told.split()[-1] == "haswell"
    assert "SkylakeX" not in told


@pytest.mark.parametrize("module", BENCHMARKS)
def test_every_benchmark_explains_itself(module: str) -> None:
    main = import_module(f"benchmarks.{module}").main
    for command in (main, *getattr(main, "commands", {}).values()):
        answer = CliRunner().invoke(command, ["--help"])
        assert answer.exit_code == 0
        assert "Example:" in answer.output
