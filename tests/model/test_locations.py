"""Bundles in archives and at addresses."""

from __future__ import annotations

import io
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import actspan
from actspan import Bundle
from actspan.core.errors import BundleError
from actspan.model import LABEL_FREE, locations
from actspan.model.locations import bundle_folder, bundle_location
from tests.examples import write_bundle, write_dataset


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a bundle, and archives of it."""
    folder = tmp_path_factory.mktemp("files")
    write_bundle(folder / "bsn")
    shutil.make_archive(str(folder / "inside"), "zip", folder, "bsn")
    shutil.make_archive(str(folder / "flat"), "gztar", folder / "bsn")
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *details: object) -> None:
        """Keep the output of tests short."""


@pytest.fixture(scope="module")
def address(files: Path) -> Iterator[str]:
    """Yield the address of a web server for these files."""
    handler = partial(Quiet, directory=str(files))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["bsn", "inside.zip", "flat.tar.gz"])
def test_a_bundle_is_found_in_a_folder_an_archive_and_at_an_address(
    name: str, files: Path, address: str
) -> None:
    expected = Bundle.load(files / "bsn")
    for where in (files / name, f"{address}/{name}"):
        found = Bundle.load(bundle_folder(where))
        assert found.files == expected.files
        for file in found.files:
            found.file(file)  # is complete


@pytest.mark.parametrize("name", ["bsn", "inside.zip"])
def test_a_run_names_where_its_bundle_came_from(
    name: str, files: Path, address: str, tmp_path: Path
) -> None:
    dataset = write_dataset(tmp_path / "dataset", videos=2)
    for number, where in enumerate((f"{files / name}", f"{address}/{name}")):
        token = "?token=secret" if where.endswith(".zip") and number else ""
        run = actspan.propose(model=where + token, dataset=dataset, out=tmp_path / f"run{number}")
        assert run.propose_options()[:2] == ["--model", where]
        assert bundle_location(bundle_folder(where + token)) == where + token


def test_none_is_label_free() -> None:
    assert bundle_folder(None) == LABEL_FREE


def test_an_address_without_a_bundle_is_named(address: str) -> None:
    with pytest.raises(BundleError, match=rf"{address}/none/model\.toml: cannot be fetched"):
        bundle_folder(f"{address}/none/")
    with pytest.raises(BundleError, match=r"cannot be fetched.*check the address"):
        bundle_folder("http://127.0.0.1:9/bsn.zip?token=secret")
    with pytest.raises(BundleError, match=r"^((?!secret).)*$"):
        bundle_folder("http://127.0.0.1:9/bsn.zip?token=secret")


def test_a_file_that_is_larger_than_its_record_is_not_read(
    files: Path, address: str, tmp_path: Path
) -> None:
    damaged = files / "damaged"
    shutil.copytree(files / "bsn", damaged)
    with (damaged / "pem.onnx").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match=r"pem\.onnx: larger than the .* bytes"):
        bundle_folder(f"{address}/damaged")


def test_archives_that_cannot_be_used_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(BundleError, match=r"text\.zip: this archive cannot be unpacked"):
        bundle_folder(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BundleError, match=r"contains no bundle \(no model\.toml\)"):
        bundle_folder(tmp_path / "other.zip")
    with tarfile.open(tmp_path / "outside.tar", "w") as archive:
        info = tarfile.TarInfo("../outside/model.toml")
        archive.addfile(info, io.BytesIO())
    with pytest.raises(BundleError, match="cannot be unpacked"):
        bundle_folder(tmp_path / "outside.tar")
    assert not (tmp_path.parent / "outside").exists()
    monkeypatch.setattr(locations, "WEIGHTS", 4)
    with pytest.raises(ValueError, match="here are more"):
        locations._check_content([3, 2])


def test_limits_of_archives() -> None:
    with pytest.raises(ValueError, match="at most 1,000 files"):
        locations._check_content([0] * 1001)
