"""Checks of `actspan doctor`, each in a process of its own.

A package that ends or blocks its process (for example, one built for another processor) is then
reported like any other fault. `python -m actspan.cli.doctor_checks NAME` prints what one check
found, as JSON.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import as_file, files
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Literal

from actspan.core.machine import core_count
from actspan.core.temporary import temporary_folder
from actspan.runtime.backends import BACKENDS, Backend

State = Literal["works", "fails", "absent"]  # absent: not installed, or no such device

_SECONDS = 60.0  # a check that takes longer has failed; the first start of a package is slow
_TOLERANCE = 1e-3  # difference of probabilities that is allowed in float32


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check of one part; `cache` is the folder of the compiled kernels."""

    part: str
    state: State
    detail: str
    cache: str = ""


def _kernels() -> Iterator[Finding]:
    """Compile a kernel, or load it from the cache, and run it."""
    start = perf_counter()
    import numpy as np

    from actspan.core.kernels import descending

    if descending(np.array([0.2, 0.9, 0.5])).tolist() != [1, 2, 0]:
        raise RuntimeError("a compiled kernel sorts wrongly")
    stats: Any = descending.stats
    how = "loaded from the cache" if stats.cache_hits else "compiled"
    detail = f"numba {version('numba')}, {how} in {perf_counter() - start:.1f} s"
    yield Finding("kernels", "works", detail, cache=str(stats.cache_path))


def _runtime(module: str) -> Iterator[Finding]:
    """Run TEM of the demo on every backend of a module, and compare it with the NumPy twin."""
    for backend in BACKENDS.values():
        if backend.module == module:
            yield _backend(backend)


def _backend(backend: Backend) -> Finding:
    support = backend.check()
    part = f"backend {backend.name}"
    if not support.installed:
        return Finding(part, "absent", f"not installed: {backend.install}")
    if not support.usable:
        return Finding(part, "absent", support.problem.removeprefix(f"{part}: "))
    if backend.suffix not in (".onnx", ".safetensors"):
        detail = f"{support.version}; its files come from actspan compile, so none was run here"
        return Finding(part, "works", detail)
    import numpy as np
    from safetensors.numpy import load_file

    from actspan.model.bsn.forward import tem_forward
    from actspan.model.bundle import Bundle
    from actspan.model.nets import FORMS
    from actspan.runtime.opening import open_net

    with as_file(files("actspan.model") / "demo") as folder:
        bundle = Bundle.load(folder)
        tem = bundle.config.tem
        assert tem is not None
        video = np.random.default_rng(0).normal(size=(2, tem.channels, tem.length))
        video = video.astype(np.float32)
        with open_net(bundle, "tem", backend=backend.name) as session:
            (output,) = session.run({FORMS["tem"].input: video}).values()
        expected = tem_forward(load_file(folder / "tem.safetensors"), video)
    difference = float(np.abs(output - expected).max())
    detail = f"{support.version}, on {backend.device}; largest difference {difference:.0e}"
    if difference > _TOLERANCE and backend.precision == "float32":
        return Finding(part, "fails", f"{detail}: the result is wrong; install another version")
    return Finding(part, "works", detail)


