"""Check what the wheel and the sdist contain: `python .ci/check_dist.py dist/`."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from packaging.metadata import InvalidMetadata, Metadata

ROOT = Path(__file__).resolve().parents[1]
# Kinds of files of the package; everything else is debris, or was added without a decision.
SUFFIXES = {
    *(".py", ".typed", ".toml"),
    *(".onnx", ".safetensors"),  # networks of the demo, and the backbone
    *(".js", ".css", ".html", ".svg", ".j2"),  # the viewer and the report
}
NEEDED = (
    "actspan/py.typed",
    "actspan/model/demo/tem.safetensors",
    "actspan/model/label_free/model.toml",
    "actspan/report/assets/report.html.j2",
    "actspan/server/viewer/index.html",
    "actspan/streams/efficientnet-lite0.onnx",
)
RECORDS = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE")
LARGEST = 16_000_000  # bytes of the wheel; the backbone has 13 MB


def wheel_faults(path: Path) -> list[str]:
    """Return what is wrong with the files of a wheel, one line each."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        notice = next((wheel.read(n).decode() for n in names if n.endswith("/NOTICE")), "")
        metadata = next((wheel.read(n).decode() for n in names if n.endswith("/METADATA")), "")
    info = "-".join(path.name.split("-")[:2]) + ".dist-info"
    expected = {f"{info}/{name}" for name in RECORDS}
    package = {name for name in names if name.startswith("actspan/")}
    faults = [f"{name} is missing" for name in sorted({*NEEDED, *expected} - names)]
    faults += [f"{name} does not belong to it" for name in sorted(names - package - expected)]
    faults += [
        f"{name}: unexpected kind of file"
        for name in sorted(package)
        if PurePosixPath(name).suffix not in SUFFIXES or PurePosixPath(name).name.startswith(".")
    ]
    source = {
        file.relative_to(ROOT / "src").as_posix()
        for file in (ROOT / "src/actspan").rglob("*")
        if file.suffix in SUFFIXES
    }
    faults += [f"{name} is in the repository only" for name in sorted(source - package)]
    faults += [f"{name} is in the wheel only" for name in sorted(package - source)]
    weights = {name for name in package if name.endswith((".onnx", ".safetensors"))}
    faults += [
        f"NOTICE does not name {name} or its folder"
        for name in sorted(weights)
        if name not in notice and f"{PurePosixPath(name).parent}/ " not in notice
    ]
    try:
        Metadata.from_email(metadata, validate=True)
    except* InvalidMetadata as invalid:
        faults += [f"METADATA: {error}" for error in invalid.exceptions]
    if "](docs/" in metadata:
        faults.append("the readme has links that are relative, which an index cannot follow")
    if path.stat().st_size > LARGEST:
        faults.append(f"it has {path.stat().st_size:,} bytes, more than {LARGEST:,}")
    return faults


def sdist_faults(path: Path) -> list[str]:
    """Return what is wrong with the files of an sdist, one line each."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = ("pyproject.toml", "src/actspan/__init__.py", "tests/conftest.py", "constraints.txt")
    faults = [f"{name} is missing" for name in needed if name not in names]
    debris = ("__pycache__", ".venv", "node_modules", "build", "demo-output")
    return faults + [f"{n} is debris" for n in sorted(names) if set(n.split("/")) & set(debris)]


def main() -> int:
    """Check the one wheel and the one sdist in a folder; return the exit status."""
    folder = Path(sys.argv[1])
    wheels, sdists = (sorted(folder.glob(form)) for form in ("*.whl", "*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        print(f"{folder}: one wheel and one sdist are needed; build them: make dist")
        return 1
    faults = [f"{wheels[0].name}: {fault}" for fault in wheel_faults(wheels[0])]
    faults += [f"{sdists[0].name}: {fault}" for fault in sdist_faults(sdists[0])]
    print("\n".join(faults) or f"{wheels[0].name} and {sdists[0].name} have what they must have")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
