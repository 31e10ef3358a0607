"""Features as other people keep them: containers, file names and tables, and what is ignored."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from actspan import Dataset
from actspan.config.stages import FeatureSpec
from actspan.core.errors import AnnotationError, ConfigError, DatasetError, FeatureError
from actspan.core.types import Float32
from actspan.data.array_names import list_arrays
from actspan.data.check import check_dataset
from actspan.data.features import Entry, FeatureIndex, index_features, read_array
from actspan.data.names import Ignored
from tests.examples import write_dataset

CHANNELS = 6
KNOWN = {"a", "b"}
A, B = (np.arange(n * CHANNELS, dtype=np.float32).reshape(n, CHANNELS) / 7 for n in (9, 8))


def index(path: Path, known: set[str] | None = KNOWN, **spec: object) -> FeatureIndex:
    return index_features(path, FeatureSpec(**spec), known)  # type: ignore[arg-type]


def npz(path: Path, **arrays: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def hdf5(path: Path, **arrays: Float32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array


def one_of_all(path: Path) -> None:
    npz(path / "features.npz", v_a=A, b=B)


def groups(path: Path) -> None:
    hdf5(path / "features.h5", v_a__c3d_features=A, v_b__c3d_features=B)


def groups_of_subsets(path: Path) -> None:
    hdf5(path / "features.h5", training__a=A, validation__b=B)


def groups_of_one_subset(path: Path) -> None:
    hdf5(path / "features.h5", training__a=A, training__b=B)


def parts(path: Path) -> None:
    npz(path / "features/part1.npz", a=A)
    npz(path / "features/part2.npz", b=B, stranger=B)


def with_rates(path: Path) -> None:
    for name, values in (("a", A), ("b", B)):
        npz(path / f"features/{name}.npz", feats=values, fps=25.0, name=np.array([name, {}]))


def groups_in_files(path: Path) -> None:
    hdf5(path / "features/v_a.hdf5", i3d__rgb=A)
    hdf5(path / "features/v_b.H5", i3d__rgb=B)


def capitals_and_suffixes(path: Path) -> None:
    (path / "features").mkdir()
    for name, values in (("a.mp4", A), ("v_b.MOV", B)):
        np.save(path / "features/x.npy", values)
        (path / "features/x.npy").rename(path / f"features/{name}.NPY")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("write", "notes"),
    [
        (one_of_all, ()),
        (groups, ()),
        (groups_of_one_subset, ()),
        (with_rates, ("features: ignored arrays: fps (2), name (2)",)),
        (groups_in_files, ()),
        (
            capitals_and_suffixes,
            (
                "features: the suffix of a video was dropped from 2 file names "
                "(a.mp4.NPY, v_b.MOV.NPY)",
            ),
        ),
    ],
)
def test_containers(
    write: Callable[[Path], None], notes: tuple[str, ...], known: bool, tmp_path: Path
) -> None:
    write(tmp_path)
    found = index(tmp_path, KNOWN if known else None)
    assert not found.problems
    assert tuple(note.removeprefix(f"{tmp_path}/") for note in found.notes) == notes
    assert found.entries.keys() == KNOWN
    np.testing.assert_array_equal(read_array(found.entries["a"]), A)
    np.testing.assert_array_equal(read_array(found.entries["b"]), B)


def test_groups_that_annotations_do_not_name(tmp_path: Path) -> None:
    groups_of_subsets(tmp_path)
    assert index(tmp_path).entries.keys() == KNOWN
    # nothing says whether groups or arrays are videos
    assert index(tmp_path, None).entries.keys() == {"training", "validation"}


def test_files_of_several_videos_each(tmp_path: Path) -> None:
    parts(tmp_path)
    assert index(tmp_path).entries.keys() == {"a", "b", "stranger"}


@pytest.mark.parametrize("known", [{"vid0", "vid1"}, None])
def test_two_arrays_of_one_video_are_refused_by_name_or_joined(
    tmp_path: Path, known: set[str] | None
) -> None:
    for name in ("vid0", "vid1"):
        npz(tmp_path / f"features/{name}.npz", one=A, other=A + 1, fps=np.array(25))
    found = index(tmp_path, known)
    assert not found.entries
    assert [(p.video, p.problem, p.remedy) for p in found.problems] == [
        (
            name,
            "contains 2 arrays (one, other), one per video is needed",
            'keep one, or join them: [features] join = ["one", "other"] in dataset.toml',
        )
        for name in ("vid0", "vid1")
    ]
    for layout, values in (("TC", np.hstack), ("CT", np.vstack)):
        joined = index(tmp_path, known, join=("one", "other"), layout=layout)
        assert not joined.problems
        expected = values([A, A + 1])
        np.testing.assert_array_equal(read_array(joined.entries["vid0"]), expected)
        assert str(joined.entries["vid0"]).endswith("vid0.npz[one+other]")
    (problem, _) = index(tmp_path, known, join=("one", "rgb")).problems
    assert problem.problem == "contains no array rgb, only fps, one, other"


@pytest.mark.parametrize("known", [KNOWN, None])
def test_groups_of_streams_with_an_array_per_video(known: set[str] | None, tmp_path: Path) -> None:
    hdf5(tmp_path / "features.h5", rgb__a=A, rgb__v_b=B, flow__a=A + 1, flow__v_b=B + 1)
    found = index(tmp_path, known)
    assert [(p.video, p.problem, p.remedy) for p in found.problems] == [
        (
            name,
            "contains 2 arrays (flow, rgb), one per video is needed",
            'keep one, or join them: [features] join = ["flow", "rgb"] in dataset.toml',
        )
        for name in ("a", "b")
    ]
    joined = index(tmp_path, known, join=("rgb", "flow"))
    assert not joined.problems
    np.testing.assert_array_equal(read_array(joined.entries["b"]), np.hstack([B, B + 1]))
    alone = index(tmp_path, known, join=("flow",))
    np.testing.assert_array_equal(read_array(alone.entries["a"]), A + 1)
    assert alone.notes == (f"{tmp_path}: ignored arrays: rgb (2)",)


def test_arrays_of_one_name_in_several_groups(tmp_path: Path) -> None:
    hdf5(tmp_path / "features/a.h5", i3d__rgb=A, c3d__rgb=A + 1)
    (problem,) = index(tmp_path).problems
    assert problem.remedy.endswith('join = ["c3d/rgb", "i3d/rgb"] in dataset.toml')
    joined = index(tmp_path, join=("i3d/rgb", "c3d/rgb"))
    np.testing.assert_array_equal(read_array(joined.entries["a"]), np.hstack([A, A + 1]))


def test_arrays_that_cannot_be_joined_are_not_advised_to_be(tmp_path: Path) -> None:
    npz(tmp_path / "features/a.npz", rgb=A, boxes=B[:, :4])
    (problem,) = index(tmp_path).problems
    assert (
        problem.problem == "contains 2 arrays (rgb (9, 6), boxes (8, 4)), one per video is needed"
    )
    assert problem.remedy == 'keep one, or choose it: [features] join = ["rgb"] in dataset.toml'
    for spec in ({"join": ("rgb",)}, {"channels": CHANNELS}):
        found = index(tmp_path, **spec)
        np.testing.assert_array_equal(read_array(found.entries["a"]), A)
        assert found.notes == (f"{tmp_path}/features: ignored arrays: boxes",)


@pytest.mark.parametrize("known", [KNOWN, None])
@pytest.mark.parametrize("place", ["features.npz", "features.h5"])
def test_other_arrays_in_a_file_of_all_videos(
    place: str, known: set[str] | None, tmp_path: Path
) -> None:
    others = {"fps": np.array(25.0), "names": np.array([b"a", b"b"]), "lengths": np.array([9, 8])}
    write = npz if place.endswith("npz") else hdf5
    write(tmp_path / place, a=A, b=B, **others)
    found = index(tmp_path, known)
    assert not found.problems
    assert found.entries.keys() == KNOWN
    (note,) = found.notes
    assert set(note.removeprefix(f"{tmp_path}: ignored arrays: ").split(", ")) == others.keys()


def test_a_bad_array_of_an_annotated_video_is_not_passed_over(tmp_path: Path) -> None:
    npz(tmp_path / "features.npz", a=A, b=np.ones(9))
    assert index(tmp_path).entries.keys() == KNOWN  # so that reading it reports its shape


def test_arrays_of_usual_names_are_no_videos(tmp_path: Path) -> None:
    npz(tmp_path / "features/vid0.npz", rgb=A, flow=A)
    with pytest.raises(AnnotationError, match=r"vid0.npz: contains 2 arrays \(rgb, flow\)"):
        Dataset.load(tmp_path)


def test_arrays_of_different_lengths_are_not_joined(tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", rgb=A, flow=B)
    with pytest.raises(FeatureError, match="9, 8 snippets cannot be joined"):
        read_array(Entry(tmp_path / "a.npz", "rgb", ("flow",)))


def test_a_join_that_is_never_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features/a.npy", A)
    assert index(tmp_path, join=("rgb", "flow")).notes == (
        f"{tmp_path}/features: no file contains the arrays that dataset.toml joins",
    )


@pytest.mark.parametrize("join", [(), ("rgb", "rgb")])
def test_join_names_arrays_once(join: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="join must name arrays"):
        FeatureSpec(join=join)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    (folder / "flow").mkdir(parents=True)
    np.save(folder / "a.npy", A)
    for name in ("a.json", "b.pkl", "stranger.pt", "README", ".DS_Store"):
        (folder / name).write_bytes(pickle.dumps([1]))
    npz(tmp_path / "features.npz", a=A)
    (tmp_path / "features.pkl").touch()
    (tmp_path / "csv_mean_100").mkdir()
    found = index(tmp_path)
    assert [(p.video, p.problem, p.remedy) for p in found.problems] == [
        ("b", ".pkl is not read", "write .npy, .csv, .npz, .h5 or .hdf5")
    ]
    assert found.notes == (
        f"{folder}: ignored folders: flow, csv_mean_100",
        f"{folder}: ignored files: features.npz, .pkl, README, .json, .pt",
    )


def test_a_video_whose_file_is_not_read_is_one_problem(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    (folder / "features/video0.npy").rename(folder / "features/video0.pt")
    dataset = check_dataset(Dataset.load(folder), on_error="skip")
    assert [(p.video, p.problem) for p in dataset.problems] == [("video0", ".pt is not read")]


def test_links_and_attributes_of_hdf5_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["a"] = A
        file["a"].attrs["fps"] = 25
        file.attrs["backbone"] = "i3d"
        file["b"] = h5py.SoftLink("/a")
    found = index(tmp_path)
    assert found.entries.keys() == {"a"}
    assert found.notes == (
        f"{tmp_path}: ignored attributes: backbone, fps",
        f"{tmp_path}: ignored links: b",
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 6, 1, 1), (9, 6)),
        ((1, 9, 6), (9, 6)),
        ((9, 1, 6), (9, 6)),
        ((1, 6, 1, 1), (1, 6)),
        ((9, 1), (9, 1)),
    ],
)
def test_axes_of_one_are_dropped(
    shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    for mapped in (False, True):
        assert read_array(Entry(tmp_path / "a.npy"), mapped=mapped).shape == expected


@pytest.mark.parametrize("shape", [(9,), (9, 2, 3), (0, 6), ()])
def test_other_shapes_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    with pytest.raises(FeatureError, match="a filled"):
        read_array(Entry(tmp_path / "a.npy"))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        (
            "a.npy",
            lambda p: np.save(p, np.array([{}])),
            "a.npy: it contains Python objects, not num",
        ),
        ("a.npy", lambda p: np.save(p, np.array(["x"])), "a.npy: it contains <U1, not numbers"),
        (
            "a.npz",
            lambda p: np.savez(p, x=np.array([{}])),
            "a.npz: it contains Python objects, not",
        ),
        ("a.csv", lambda p: p.write_text("a,b\n1,\n"), "a.csv: 1 field empty or NaN"),
    ],
)
def test_whole_files_are_not_called_damaged(
    name: str, write: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    key = "x" if name == "a.npz" else None
    with pytest.raises(FeatureError, match=message) as caught:
        read_array(Entry(tmp_path / name, key))
    assert "damaged" not in str(caught.value)


def rows(values: Float32, mark: str = ",") -> list[str]:
    return [mark.join(map(repr, row)) for row in values.tolist()]


@pytest.mark.parametrize(
    ("lines", "expected", "dropped"),
    [
        pytest.param(
            [",f0,f1", "0,1.5,2", "1,3,4"],
            [[1.5, 2], [3, 4]],
            "a first column of row numbers",
            id="index",
        ),
        pytest.param(
            ['"",0,1', "0,1.5,2"], [[1.5, 2]], "a first column of row numbers", id="numbers"
        ),
        pytest.param(
            ["Unnamed: 0,a", "0,5", "1,6"], [[5], [6]], "a first column of row numbers", id="twice"
        ),
        pytest.param([",f0,f1", "1,1.5,2", "0,3,4"], [[1, 1.5, 2], [0, 3, 4]], "", id="no-index"),
        pytest.param(["f0,f1", "0,5", "1,6"], [[0, 5], [1, 6]], "", id="named-column"),
        pytest.param(["0,5", "1,6"], [[0, 5], [1, 6]], "", id="no-header"),
        pytest.param(
            ["0,1,2", "4,5,6"], [[4, 5, 6]], "the header 0, 1, 2, ...", id="header-of-numbers"
        ),
        pytest.param(["a;b", "1.5;2"], [[1.5, 2]], "", id="semicolons"),
        pytest.param(["1.5\t2", "3\t4"], [[1.5, 2], [3, 4]], "", id="tabs"),
        pytest.param(["1.5e+00 2", "3 4"], [[1.5, 2], [3, 4]], "", id="blanks"),
        pytest.param(["1, 2", "3, 4"], [[1, 2], [3, 4]], "", id="commas-and-blanks"),
        pytest.param(["my x,y", "3,4"], [[3, 4]], "", id="blank-in-a-name"),
        pytest.param(["a;b", "1,5;2", "3;4,25"], [[1.5, 2], [3, 4.25]], "", id="decimal-commas"),
        pytest.param(["1,5;2", "3;4,25"], [[1.5, 2], [3, 4.25]], "", id="without-a-header"),
        pytest.param(["1,5\t-2,25", "3\t4"], [[1.5, -2.25], [3, 4]], "", id="commas-and-tabs"),
        pytest.param(
            ['"","V1"', '"1",1.5', '"2",3'],
            [[1.5], [3]],
            "a first column of row numbers",
            id="row-numbers-of-R",
        ),
        pytest.param(
            ["time,f0", "0.0,5", "0.53,6", "1.07,7"],
            [[5], [6], [7]],
            "a first column 'time', which counts up",
            id="times",
        ),
        pytest.param(
            ["Frame;f0", "8;5,5", "24;6"],
            [[5.5], [6]],
            "a first column 'Frame', which counts up",
            id="frames",
        ),
        pytest.param(["time,f0", "3,5", "1,6"], [[3, 5], [1, 6]], "", id="a-feature-named-time"),
        pytest.param(["speed,f0", "1,5", "2,6"], [[1, 5], [2, 6]], "", id="a-feature-that-rises"),
    ],
)
def test_tables_of_pandas_and_numpy(
    lines: list[str], expected: list[list[float]], dropped: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    assert read_array(Entry(tmp_path / "a.csv")).tolist() == expected
    folder = tmp_path / "set"
    (folder / "features").mkdir(parents=True)
    (tmp_path / "a.csv").rename(folder / "features/a.csv")
    (folder / "dataset.toml").write_text("[features]\nstride_seconds = 1\n")
    notes = check_dataset(Dataset.load(folder)).notes[1:]
    assert notes == ((f"dropped from 1 CSV file: {dropped}",) if dropped else ())


def written(path: Path, first: Callable[[int], list[float]], toml: str = "") -> Path:
    """Write a dataset of CSV files without a header, with a further first column."""
    (path / "features").mkdir(parents=True)
    for name, values in (("a", A), ("b", B)):
        table = np.column_stack([first(len(values)), values])
        np.savetxt(path / f"features/{name}.csv", table, "%.9g", ",")
    (path / "dataset.toml").write_text(f"[features]\nstride_seconds = 1\n{toml}")
    return path


@pytest.mark.parametrize("begin", [0, 1])
@pytest.mark.parametrize(
    ("toml", "expected"), [("", None), ("channels = 6\n", None), ("", 6), ('layout = "TC"\n', None)]
)
def test_row_numbers_of_all_files_are_no_channel(
    begin: int, toml: str, expected: int | None, tmp_path: Path
) -> None:
    path = written(tmp_path, lambda rows: list(range(begin, begin + rows)), toml)
    dataset = check_dataset(Dataset.load(path), channels=expected)
    assert "dropped from 2 CSV files: a first column of row numbers" in dataset.notes
    assert dataset.spec.channels == CHANNELS
    np.testing.assert_array_equal(dataset.read("a").values, A)
    np.testing.assert_array_equal(dataset.read("b").values, B)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(lambda rows: np.arange(rows) * 0.5, id="starts"),
        pytest.param(lambda rows: np.arange(rows) * 16 + 8, id="centres"),
        pytest.param(lambda rows: np.round(np.arange(rows) * 16 / 30, 2), id="rounded"),
    ],
)
@pytest.mark.parametrize(("toml", "expected"), [("channels = 6\n", None), ("", 6)])
def test_times_of_all_files_are_no_channel(
    first: Callable[[int], list[float]], toml: str, expected: int | None, tmp_path: Path
) -> None:
    dataset = check_dataset(Dataset.load(written(tmp_path, first, toml)), channels=expected)
    assert "dropped from 2 CSV files: a first column of times" in dataset.notes
    np.testing.assert_array_equal(dataset.read("a").values, A)
    np.testing.assert_array_equal(dataset.read("b").values, B)


def test_times_of_some_files_are_not_dropped(tmp_path: Path) -> None:
    path = written(tmp_path, lambda rows: np.arange(rows) * 0.5, "channels = 6\n")
    np.savetxt(path / "features/b.csv", B, "%.9g", ",")
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(path))
    assert [p.problem for p in caught.value.problems] == ["7 channels, 6 expected"]


def test_ids_of_any_unicode_form_are_one(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features/cafe\u0301.npy", A)
    (tmp_path / "annotations.csv").write_text(
        "video,start,end,label,duration\ncaf\u00e9,1,2,x,10\n", encoding="utf-8"
    )
    dataset = check_dataset(Dataset.load(tmp_path), channels=CHANNELS)
    np.testing.assert_array_equal(dataset.read("caf\u00e9").values, A)
    assert any("ids were converted to Unicode NFC: 1" in note for note in dataset.notes)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".npz"])
@pytest.mark.parametrize("target", ["gone", "a"])
def test_links_that_lead_nowhere_are_named(suffix: str, target: str, tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features/b.npy", B)
    (tmp_path / f"features/a{suffix}").symlink_to(f"{target}{suffix}")
    (tmp_path / "dataset.toml").write_text("[features]\nstride_seconds = 1\nchannels = 6\n")
    with pytest.raises(DatasetError) as caught:
        check_dataset(Dataset.load(tmp_path))
    found = [(p.video, p.problem, p.remedy) for p in caught.value.problems if p.is_error]
    assert found == [("a", "a link that leads nowhere", "correct or remove the link")]


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".npz"])
def test_files_without_permission_are_named(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features/b.npy", B)
    (tmp_path / f"features/a{suffix}").write_text("0,1\n")
    (tmp_path / "dataset.toml").write_text("[features]\nstride_seconds = 1\nchannels = 6\n")
    stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if path.stem == "a":
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    dataset = Dataset.load(tmp_path) if suffix != ".npz" else None
    monkeypatch.setattr("actspan.data.array_files.Path.stat", refuse)
    if dataset is None:
        with pytest.raises(
            FeatureError, match="cannot be read: permission denied; change its permissions"
        ):
            list_arrays(tmp_path / "features/a.npz", Ignored())
        return
    with pytest.raises(DatasetError) as caught:
        check_dataset(dataset)
    found = [(p.video, p.problem, p.remedy) for p in caught.value.problems if p.is_error]
    assert found == [("a", "cannot be read: permission denied", "change its permissions")]


def test_row_numbers_of_some_files_are_dropped_where_channels_are_known(tmp_path: Path) -> None:
    path = written(tmp_path, lambda rows: list(range(rows)), "channels = 6\n")
    np.savetxt(path / "features/b.csv", B, "%.9g", ",")
    dataset = check_dataset(Dataset.load(path))
    assert "dropped from 1 CSV file: a first column of row numbers" in dataset.notes
    np.testing.assert_array_equal(dataset.read("a").values, A)
    np.testing.assert_array_equal(dataset.read("b").values, B)


@pytest.mark.parametrize(
    ("first", "toml"),
    [
        pytest.param(lambda rows: list(range(rows)), "channels = 7\n", id="as-dataset.toml-says"),
        pytest.param(lambda rows: list(range(2, rows + 2)), "", id="from-two"),
        pytest.param(lambda rows: [0, *range(rows - 1)], "", id="not-even"),
        pytest.param(lambda rows: list(range(rows)) if rows > 8 else [1] * rows, "", id="one-file"),
    ],
)
def test_other_first_columns_are_channels(
    first: Callable[[int], list[float]], toml: str, tmp_path: Path
) -> None:
    dataset = check_dataset(Dataset.load(written(tmp_path, first, toml)))
    assert dataset.spec.channels == CHANNELS + 1
    assert dataset.read("a").values[:, 0].tolist() == first(len(A))


def test_a_model_that_counts_a_dropped_column_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    for name, values in (("a", A), ("b", B)):
        table = np.column_stack([np.arange(len(values)), values])
        header = ",".join(["time", *"uvwxyz"])
        np.savetxt(tmp_path / f"features/{name}.csv", table, "%g", ",", header=header, comments="")
    message = "6 channels without a first column 'time', which counts up, but the model expects 7"
    with pytest.raises(FeatureError, match=message):
        check_dataset(Dataset.load(tmp_path), channels=7)


def test_decimal_commas_between_commas_are_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    (folder / "features/video0.npy").unlink()
    (folder / "features/video0.csv").write_text('"1,5","2,5"\n"3,5","4"\n')
    found = check_dataset(Dataset.load(folder), on_error="skip").problems
    assert [(p.video, p.problem, p.remedy) for p in found] == [
        (
            "video0",
            "numbers have decimal commas, and so have fields",
            "write decimal points, or semicolons between fields",
        )
    ]


def test_one_number_per_snippet_says_how_to_shape_it(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    np.save(folder / "features/video0.npy", np.ones(9))
    (found,) = check_dataset(Dataset.load(folder), on_error="skip").problems
    assert found.remedy == "reshape it to (T, 1), if it has one number per snippet"


def test_features_without_any_content_are_noted(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    (path, *_) = files = sorted((folder / "features").iterdir())
    np.save(path, np.zeros_like(np.load(path)))
    notes = check_dataset(Dataset.load(folder)).notes
    assert f"all values are the same in 1 of {len(files)} files" in notes
