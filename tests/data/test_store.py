from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actspan import Dataset, Video, evaluate_recall
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ActSpanError, ConfigError, DatasetError, StoreError
from actspan.data.check import check_dataset
from actspan.data.data_requests import PackRequest
from actspan.data.pack import PackSummary, pack_dataset
from actspan.data.shards import PackedFeatures, PackedIndex, open_shard
from actspan.data.store_manifest import Manifest, verify_store
from actspan.data.timebase import SpanRule, packed_grid, snippet_grid
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import (
    CHANNELS,
    edit_annotations,
    write_annotations,
    write_bundle,
    write_dataset,
)

T = 20
Mode = Literal["rescale", "window"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six videos of 20 to 60 snippets."""
    return write_dataset(tmp_path_factory.mktemp("pack") / "set", videos=6)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[Mode, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    modes: tuple[Mode, ...] = ("rescale", "window")
    return {mode: write_bundle(folder / mode, length=T, mode=mode).path for mode in modes}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record batches of two or three videos."""
    monkeypatch.setattr("actspan.data.pack._BATCH", 1000)


def pack(dataset: Path, out: Path, **options: Any) -> PackSummary:
    return pack_dataset(PackRequest(dataset, out, **options))


def proposals(bundle: Path, dataset: Path, **options: Any) -> bytes:
    out = dataset.parent / f"{dataset.name}.json"
    request = ProposeRequest(
        model=bundle, dataset=dataset, out=out, backend="onnxruntime", **options
    )
    propose(request)
    return out.read_bytes()


def shards(store: Path) -> list[Path]:
    return sorted(store.glob("*.arrow"))


def flip_byte(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        pytest.param("rescale", {}, id="rows as they were"),
        pytest.param("rescale", {"length": T}, id="rescaled when packed"),
        pytest.param("window", {}, id="windows"),
    ],
)
def test_propose_gives_the_same_bytes(
    mode: Mode, options: dict[str, Any], folder: Path, bundles: dict[Mode, Path], tmp_path: Path
) -> None:
    done = pack(folder, tmp_path / "store", shard_size=2000, **options)
    assert (done.manifest.videos, len(shards(tmp_path / "store"))) == (6, len(done.manifest.shards))
    assert len(done.manifest.shards) > 1
    for subset in (None, "validation"):
        expected = proposals(bundles[mode], folder, subset=subset)
        assert proposals(bundles[mode], tmp_path / "store", subset=subset) == expected


def test_the_authors_spans_and_edges_stay(bundles: dict[Mode, Path], tmp_path: Path) -> None:
    folder = tmp_path / "set"
    rng = np.random.default_rng(0)
    (folder / "features").mkdir(parents=True)
    document = {}
    for name, snippets in (("v_a", 19), ("v_b", T), ("v_c", 7)):
        frames = {"duration_frame": 16 * snippets + 6, "feature_frame": 16 * snippets}
        instance = {"segment": [0.5, 2.0], "label": "x"}
        document[name] = {"duration_second": 10.0, **frames, "annotations": [instance]}
        values = rng.normal(size=(CHANNELS, snippets)).astype(np.float32)
        np.save(folder / "features" / f"{name}.npy", values)
    (folder / "anet_anno_action.json").write_text(json.dumps(document))
    table = "video,subset\nv_a,validation\nv_b,validation\nv_c,training\n"
    (folder / "video_info_new.csv").write_text(table)
    (folder / "dataset.toml").write_text(f'[features]\nchannels = {CHANNELS}\nlayout = "CT"\n')

    done = pack(folder, tmp_path / "store", length=T)
    assert (done.rescaled, done.manifest.edge) == (2, "zero")
    assert "authors' layout" in done.notes[0]
    source, store = (check_dataset(Dataset.load(p)) for p in (folder, tmp_path / "store"))
    assert store.edge == "zero"
    assert [v.subset for v in store] == [v.subset for v in source]
    for video in source:
        ours, theirs = store.read(video.id), source.read(video.id)
        assert ours.seconds == theirs.seconds
        assert ours.span == pytest.approx(theirs.span, rel=1e-15)
    assert not store.read("c").values[[0, -1]].any()  # short videos have empty ends
    expected = proposals(bundles["rescale"], folder)
    assert proposals(bundles["rescale"], tmp_path / "store") == expected


@pytest.mark.parametrize("seconds", [10.0, 12.5], ids=["as packed", "changed since"])
def test_rows_as_they_were_cover_what_the_authors_layout_says(
    seconds: float, tmp_path: Path
) -> None:
    packed = Video("a", 10.0, frames=166, feature_frames=160)
    grid = snippet_grid(packed, FeatureSpec(), 10)
    said = Video("a", seconds, frames=166, feature_frames=160)
    found = packed_grid(grid._replace(covered=None), said, 10, SpanRule.FLOOR, rescaled=False)
    assert found.covered == (160 / 166 * 10.0 if seconds == 10.0 else None)


