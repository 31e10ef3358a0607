"""Install the wheel in empty environments, and run a command of the core and of every extra.

    python .ci/smoke.py dist/ --python python3.11 --also python3.12 --also python3.13

The extras are added to one environment per Python, one after another, each by the command that
ActSpan's own message names. With the Pythons of --also, the largest extras are left out; one that
is not on this machine is named and skipped. --suite runs the tests too: all of them without the
extras, where those that need one are skipped, then those of the service with the extras.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
CORE_MB = 450  # the largest size of the core with everything that it installs, 10^6 bytes
_INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel")  # of the venv


class Smoke:
    """An environment in a folder, with the wheel and nothing of this repository."""

    def __init__(self, folder: Path, python: str, wheel: Path) -> None:
        self.folder, self.wheel, self.python = folder, wheel, python
        self.bin = folder / "env" / "bin"
        self.variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *words: str, status: int = 0, folder: Path | None = None) -> str:
        """Run a command in a folder; return its output, or stop with it on another status."""
        done = subprocess.run(
            words, cwd=folder or self.folder, env=self.variables, text=True, capture_output=True
        )
        if done.returncode != status:
            sys.exit(
                f"{self.python}: {shlex.join(words)} ended with status {done.returncode}, not "
                f"{status}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        return done.stdout + done.stderr

    def actspan(self, line: str, status: int = 0) -> str:
        """Run a command of ActSpan."""
        return self.run(str(self.bin / "actspan"), *shlex.split(line), status=status)

    def code(self, text: str) -> str:
        """Run Python code."""
        return self.run(str(self.bin / "python"), "-W", "error", "-c", text)

    def pip(self, *words: str) -> None:
        """Install with the constraints of the repository."""
        self.run(str(self.bin / "python"), "-m", "pip", "install", "--quiet", *words)

    def test(self, *words: str) -> None:
        """Run tests of the repository on the wheel, in parallel; print the last line."""
        command = (str(self.bin / "python"), "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal")
        options = ("-p", "tests.extras", "--doctest-ignore-import-errors", "-p", "no:cacheprovider")
        print(f"  {self.run(*command, *options, *words, folder=ROOT).splitlines()[-1]}")

    def size_mb(self) -> float:
        """Return the size of what is installed, without the installer, in 10^6 bytes."""
        (packages,) = (self.folder / "env" / "lib").glob("python3*/site-packages")
        files = (
            file
            for place in packages.iterdir()
            if not place.name.startswith(_INSTALLERS)
            for file in (place.rglob("*") if place.is_dir() else [place])
        )
        return sum(file.lstat().st_size for file in files if not file.is_dir()) / 1e6


def core(env: Smoke) -> None:
    """Run the main job with the core alone: trained networks, label-free, evaluation."""
    env.run(env.python, "-m", "venv", "env")
    env.pip(str(env.wheel))
    size = env.size_mb()
    print(f"  the core takes {size:.0f} MB")
    if size > CORE_MB:
        sys.exit(f"{env.python}: the core takes {size:.0f} MB, more than {CORE_MB}")
    env.actspan("--version")
    env.actspan("demo --videos 12 --out demo")
    for name in ("pyarrow", "torch", "onnx"):
        env.code(f"import importlib.util as u; assert u.find_spec('{name}') is None, '{name}'")
    env.code(
        "import actspan, pathlib as p; assert 'site-packages' in str(p.Path(actspan.__file__))"
    )
    env.actspan("propose --dataset demo/dataset --out free/")
    env.actspan("propose --dataset demo/dataset --out free.csv --top 5")
    assert "AUC" in env.actspan("evaluate free/ --ground-truth demo/dataset")
    (model,) = (env.folder / "env").glob("lib/*/site-packages/actspan/model/demo")
    shutil.copytree(model, env.folder / "model")
    env.actspan("propose --model model --dataset demo/dataset --out run/")


def arrow(env: Smoke) -> None:
    """Pack a dataset, propose from the store, and write Parquet."""
    env.actspan("pack demo/dataset --out store")
    env.actspan("propose --model model --dataset store --out packed.parquet")
    env.code("import pyarrow.parquet as p; assert len(p.read_table('packed.parquet'))")


def export(env: Smoke) -> None:
    """Write ONNX graphs from weights."""
    shutil.copytree(env.folder / "model", env.folder / "exported")
    env.actspan("export exported --passes fp16")


def hdf5(env: Smoke) -> None:
    """Propose from features in HDF5."""
    env.code(
        "import h5py, numpy as np, pathlib, shutil\n"
        "shutil.copytree('demo/dataset', 'hdf5')\n"
        "for file in sorted(pathlib.Path('hdf5/features').glob('*.npy')):\n"
        "    with h5py.File(file.with_suffix('.h5'), 'w') as out: out['features'] = np.load(file)\n"
        "    file.unlink()\n"
    )
    env.actspan("propose --model model --dataset hdf5 --out hdf5.json")


def hub(env: Smoke) -> None:
    """Write the card of a model, without a push."""
    env.actspan("push model someone/model --license mit --card card.md")


def video(env: Smoke) -> None:
    """Find segments of a video, label-free."""
    env.code(
        "import av, numpy as np\n"
        "with av.open('film.mp4', 'w') as film:\n"
        "    stream = film.add_stream('libx264', rate=25)\n"
        "    stream.width = stream.height = 96\n"
        "    for i in range(500):\n"
        "        picture = np.full((96, 96, 3), 40 + 150 * (100 < i < 300), np.uint8)\n"
        "        frame = av.VideoFrame.from_ndarray(picture, format='rgb24')\n"
        "        film.mux(stream.encode(frame))\n"
        "    film.mux(stream.encode())\n"
    )
    assert "film" in env.actspan("propose film.mp4 --top 3")


def report(env: Smoke) -> None:
    """Write the page and its pictures."""
    env.actspan("report run --ground-truth demo/dataset --out report.html --pictures pictures")


def server(env: Smoke) -> None:
    """Serve a run, and fetch the viewer and its list of runs."""
    command = [str(env.bin / "actspan"), "serve", "--results", "run", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=env.folder,
        env=env.variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as service:
        assert service.stdout is not None
        try:
            found = (re.search(r"http://[\d.:]+\d", line) for line in service.stdout)
            address = next((match[0] for match in found if match), None)
            if address is None:
                sys.exit(f"{env.python}: actspan serve ended without printing its address")
            with urlopen(f"{address}/", timeout=30) as page:
                assert b"<html" in page.read()
        finally:
            service.terminate()


def openvino(env: Smoke) -> None:
    """Propose with OpenVINO."""
    env.actspan("propose --model model --dataset demo/dataset --backend openvino --out ov.json")


def bench(env: Smoke) -> None:
    """Measure every stage, briefly."""
    env.actspan("bench --videos 8 --batch 1 --seconds 0.2")


def cluster(env: Smoke) -> None:
    """Propose on a worker of Ray."""
    env.actspan("propose --model model --dataset demo/dataset --engine ray --workers 1 --out ray/")


def train(env: Smoke) -> None:
    """Train networks for one epoch, and propose with them."""
    env.actspan("demo --training-set 16 --out training")
    env.actspan("train --dataset training --out trained --epochs 1 --tem-hidden 8 --pem-hidden 8")
    env.actspan("propose --model trained --dataset demo/dataset --out trained.json")


# In this order: an extra that includes others comes after them.
EXTRAS: Mapping[str, Callable[[Smoke], None]] = {
    check.__name__: check
    for check in (arrow, export, hdf5, hub, video, report, server, bench, openvino, cluster, train)
}


LARGE = ("openvino", "cluster", "train")  # gigabytes; wheels of torch are not for every Python


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what was done, with its seconds."""
    start = time.monotonic()
    yield
    print(f"  {what:10} {time.monotonic() - start:6.1f} s", flush=True)