def _video() -> Iterator[Finding]:
    """Write a short video, decode it, and compute features of a frame."""
    import av
    import numpy as np

    from actspan.streams.backbone import Backbone, find_backbone
    from actspan.streams.video_decoding import VideoFile

    with temporary_folder() as folder:
        path = folder / "short.mp4"
        with av.open(path, "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 64
            for level in range(8):
                picture = np.full((64, 64, 3), 30 * level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        with VideoFile(path) as video:
            frames = sum(1 for _ in video.frames())
    if frames != 8:
        raise RuntimeError(f"{frames} of 8 frames of a video were decoded")
    decoders = [name for name in ("h264", "hevc", "vp9", "av1") if name in av.codecs_available]
    detail = f"PyAV {version('av')}, with FFmpeg's libraries (no ffmpeg program is needed)"
    yield Finding("video", "works", f"{detail}; decodes {', '.join(decoders)}")
    with Backbone(find_backbone("default"), backend="onnxruntime") as backbone:
        pixels = np.zeros((1, backbone.size.height, backbone.size.width, 3), np.uint8)
        channels = backbone.embed(pixels).shape[-1]
    yield Finding("backbone", "works", f"EfficientNet-Lite0, {channels} channels")


def _pictures() -> Iterator[Finding]:
    """Draw a line into a PNG in memory."""
    from io import BytesIO

    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([0, 1])
    figure.savefig(BytesIO(), format="png")
    yield Finding("pictures", "works", f"matplotlib {version('matplotlib')}")


def _hdf5() -> Iterator[Finding]:
    """Write and read a file in memory."""
    import h5py

    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        file["rows"] = [1.0, 2.0]
        if file["rows"][:].tolist() != [1.0, 2.0]:
            raise RuntimeError("what was read is not what was written")
    yield Finding("hdf5", "works", f"h5py {version('h5py')}")


def _parquet() -> Iterator[Finding]:
    """Write and read a table in memory."""
    import pyarrow as pa
    from pyarrow import parquet

    table, sink = pa.table({"score": [0.5]}), pa.BufferOutputStream()
    parquet.write_table(table, sink)
    if parquet.read_table(pa.BufferReader(sink.getvalue())) != table:
        raise RuntimeError("what was read is not what was written")
    yield Finding("parquet", "works", f"pyarrow {version('pyarrow')}")


def _service() -> Iterator[Finding]:
    """Import the packages of the service."""
    import fastapi  # noqa: F401
    import uvicorn  # noqa: F401

    detail = f"fastapi {version('fastapi')}, uvicorn {version('uvicorn')}"
    yield Finding("service", "works", detail)


# The package that a part needs, and its check; the slowest are first, so that they start first.
_CHECKS: dict[str, tuple[str, Callable[[], Iterable[Finding]]]] = {
    **{
        f"runtime {module}": (package, lambda module=module: _runtime(module))  # type: ignore[misc]
        for module, package in {
            "torch": "torch",
            "openvino": "openvino",
            "onnxruntime": "onnxruntime",
            "tensorrt": "tensorrt",
            "ascend_npu": "ais_bench",
        }.items()
    },
    "video": ("av", _video),
    "pictures": ("matplotlib", _pictures),
    "kernels": ("numba", _kernels),
    "service": ("fastapi", _service),
    "parquet": ("pyarrow", _parquet),
    "hdf5": ("h5py", _hdf5),
}


def run_checks() -> list[Finding]:
    """Run the checks of all installed packages, as many at a time as there are cores."""
    with ThreadPoolExecutor(core_count()) as pool:
        return [finding for found in pool.map(run_check, _CHECKS) for finding in found]


def run_check(name: str) -> list[Finding]:
    """Run one check in a process of its own, and return what it found."""
    package, _ = _CHECKS[name]
    if find_spec(package) is None:
        parts = [f"backend {b.name}" for b in BACKENDS.values() if name == f"runtime {b.module}"]
        return [Finding(p, "absent", f"{package} is not installed") for p in parts or [name]]
    command = [sys.executable, "-m", "actspan.cli.doctor_checks", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return [Finding(name, "fails", f"no answer within {_SECONDS:.0f} s")]
    if done.returncode == 0:
        return [Finding(**entry) for entry in json.loads(done.stdout.splitlines()[-1])]
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode < 0:
        end = signal.Signals(-done.returncode).name
        reason = f"its process was ended by {end}: is {package} built for this processor?"
    return [Finding(name, "fails", reason)]


def main(name: str) -> None:
    """Run one check, and print its findings; a fault is one of them."""
    found: list[Finding] = []
    try:
        found.extend(_CHECKS[name][1]())
    except Exception as error:  # noqa: BLE001  # any package may fail in any way
        message = " ".join(str(error).split()) or type(error).__name__
        found.append(Finding(name.removeprefix("runtime "), "fails", message))
    sys.stdout.write("\n" + json.dumps([asdict(finding) for finding in found]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
