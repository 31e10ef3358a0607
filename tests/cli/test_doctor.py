"""`actspan doctor`: what it finds here, and faults that are put in its way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import actspan.cli.doctor as doctor
from actspan.cli import doctor_checks, doctor_machine, doctor_packages, main
from actspan.cli.doctor_checks import Finding
from actspan.core import machine


def by_part(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["part"]: entry for entry in entries}


def test_what_is_installed_works_here() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "actspan", "doctor", "--json"],
        env=os.environ | {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], done.stderr) == (0, True, "")
    checks = by_part(found["checks"])
    for part in ("backend onnxruntime", "kernels", "temporary files", "cache of kernels"):
        assert checks[part]["state"] == "works", checks[part]
    assert "largest difference" in checks["backend onnxruntime"]["detail"]
    slow = by_part(found["slow"])
    assert slow["OPENBLAS_CORETYPE"]["reason"].startswith("NumPy computes as on Haswell")
    assert slow["OPENBLAS_CORETYPE"]["reason"].endswith(": unset it")
    if found["cores"] > 1:
        assert "it is 1, fewer than" in slow["OMP_NUM_THREADS"]["reason"]


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("raise ImportError('libhdf5.so.310: cannot open shared object file')", "libhdf5.so.310"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL: is h5py"),
        ("import os; os._exit(3)", "no message"),
    ],
)
def test_a_package_that_is_installed_but_does_not_work(
    code: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "h5py.py").write_text(code)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "run_checks", lambda: doctor_checks.run_check("hdf5"))
    done = CliRunner().invoke(main, ["doctor"], env={"COLUMNS": "80"})
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    broken = " ".join(done.stdout.partition("Does not work:")[2].split())
    assert broken.startswith("hdf5 ")
    assert detail in broken
    assert done.stderr == "error: hdf5 does not work; the list above says why\n"


def test_a_check_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "_SECONDS", 0.01)
    (finding,) = doctor_checks.run_check("kernels")
    assert (finding.state, finding.detail) == ("fails", "no answer within 0 s")


def test_a_package_that_is_absent_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "find_spec", lambda name: None)
    found = doctor_checks.run_check("runtime torch")
    assert [finding.part for finding in found] == ["backend torch", "backend torch:cuda"]
    assert {finding.state for finding in found} == {"absent"}


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    findings = {finding.part: finding for finding in doctor_machine.check_folders(str(missing))}
    assert findings["temporary files"].state == "works"
    assert findings["cache of kernels"].state == "fails"
    assert findings["cache of kernels"].detail.endswith(
        ": set NUMBA_CACHE_DIR to a folder that can"
    )


def test_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "core_count", lambda: 4)
    monkeypatch.setattr(doctor_machine, "core_quota", lambda: 1.5)
    monkeypatch.setattr(doctor_machine, "load_average", lambda: 3.0)
    monkeypatch.setattr(doctor_machine, "cpu_flags", lambda: ("avx", "avx2"))
    monkeypatch.setattr(doctor_machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(doctor_machine, "network_file_system", lambda folder: "nfs4")
    found = [
        Finding("kernels", "works", "numba 1, compiled in 9.0 s"),
        Finding("backend openvino", "absent", "not installed"),
    ]
    slow = [f"{part}: {reason}" for part, reason in doctor_machine.slow_parts(found, "/cache")]
    for text in (
        "cores: the container may use 1.5 of 4: pass --threads 1",
        "load: an average of 3.0 on 4 cores",
        "processor: it has no AVX-512, so networks compute with AVX2",
        "cache of kernels: /cache is on a network file system (nfs4)",
        "kernels: they were compiled now",
        "openvino: not installed",
    ):
        assert any(line.startswith(text) for line in slow), text


def test_the_file_system_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = f"/dev/a / ext4 rw 0 0\nhost:/x {tmp_path} nfs4 rw 0 0\nb {tmp_path}/disk xfs rw 0 0\n"
    monkeypatch.setattr(machine.Path, "read_text", lambda self, encoding: mounts)
    (tmp_path / "disk").mkdir()
    assert machine.network_file_system(tmp_path) == "nfs4"
    assert machine.network_file_system(tmp_path / "disk") == ""
    assert machine.network_file_system(Path("/")) == ""


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [
        "numpy>=2",
        "onnxruntime>=1.27",
        "av>=18; extra == 'video'",
        "torch>=2; extra == 'train'",
        "h5py>=3; extra == 'hdf5'",
        "pytest; extra == 'dev'",
        "colorama; sys_platform == 'nothing'",
    ]
    numbers = {"numpy": "2.4", "onnxruntime-gpu": "1.31.1", "av": "17.0", "torch": "2.13.0+cpu"}
    modules = {"onnxruntime": ["onnxruntime-gpu"], "h5py": ["h5py"]}

    def version(name: str) -> str:
        if name not in numbers:
            raise PackageNotFoundError(name)
        return numbers[name]

    class Metadata:
        def get_all(self, name: str) -> list[str]:
            return ["video", "train", "hdf5", "dev"]

    monkeypatch.setattr(doctor_packages, "requires", lambda name: wanted)
    monkeypatch.setattr(doctor_packages, "metadata", lambda name: Metadata())
    monkeypatch.setattr(doctor_packages, "version", version)
    monkeypatch.setattr(doctor_packages, "packages_distributions", lambda: modules)
    extras = {extra.name: extra for extra in doctor_packages.installed_extras()}
    assert list(extras) == ["core", "hdf5", "train", "video"]
    assert {name for name, extra in extras.items() if extra.complete} == {"core", "train"}
    assert {name for name, extra in extras.items() if extra.broken} == {"video"}
    assert extras["video"].description.startswith("another version is needed: av 17.0 (>=18): pip")
    assert extras["hdf5"].description.startswith("not installed: h5py: pip install")
    assert extras["train"].description == "complete: torch 2.13.0+cpu"
    assert extras["core"].description == "complete: numpy 2.4, onnxruntime-gpu 1.31.1"