def find_python(name: str) -> str | None:
    """Return the first executable of this name that runs; pyenv's are not all on PATH."""
    places = [*os.environ["PATH"].split(os.pathsep), *Path.home().glob(".pyenv/versions/*/bin")]
    for place in places:
        path = shutil.which(name, path=place)
        if path and not subprocess.run([path, "--version"], capture_output=True).returncode:
            return path
    return None


def smoke(python: str, wheel: Path, extras: list[str], *, suite: bool) -> None:
    """Check one Python."""
    with tempfile.TemporaryDirectory() as folder:
        env = Smoke(Path(folder).resolve(), python, wheel)
        print(f"{python}: {env.run(python, '--version').strip()}, {wheel.name}", flush=True)
        with timed("core"):
            core(env)
        if suite:
            with timed("suite"):
                env.pip("pytest", "pytest-xdist", "hypothesis")
                env.test("tests")
        message = env.actspan("report run --out report.html", status=1)
        hint = re.search(r"pip install '?(.+)\[report\]'?", message)
        if hint is None:
            sys.exit(f"{python}: the message names no command that installs an extra: {message}")
        for extra in extras:
            with timed(extra):
                env.pip(f"{hint[1]}[{extra}]")
                EXTRAS[extra](env)
        if suite and "server" in extras:
            with timed("suite"):
                env.pip("httpx2")
                env.test("tests/server", "tests/report")


def main() -> int:
    """Check the wheel with every Python that exists; return 1 if that of --python does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--suite", action="store_true")
    options = parser.parse_args()
    (wheel,) = options.dist.resolve().glob("*.whl")
    small = [extra for extra in EXTRAS if extra not in LARGE]
    wanted = {options.python: list(EXTRAS), **dict.fromkeys(options.also, small)}
    found = {python: find_python(python) for python in wanted}
    for python, extras in wanted.items():
        path = found[python]
        if path is None:
            print(f"{python}: not on this machine, so the wheel is not checked with it")
        else:
            smoke(path, wheel, extras, suite=options.suite)
    print(f"{sum(map(bool, found.values()))} of {len(found)} Pythons checked")
    return found[options.python] is None


if __name__ == "__main__":
    sys.exit(main())
