"""Datasets in an object store that misbehaves: the same results, or one error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Dataset
from actspan.core.errors import ActSpanError, DataError
from actspan.data.data_requests import PackRequest
from actspan.data.dataset import _download, local_folder, location_of
from actspan.data.pack import pack_dataset
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset
from tests.object_store import FAULTS, Fault, FaultyStore, object_store, upload

# the drivers below warn of their own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def store() -> Iterator[FaultyStore]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as store:
        patch.setattr("actspan.core.storage._WAITS", (0.01, 0.02, 0.04))
        yield store


@pytest.fixture(autouse=True)
def behaves(store: FaultyStore) -> Iterator[None]:
    yield
    store.fault = "none"
    _download.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle, a dataset, and two stores of it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=12)
    pack_dataset(PackRequest(folder / "set", folder / "any", shard_size=4000))
    pack = PackRequest(folder / "set", folder / "cells", length=20, dtype="float16")
    pack_dataset(replace(pack, shard_size=1000))
    return folder


@pytest.mark.parametrize("name", ["any", "cells", "set"])
def test_features_are_those_that_lie_here(store: FaultyStore, folder: Path, name: str) -> None:
    here = Dataset.load(folder / name)
    there = Dataset.load(local_folder(upload(folder / name, name)))
    assert [video.id for video in there] == [video.id for video in here]
    for video in here:
        expected, found = here.read(video.id), there.read(video.id)
        np.testing.assert_array_equal(found.values, expected.values)
        assert (found.stride, found.length, found.seconds) == (
            expected.stride,
            expected.length,
            expected.seconds,
        )


def proposed(folder: Path, dataset: Path, out: Path, **changes: object) -> bytes:
    request = ProposeRequest(folder / "bundle", dataset, out, shard_size=5, threads=2)
    propose(replace(request, **changes))  # type: ignore[arg-type]
    return out.read_bytes()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_misbehaves_gives_the_same_bytes(
    store: FaultyStore, folder: Path, tmp_path: Path, fault: Fault
) -> None:
    url = upload(folder / "cells", "cells")
    store.fault = fault
    shards = f"s3://bucket/{fault}.partial"
    found = proposed(folder, local_folder(url), tmp_path / "there.json", shards=shards)
    assert found == proposed(folder, folder / "cells", tmp_path / "here.json")


def test_a_store_that_dies_gives_one_error_and_loses_nothing(
    store: FaultyStore, folder: Path, tmp_path: Path
) -> None:
    dataset, shards = local_folder(upload(folder / "cells", "cells")), "s3://bucket/dies.partial"

    def die(what: str, done: int, total: int) -> None:
        if what == "propose":
            store.fault = "dead"

    request = ProposeRequest(
        folder / "bundle", dataset, tmp_path / "x.json", shard_size=2, threads=1, shards=shards
    )
    with pytest.raises(ActSpanError, match=r"^s3://bucket/\S+: the (object )?store fails"):
        propose(request, die)
    store.fault = "none"
    done = propose(replace(request, resume=True))
    assert done.kept >= 2
    here = proposed(folder, folder / "cells", tmp_path / "here.json")
    assert request.out.read_bytes() == here


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("s3://bucket/nothing", "nothing: no files found", id="empty"),
        pytest.param("nosuch://bucket/x", "cannot be reached: .*nosuch", id="no protocol"),
    ],
)
def test_what_is_not_there(store: FaultyStore, url: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        local_folder(url)


def test_a_shard_cut_short_is_named(store: FaultyStore, folder: Path) -> None:
    import fsspec

    url = upload(folder / "cells", "damaged")
    files = fsspec.filesystem("s3")
    whole = files.cat_file("bucket/damaged/00000.arrow")
    files.pipe_file("bucket/damaged/00000.arrow", whole[:-40])
    with pytest.raises(DataError, match=r"^s3://bucket/damaged/00000\.arrow: damaged"):
        Dataset.load(local_folder(url))


def test_local_folders_stay_as_they_are(tmp_path: Path) -> None:
    assert local_folder(tmp_path) == local_folder(f"file://{tmp_path}") == tmp_path
    assert location_of(tmp_path) == str(tmp_path)