def test_reading_copies_nothing(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "store")
    dataset = check_dataset(Dataset.load(tmp_path / "store"))
    entry = dataset.entries["video3"]
    assert isinstance(entry, PackedFeatures)
    values = dataset.read("video3").values
    assert np.shares_memory(values, entry.values)
    assert np.shares_memory(values, dataset.open("video3").rows(4, 9).values)
    assert not values.flags.writeable
    np.testing.assert_array_equal(values, np.load(folder / "features" / "video3.npy"))


def test_it_is_ground_truth_and_keeps_what_was_said(folder: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", spec=f"[features]\nchannels = {CHANNELS}\n")
    pack(folder, tmp_path / "store", length=T)
    found = {"video1": [{"score": 0.5, "segment": [1.0, 3.0]}]}
    (tmp_path / "x.json").write_text(json.dumps({"results": found}))
    ours, theirs = (
        evaluate_recall(path, tmp_path / "x.json") for path in (tmp_path / "store", folder)
    )
    np.testing.assert_array_equal(ours.recall, theirs.recall)
    assert Dataset.load(tmp_path / "store").notes == (
        "features assumed to be spread evenly over each video's duration",
        "features were rescaled to 20 cells when they were packed",
    )
    again = pack(tmp_path / "store", tmp_path / "again", dtype="float16", subset="training")
    assert (again.manifest.videos, again.rescaled) == (2, 0)
    assert again.manifest.edge == "clamp"
    assert Dataset.load(tmp_path / "again").packing == again.manifest
    assert again.notes == Dataset.load(tmp_path / "store").notes


def test_features_alone(folder: Path, bundles: dict[Mode, Path], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    (folder / "annotations.json").unlink()
    pack(folder, tmp_path / "store")
    assert Dataset.load(tmp_path / "store").format == "features"
    expected = proposals(bundles["rescale"], folder)
    assert proposals(bundles["rescale"], tmp_path / "store") == expected


def test_float16_rounds_and_halves(folder: Path, tmp_path: Path) -> None:
    whole = pack(folder, tmp_path / "whole")
    half = pack(folder, tmp_path / "half", dtype="float16")
    assert half.manifest.size < 0.7 * whole.manifest.size
    read = Dataset.load(tmp_path / "half").read("video2").values
    assert read.dtype == np.float32
    exact = np.load(folder / "features" / "video2.npy")
    np.testing.assert_array_equal(read, exact.astype(np.float16))


def test_values_beyond_float16_are_named_before_writing(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    file = folder / "features" / "video1.npy"
    values = np.load(file)
    values[3, :2] = 70_000, -1e6
    np.save(file, values)
    with pytest.raises(DatasetError, match=r"video1: 2 values beyond 65504, too large for flo"):
        pack(folder, tmp_path / "store", dtype="float16")
    assert not (tmp_path / "store").exists()
    done = pack(folder, tmp_path / "store", dtype="float16", on_error="skip")
    assert done.manifest.videos == 3
    checked = check_dataset(Dataset.load(tmp_path / "store"))
    assert len(checked) == 3
    note = "left out when the dataset was packed: 2 values beyond 65504, too large for float16"
    assert [(p.video, p.problem, p.is_error) for p in checked.problems] == [("video1", note, False)]
    assert pack(folder, tmp_path / "whole").manifest.videos == 4


def test_an_entry_that_packing_left_out_does_not_stop_training(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    document = json.loads((folder / "annotations.json").read_text())
    document["database"]["video1"] = 7
    (folder / "annotations.json").write_text(json.dumps(document))
    pack(folder, tmp_path / "store", on_error="skip")
    checked = check_dataset(Dataset.load(tmp_path / "store"), uses_instances=True)
    note = "left out when the dataset was packed: bad entry: 7 is not an object"
    assert [(p.video, p.problem, p.is_error) for p in checked.problems] == [("video1", note, False)]
    with pytest.raises(DatasetError, match="bad entry: 7"):
        check_dataset(Dataset.load(folder), uses_instances=True)


def test_values_beyond_float32_are_a_problem_anywhere(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    file = folder / "features" / "video1.npy"
    np.save(file, np.load(file).astype(np.float64) * 1e300)
    with pytest.raises(DatasetError, match=r"too large for float32"):
        check_dataset(Dataset.load(folder))


@pytest.mark.parametrize(
    ("packed", "options", "message"),
    [
        pytest.param({"length": 10}, {}, "works on 20 cells: .* with --length 20", id="length"),
        pytest.param({"length": T}, {"mode": "window"}, "windows .* without --length", id="mode"),
        pytest.param(
            {"length": T, "edge": "zero"}, {"edge": "clamp"}, "with --edge clamp", id="edge"
        ),
    ],
)
def test_a_model_that_would_see_other_cells_is_refused(
    packed: dict[str, Any], options: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    from actspan.config.stages import PipelineConfig, RescaleConfig, TemConfig

    pack(folder, tmp_path / "store", **packed)
    config = PipelineConfig(
        tem=TemConfig(length=T),
        mode=options.get("mode", "rescale"),
        rescale=RescaleConfig(edge=options.get("edge", "auto")),
    )
    with pytest.raises(StoreError, match=message):
        Dataset.load(tmp_path / "store").require_fit(config)
    Dataset.load(folder).require_fit(config)


def test_refused_before_work_starts(
    folder: Path, bundles: dict[Mode, Path], tmp_path: Path
) -> None:
    pack(folder, tmp_path / "store", length=10)
    for mode in bundles:
        with pytest.raises(StoreError, match="pack the dataset again"):
            proposals(bundles[mode], tmp_path / "store")
    assert [file.name for file in tmp_path.iterdir()] == ["store"]
    with pytest.raises(StoreError, match=r"were rescaled to 10 cells .* already"):
        pack(tmp_path / "store", tmp_path / "again", length=T)


def test_rows_that_fit_already_suit_any_model(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", videos=2)
    for file in (folder / "features").iterdir():
        np.save(file, np.load(file)[:T])
    done = pack(folder, tmp_path / "store", length=T)
    assert (done.rescaled, done.manifest.edge) == (0, None)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda f: f.write_bytes(f.read_bytes()[:-9]), "bytes where", id="truncated"),
        pytest.param(lambda f: f.unlink(), "No such file", id="missing"),
    ],
)
def test_sizes_are_checked_when_it_is_opened(
    damage: Any, message: str, folder: Path, tmp_path: Path
) -> None:
    pack(folder, tmp_path / "store", shard_size=2000)
    file = shards(tmp_path / "store")[2]
    damage(file)
    with pytest.raises(StoreError, match=rf"{file.name}: damaged: .*{message}"):
        Dataset.load(tmp_path / "store")
    assert Dataset.load(tmp_path / "store", features=False).packing


def test_flipped_bits_are_found_by_verify(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "store", shard_size=2000)
    done = verify_store(tmp_path / "store")
    assert (done.videos, len(done.shards)) == (6, len(shards(tmp_path / "store")))
    for file in shards(tmp_path / "store")[1:3]:
        flip_byte(file, file.stat().st_size // 2)
    with pytest.raises(DatasetError, match="SHA-256") as caught:
        verify_store(tmp_path / "store")
    assert [Path(p.file).name for p in caught.value.problems] == ["00001.arrow", "00002.arrow"]
    with pytest.raises(StoreError, match="not a store"):
        verify_store(folder)


@pytest.fixture(scope="module")
def shard(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    store = tmp_path_factory.mktemp("flip") / "store"
    pack(folder, store)
    manifest = Manifest.load(store)
    assert manifest is not None
    return shards(store)[0], manifest


@given(st.data())
def test_a_damaged_shard_never_crashes(shard: tuple[Path, Manifest], data: st.DataObject) -> None:
    file, manifest = shard
    clean = file.read_bytes()
    bad = file.with_name("bad.arrow")
    # what describes the columns lies at both ends; between them are features
    place = data.draw(
        st.one_of(st.integers(0, 1200), st.integers(len(clean) - 1200, len(clean) - 1))
    )
    bad.write_bytes(clean)
    flip_byte(bad, place)
    with suppress(StoreError):
        for entry in PackedIndex([open_shard(bad, manifest)], bad).values():
            assert entry.values.sum() is not None  # every byte can be touched


def test_a_damaged_manifest_is_named(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "store")
    manifest = tmp_path / "store" / "store.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace("format = 1", "format = 9"))
    with pytest.raises(StoreError, match="format 9, this version reads 1"):
        Dataset.load(tmp_path / "store")
    manifest.write_text(text[: len(text) // 2])
    with pytest.raises(StoreError, match=r"not valid TOML|missing"):
        Dataset.load(tmp_path / "store")
    manifest.write_text(text.replace("channels = 6", "channels = 5"))
    with pytest.raises(StoreError, match="its columns are not those"):
        Dataset.load(tmp_path / "store")


def test_nothing_is_overwritten_by_accident(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StoreError, match="is not a store: choose another folder"):
        pack(folder, tmp_path / "mine", overwrite=True)
    pack(folder, tmp_path / "store")
    with pytest.raises(StoreError, match="a store already exists"):
        pack(folder, tmp_path / "store")
    pack(tmp_path / "store", tmp_path / "store", overwrite=True, dtype="float16")  # onto itself
    dataset = Dataset.load(tmp_path / "store")
    assert dataset.packing is not None
    assert (len(dataset), dataset.packing.dtype) == (6, "float16")


def test_a_full_disk_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("actspan.data.pack._record_batch", disk_full)
    with pytest.raises(ActSpanError, match="cannot be written: No space left"):
        pack(folder, tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_problems_stop_it_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    (folder / "features" / "video0.npy").write_bytes(b"")
    edit_annotations(folder, "video1", annotations=[{"segment": [2, 2]}])
    with pytest.raises(DatasetError) as caught:
        pack(folder, tmp_path / "store")
    assert [p.video for p in caught.value.problems] == ["video0"]
    assert not (tmp_path / "store").exists()
    done = pack(folder, tmp_path / "store", on_error="skip")
    assert (done.manifest.videos, list(done.manifest.left_out)) == (3, ["video0"])


def test_ids_are_data(tmp_path: Path, bundles: dict[Mode, Path]) -> None:
    names = ["../../evil", "a/b", "tab\tand\nline", "日本", "'quoted\" = [1]", "store.toml"]
    folder = tmp_path / "set"
    folder.mkdir()
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(30, CHANNELS)).astype(np.float32) for name in names}
    np.savez(folder / "features.npz", **values)  # type: ignore[arg-type]
    write_annotations(folder, {name: {"duration": 15.0} for name in names})
    (folder / "dataset.toml").write_text(f"[features]\nchannels = {CHANNELS}\n")
    done = pack(folder, tmp_path / "store")
    assert done.manifest.videos == len(names)
    assert {f.name for f in tmp_path.iterdir()} == {"set", "store"}
    dataset = Dataset.load(tmp_path / "store")
    for name in names:
        np.testing.assert_array_equal(dataset.read(name).values, values[name])
    expected = proposals(bundles["rescale"], folder)
    assert proposals(bundles["rescale"], tmp_path / "store") == expected


def test_an_id_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", videos=2)
    (folder / "features" / "video0.npy").rename(folder / "features" / "vid\udce9o.npy")
    write_annotations(folder, {"vid\udce9o": {"duration": 15.0}, "video1": {"duration": 15.0}})
    with pytest.raises(DatasetError, match="its id is not valid text"):
        pack(folder, tmp_path / "store")
    assert pack(folder, tmp_path / "store", on_error="skip").manifest.videos == 1


@pytest.mark.parametrize(
    "options",
    [{"dtype": "int8"}, {"length": 0}, {"shard_size": 0}, {"edge": "zero"}],
    ids=lambda options: next(iter(options)),
)
def test_requests_that_make_no_sense(options: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        pack(folder, tmp_path / "store", **options)


def test_one_shard_is_read_without_the_others(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "store", shard_size=2000)
    manifest = Manifest.load(tmp_path / "store")
    assert manifest is not None
    first, second, *others = manifest.shard_paths(tmp_path / "store")
    for file in (first, *others):
        file.unlink()
    opened = open_shard(second, manifest)
    assert len(opened) == manifest.shards[1].videos
    for name, entry in PackedIndex([opened], second).items():
        expected = np.load(folder / "features" / f"{name}.npy")
        np.testing.assert_array_equal(entry.values, expected)


@pytest.mark.parametrize("colliding", [False, True])
def test_places_are_found_by_id_whatever_the_hashes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colliding: bool
) -> None:
    pack(folder, tmp_path / "store", shard_size=2000)
    manifest = Manifest.load(tmp_path / "store")
    assert manifest is not None
    opened = [open_shard(p, manifest) for p in manifest.shard_paths(tmp_path / "store")]
    if colliding:
        monkeypatch.setattr("actspan.data.shards.hash", lambda name: 7, raising=False)
    places = PackedIndex(opened, tmp_path)
    assert list(places) == [name for shard in opened for name in shard.ids()]
    assert [entry.id for entry in places.values()] == list(places)
    assert "nowhere" not in places


def test_a_video_that_is_in_a_store_twice_is_named(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "store", shard_size=2000)
    manifest = Manifest.load(tmp_path / "store")
    assert manifest is not None
    opened = [open_shard(p, manifest) for p in manifest.shard_paths(tmp_path / "store")]
    with pytest.raises(StoreError, match=r"store: damaged: video '\S+' is in it twice"):
        PackedIndex([*opened, opened[0]], tmp_path / "store")
