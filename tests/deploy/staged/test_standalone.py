"""The runner for hosts without ActSpan, run as a separate program."""

from __future__ import annotations

import ast
import csv
import ctypes
import importlib.util
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from actspan.deploy.staged.dumps import Dumps
from actspan.deploy.staged.host_steps import write_tem_results
from actspan.deploy.staged.results import write_results
from actspan.deploy.staged.runner import write_list, write_script
from actspan.deploy.staged.stage import Stage
from actspan.model.bundle import Bundle
from actspan.runtime.export import export_bundle
from tests.deploy.staged.steps import StagedExample, make_bmn_example, make_example
from tests.runtime.fakes import InferSession, double

ALLOWED = {"__future__", "argparse", "collections", "os", "sys", "time", "typing", "zlib", "numpy"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "run_staged.py"
    write_script(path)
    return path


@pytest.fixture(scope="module")
def program(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_staged", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> StagedExample:
    example = make_example(tmp_path_factory.mktemp("staged"))
    example.run_before_pem()
    return example


def run(script: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-I", str(script), *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, cwd=script.parent)


def test_it_is_old_python_and_needs_numpy_only(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 7))
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in at_top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in at_top if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= ALLOWED
    future = [node.module for node in at_top if isinstance(node, ast.ImportFrom)]
    assert future[0] == "__future__"  # list[int] and the like are then never evaluated
    newer = {"removesuffix", "removeprefix", "cached_property"}
    assert not newer & {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}


@pytest.mark.parametrize(("net", "batch"), [("tem", 1), ("tem", 3), ("pem", 1), ("pem", 4)])
def test_onnxruntime_as_a_program(
    script: Path, example: StagedExample, tmp_path: Path, net: Any, batch: int
) -> None:
    stage = Stage.load(example.stage)
    write_list(stage, net, tmp_path / "x.info")
    model = example.model / f"{net}.onnx"
    done = run(
        script, "--interface", "onnxruntime", "--model", model, "--list", tmp_path / "x.info",
        "--out", tmp_path / "out", "--batch", batch,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = -(-5 // batch)
    assert f"5 in {calls} calls of {batch} ({calls * batch - 5} padded)" in done.stdout
    example.run(net, out=tmp_path / "ours")
    files = {p.name for p in (tmp_path / "ours").iterdir()}
    assert files == {p.name for p in (tmp_path / "out").iterdir()}
    for name in files:
        theirs, ours = (
            (tmp_path / "out" / name).read_bytes(),
            (tmp_path / "ours" / name).read_bytes(),
        )
        if name.endswith(".csv"):
            read = [sorted(csv.reader(data.decode().splitlines())) for data in (theirs, ours)]
            assert read[0] == read[1]
        else:
            assert theirs == ours


def test_a_network_of_a_fixed_batch_and_its_dumps(
    script: Path, example: StagedExample, tmp_path: Path
) -> None:
    stage = Stage.load(example.stage)
    write_list(stage, "tem", tmp_path / "x.info")
    fixed, _ = export_bundle(Bundle.load(example.model), batch=2, length=20, check_torch=False)
    common = ("--model", fixed.file("tem.onnx"), "--list", tmp_path / "x.info")
    out = tmp_path / "out"
    done = run(script, "--interface", "onnxruntime", *common, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "5 in 3 calls of 2 (1 padded)" in done.stdout
    assert write_tem_results(stage, Dumps(out)).inputs == 5
    more = ("--out", tmp_path / "2", "--batch", 3)
    refused = run(script, "--interface", "onnxruntime", *common, *more)
    assert refused.returncode == 1
    assert "leave out --batch 3" in refused.stderr
    export_bundle(Bundle.load(example.model), check_torch=False)


def test_three_outputs(script: Path, tmp_path: Path) -> None:
    example = make_bmn_example(tmp_path, videos=5)
    stage = example.start("bmn")
    write_list(stage, "bmn", tmp_path / "x.info")
    common = ("--interface", "onnxruntime", "--model", example.model / "bmn.onnx")
    out = stage.outputs("bmn")
    done = run(script, *common, "--list", tmp_path / "x.info", "--out", out, "--batch", 2)
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("*_[123].bin"))) == 15
    example.run("bmn", out=tmp_path / "ours", batch=2)
    for file in (tmp_path / "ours").glob("*.bin"):
        assert file.read_bytes() == (out / file.name).read_bytes()
    assert write_results(stage, "bmn", Dumps(out)).inputs == 5


def test_a_missing_list_and_an_empty_batch(program: ModuleType, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    given = words(tmp_path, "acl")
    with pytest.raises(SystemExit, match="--batch 0: at least 1 input per call"):
        program.main([*given, "--batch", "0"])
    with pytest.raises(SystemExit, match="nolist: the list cannot be read: No such file"):
        program.main([*given, "--list", "nolist"])


def write_inputs(folder: Path, count: int = 5, shape: tuple[int, int] = (5, 20)) -> Path:
    """Write raw inputs and their list."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(count):
        (folder / f"v{i}.bin").write_bytes(rng.random(shape, dtype=np.float32).tobytes())
        lines.append(f"{i} {folder}/v{i}.bin {shape[0]} {shape[1]}\n")
    (folder / "x.info").write_text("".join(lines))
    (folder / "x.om").write_bytes(b"om")
    return folder


def check_doubled(folder: Path) -> None:
    for i in range(5):
        data = (folder / f"v{i}.bin").read_bytes()
        x = np.frombuffer(data, np.float32).reshape(5, 20)
        dump = np.frombuffer((folder / "out" / f"v{i}_1.bin").read_bytes(), np.float32)
        np.testing.assert_array_equal(dump.reshape(3, 20), double(x[None])[0])
    rows = (folder / "out" / "inputs.csv").read_text().splitlines()
    assert rows[0] == "input,crc32"
    assert rows[5] == f"v4,{zlib.crc32(data)}"


def words(folder: Path, interface: str) -> list[str]:
    paths = {"--model": folder / "x.om", "--list": folder / "x.info", "--out": folder / "out"}
    pairs = [word for option, path in paths.items() for word in (option, str(path))]
    return ["--interface", interface, *pairs]


def test_ais_bench(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ais_bench", "ais_bench.infer", "ais_bench.infer.interface"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["ais_bench.infer.interface"].InferSession = InferSession  # type: ignore[attr-defined]
    program.main(words(write_inputs(tmp_path), "ais_bench"))
    check_doubled(tmp_path)
    with pytest.raises(SystemExit, match="open device 3 failed"):
        program.main([*words(tmp_path, "ais_bench")[:-1], str(tmp_path / "2"), "--device", "3"])


class FakeAcl(ModuleType):
    """pyACL's calls as documented, over the memory of the process; one network of batch 4.

    Its outputs are double the first three channels in float16, and the other two in float32.
    """

    def __init__(self) -> None:
        super().__init__("acl")
        self.held: dict[int, Any] = {}
        self.calls: list[str] = []
        self.rt = SimpleNamespace(
            set_device=lambda device: 0 if device == 0 else 107001,
            create_context=lambda device: (11, 0),
            malloc=self.malloc,
            free=lambda address: 0 if self.held.pop(address, None) is not None else 1,
            memcpy=self.memcpy,
            destroy_context=self.note("destroy_context"),
            reset_device=self.note("reset_device"),
        )
        self.mdl = SimpleNamespace(
            load_from_file=lambda path: (7, 0),
            create_desc=lambda: "desc",
            get_desc=lambda desc, model: 0,
            get_num_inputs=lambda desc: 1,
            get_num_outputs=lambda desc: 2,
            get_input_dims=lambda d, i: ({"name": "video", "dimCount": 3, "dims": [4, 5, 20]}, 0),
            get_input_data_type=lambda desc, i: 0,
            get_output_data_type=lambda desc, i: 1 - i,
            get_input_size_by_index=lambda desc, i: 4 * 4 * 5 * 20,
            get_output_size_by_index=lambda desc, i: 4 * 20 * (4 * 2 if i else 2 * 3),
            create_dataset=list,
            add_dataset_buffer=self.add,
            execute=self.execute,
            destroy_dataset=self.note("destroy_dataset"),
            unload=self.note("unload"),
            destroy_desc=self.note("destroy_desc"),
        )

    def note(self, name: str) -> Any:
        return lambda *_: self.calls.append(name) or 0

    def init(self) -> int:
        return 0

    def finalize(self) -> int:
        self.calls.append("finalize")
        return 0

    def malloc(self, size: int, policy: int) -> tuple[int, int]:
        buffer = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer), 0

    def memcpy(self, target: int, room: int, source: int, size: int, kind: int) -> int:
        device = target if kind == 1 else source
        assert device in self.held
        assert size <= room
        ctypes.memmove(target, source, size)
        return 0

    def create_data_buffer(self, address: int, size: int) -> tuple[int, int]:
        return address, size

    def destroy_data_buffer(self, buffer: tuple[int, int]) -> int:
        return 0

    def add(self, dataset: list[Any], buffer: tuple[int, int]) -> tuple[list[Any], int]:
        dataset.append(buffer)
        return dataset, 0

    def execute(self, model: int, inputs: list[Any], outputs: list[Any]) -> int:
        ((source, size),) = inputs
        x = np.frombuffer(ctypes.string_at(source, size), np.float32).reshape(4, 5, 20)
        answers = [double(x).astype(np.float16).tobytes(), x[:, 3:].tobytes()]
        for (target, room), answer in zip(outputs, answers, strict=True):
            assert len(answer) == room
            ctypes.memmove(target, answer, room)
        return 0


def test_acl(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acl = FakeAcl()
    monkeypatch.setitem(sys.modules, "acl", acl)
    write_inputs(tmp_path)
    for path in tmp_path.glob("*.bin"):  # such that the halves are exact
        values = np.round(np.frombuffer(path.read_bytes(), np.float32) * 16) / 16
        path.write_bytes(values.astype(np.float32).tobytes())
    program.main(words(tmp_path, "acl"))
    check_doubled(tmp_path)
    for i in range(5):
        others = (tmp_path / "out" / f"v{i}_2.bin").read_bytes()
        assert others == (tmp_path / f"v{i}.bin").read_bytes()[-4 * 2 * 20 :]
    assert not acl.held
    assert acl.calls[-2:] == ["reset_device", "finalize"]
    with pytest.raises(SystemExit, match=r"acl\.rt\.set_device failed with code 107001"):
        program.main([*words(tmp_path, "acl")[:-1], str(tmp_path / "2"), "--device", "3"])


def test_an_interface_that_is_not_here(program: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: acl: .*x\.om: No module named 'acl'"):
        program.main(words(write_inputs(tmp_path), "acl"))


def drop(folder: Path) -> None:
    (folder / "v1.bin").unlink()


def cut(folder: Path) -> None:
    (folder / "v1.bin").write_bytes(b"1234")


def blank(folder: Path) -> None:
    (folder / "x.info").write_text("0 a b.bin 5 20\n")


def twice(folder: Path) -> None:
    (folder / "x.info").write_text("0 a/v.bin 5 20\n1 b/v.bin 5 20\n")


def empty(folder: Path) -> None:
    (folder / "x.info").write_text("")


def full(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "old_1.bin").touch()


def no_model(folder: Path) -> None:
    (folder / "x.om").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop, r"v1\.bin: missing"),
        (cut, r"v1\.bin: 4 bytes, 400 expected"),
        (blank, "line 1: index path height width is needed"),
        (twice, "two inputs have the same name"),
        (empty, "names no inputs"),
        (full, "dumps must not mix"),
        (no_model, r"x\.om: no such file"),
    ],
)
def test_what_is_wrong_is_named_before_anything_runs(
    program: ModuleType, tmp_path: Path, spoil: Any, message: str
) -> None:
    spoil(write_inputs(tmp_path))
    with pytest.raises(SystemExit, match=message):
        program.main(words(tmp_path, "acl"))


@pytest.mark.parametrize(
    ("shape", "entry", "batch", "expected"),
    [
        ((4, 5, 20), (5, 20), None, (4, 5, 20)),
        ((None, 5, None), (5, 20), 3, (3, 5, 20)),
        (("batch", 5, "length"), (5, 20), None, (1, 5, 20)),
        ((1, 1000, 32), (1000, 32), None, (1, 1000, 32)),
        ((None, 32), (1000, 32), 2, (2000, 32)),
        ((16000, 32), (1000, 32), None, (16000, 32)),
    ],
)
def test_shape_of_a_call(
    program: ModuleType, shape: Any, entry: tuple[int, int], batch: int | None, expected: Any
) -> None:
    assert program.block_shape(shape, program.Input("x", *entry), batch) == expected


@pytest.mark.parametrize("shape", [(4, 5, 30), (4, 6, 20), (100,), (4, 5, 20, 1), (1500, 20)])
def test_shapes_that_do_not_fit(program: ModuleType, shape: Any) -> None:
    with pytest.raises(ValueError, match="not 1000 x 20 inputs"):
        program.block_shape(shape, program.Input("x", 1000, 20), None)
