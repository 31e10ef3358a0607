"""Ascend: the command lines of the guide, and calls of `atc`, with a fake of it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from actspan import Bundle
from actspan.core.errors import BundleError, CompileError, ParityError
from actspan.deploy.atc import ATC_HELP, atc_line, atc_words, explain_atc
from actspan.deploy.compilation import (
    CompileJob,
    CompilePlan,
    compile_plan,
    find_compiler,
    prepare_plan,
    read_records,
    record_outputs,
    write_script,
)
from actspan.deploy.deploy_requests import CompileRequest
from actspan.model.bsn.graph import build_tem
from actspan.runtime.opening import open_session
from tests.deploy.compilers import atc_on_path, only, published_sizes, set_env
from tests.examples import write_bundle

REQUEST = CompileRequest("ascend")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> CompilePlan:
    """Return a bundle of the published sizes, with small hidden layers."""
    folder = tmp_path_factory.mktemp("ascend") / "b"
    return prepare_plan(published_sizes(folder), REQUEST)


@pytest.fixture
def copy(plan: CompilePlan, tmp_path: Path) -> CompilePlan:
    """Return a copy of the bundle."""
    shutil.copytree(plan.bundle.path, tmp_path / "b")
    return replace(plan, bundle=Bundle.load(tmp_path / "b"))


# as the published guide has them (section 2.2), batch 16 with its numbers in their places
GUIDE = [
    pytest.param(
        CompileJob("tem", "BSN_tem1.onnx", ("BSN_tem_bs1.om",), "video", *[(1, 400, 100)] * 2),
        "atc --framework=5 --model=BSN_tem1.onnx --output=BSN_tem_bs1 --input_format=ND "
        '--input_shape="video:1,400,100" --log=debug --soc_version=Ascend310',
        id="tem-1",
    ),
    pytest.param(
        CompileJob("pem", "BSN_pem.onnx", ("BSN_pem_bs1.om",), "video_feature", (1, 1000, 32),
            (1, 1000, 32)),
        "atc --framework=5 --model=BSN_pem.onnx --output=BSN_pem_bs1 --input_format=ND "
        '--input_shape="video_feature:1,1000,32" --log=debug --soc_version=Ascend310',
        id="pem-1",
    ),
    pytest.param(
        CompileJob("tem", "BSN_tem1.onnx", ("BSN_tem_bs16.om",), "video", *[(16, 400, 100)] * 2),
        "atc --framework=5 --model=BSN_tem1.onnx --output=BSN_tem_bs16 --input_format=ND "
        '--input_shape="video:16,400,100" --log=debug --soc_version=Ascend310',
        id="tem-16",
    ),
    pytest.param(
        CompileJob("pem", "BSN_pem.onnx", ("BSN_pem_bs16.om",), "video_feature", (16, 1000, 32),
            (16, 1000, 32)),
        "atc --framework=5 --model=BSN_pem.onnx --output=BSN_pem_bs16 --input_format=ND "
        '--input_shape="video_feature:16,1000,32" --log=debug --soc_version=Ascend310',
        id="pem-16",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("job", "line"), GUIDE)
def test_the_guides_lines_character_by_character(job: CompileJob, line: str) -> None:
    assert atc_line(job, REQUEST) == line
    assert atc_words(job, REQUEST) == shlex.split(line)


def test_the_lines_of_a_bundle(plan: CompilePlan) -> None:
    assert [atc_line(job, REQUEST) for job in plan.jobs] == [
        "atc --framework=5 --model=tem.ascend.bs1.onnx --output=tem.fp16.bs1 --input_format=ND "
        '--input_shape="video:1,400,100" --log=debug --soc_version=Ascend310',
        "atc --framework=5 --model=tem.ascend.bs16.onnx --output=tem.fp16.bs16 --input_format=ND "
        '--input_shape="video:16,400,100" --log=debug --soc_version=Ascend310',
        "atc --framework=5 --model=pem.ascend.bs1.onnx --output=pem.fp16.bs1 --input_format=ND "
        '--input_shape="video_feature:1,1000,32" --log=debug --soc_version=Ascend310',
        "atc --framework=5 --model=pem.ascend.bs16.onnx --output=pem.fp16.bs16 --input_format=ND "
        '--input_shape="video_feature:16,1000,32" --log=debug --soc_version=Ascend310',
    ]


def test_other_chips_and_precisions(plan: CompilePlan) -> None:
    request = CompileRequest("ascend", precision="fp32", soc="Ascend310P3")
    words = atc_words(plan.jobs[0], request)
    assert words[-2:] == ["--soc_version=Ascend310P3", "--precision_mode=must_keep_origin_dtype"]
    with pytest.raises(CompileError, match="no precision 'int8': fp16, fp32; atc reads no"):
        CompileRequest("ascend", precision="int8")


def test_graphs_have_the_form_that_the_npu_takes(plan: CompilePlan) -> None:
    for job in plan.jobs:
        model = onnx.load(str(plan.bundle.file(job.source)))
        (opset,) = model.opset_import
        assert opset.version == 11
        with open_session(plan.bundle.file(job.source), backend="onnxruntime") as session:
            assert session.input_shapes == {job.input: job.most}
            assert [*session.output_names] == ["output"]
        kernels = [
            a.ints for n in model.graph.node if n.op_type == "Conv" for a in n.attribute
            if a.name == "kernel_shape"
        ]  # fmt: skip
        assert all(len(kernel) == 2 for kernel in kernels)
        assert len(kernels) == (3 if job.net == "tem" else 0)


def test_a_graph_that_differs_from_its_weights_is_not_kept(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    weights = bundle.weights("tem")
    weights["conv3.bias"] = weights["conv3.bias"] + 100
    wrong = build_tem(weights)
    bundle = bundle.add_file("tem.onnx", lambda path: onnx.save(wrong, path))
    with pytest.raises(ParityError, match=r"tem\.ascend\.bs1\.onnx: not written"):
        prepare_plan(bundle, REQUEST)


def test_compiles_into_the_bundle(
    copy: CompilePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atc_on_path(monkeypatch, tmp_path / "bin")
    lines: list[str] = []
    bundle, done = compile_plan(copy, find_compiler(REQUEST), lines.append)
    assert [one.job.output for one in done] == [
        "tem.fp16.bs1.om", "tem.fp16.bs16.om", "pem.fp16.bs1.om", "pem.fp16.bs16.om",
    ]  # fmt: skip
    assert lines.count("ATC start working now, please wait for a moment.") == 4
    told = bundle.file("pem.fp16.bs16.om").read_text().splitlines()
    assert ["atc", *told] == atc_words(copy.jobs[3], REQUEST)  # each word as it was meant
    log = (bundle.path / "pem.fp16.bs16.log").read_text()
    assert log.startswith("$ ")
    assert "ATC run success" in log
    record = read_records(Bundle.load(bundle.path))["pem.fp16.bs16.om"]
    assert (record.shapes, record.soc, record.precision) == ("16x1000x32", "Ascend310", "fp16")
    assert record.command == " ".join(atc_words(copy.jobs[3], REQUEST))
    assert record.source_sha256 == bundle.files["pem.ascend.bs16.onnx"].sha256
    bundle.file("tem.fp16.bs1.om").write_bytes(b"cut off")
    with pytest.raises(BundleError, match=r"damaged.*actspan compile"):
        bundle.file("tem.fp16.bs1.om")


def test_newer_versions_name_the_system(
    copy: CompilePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atc_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setenv("SYSTEM", "_linux_aarch64")
    bundle, _ = compile_plan(copy, find_compiler(REQUEST))
    assert bundle.file("tem.fp16.bs1.om").is_file()


def test_a_failure_is_explained_and_its_log_kept(
    copy: CompilePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atc_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setenv("SAYS", "E10001: Value [Ascend999] for parameter [soc_version] is invalid.")
    monkeypatch.setenv("CODE", "255")
    with pytest.raises(CompileError, match=r"fp16\.bs1\.om: atc ended with 255: E10001: .*--soc"):
        compile_plan(copy, find_compiler(REQUEST))
    assert "Ascend999" in (copy.bundle.path / "tem.fp16.bs1.log").read_text()
    assert not (copy.bundle.path / "tem.fp16.bs1.om").exists()


@pytest.mark.parametrize(
    ("printed", "answer"),
    [
        pytest.param("E10007: --soc_version is required.", "an option is missing", id="E10007"),
        pytest.param("E10016: Opname [x] ...", "no input of that name", id="E10016"),
        pytest.param(
            "E19999: Inner Error!\nE40002: [PID: 7] 2025-01-10-11:04:47.527.498 The Python is 3.6",
            "E40002: The Python is 3.6; CANN's operators need another Python",
            id="the-code-that-says-more",
        ),
        pytest.param("Invalid_Argument(E10001): Value x", "E10001: Value x", id="title"),
        pytest.param("E19999: Inner Error!", "failed without an error code", id="E19999"),
        pytest.param("E98765: new\n", "E98765: new", id="unknown"),
        pytest.param("error while loading: libascend_hal.so", "devlib", id="no-driver"),
        pytest.param("Segmentation fault\n", "Segmentation fault", id="no-code"),
        pytest.param("", "it printed nothing", id="silent"),
    ],
)
def test_error_codes_become_help(printed: str, answer: str) -> None:
    assert answer in explain_atc(printed)


def test_every_known_code_has_the_vendors_form() -> None:
    assert all(explain_atc(f"{code}: x").startswith(f"{code}: x; ") for code in ATC_HELP)


@pytest.mark.parametrize("home", ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"])
def test_finds_atc_by_set_env(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    script = set_env(tmp_path / "ascend toolkit")
    monkeypatch.setenv(home, str(script.parent / "latest"))
    assert str(tmp_path) in find_compiler(REQUEST).version


def test_the_error_says_how_to_get_atc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only(monkeypatch)
    monkeypatch.setattr("actspan.deploy.atc._SET_ENV", (str(tmp_path / "set_env.sh"),))
    with pytest.raises(CompileError, match=r"and no set_env\.sh of CANN was found: install the"):
        find_compiler(REQUEST)
    (tmp_path / "set_env.sh").write_text("true\n")
    with pytest.raises(CompileError, match=r"also after sourcing .*set_env\.sh"):
        find_compiler(REQUEST)
    (tmp_path / "set_env.sh").write_text("echo broken >&2; exit 3\n")
    with pytest.raises(CompileError, match=r"set_env\.sh: cannot be sourced: broken"):
        find_compiler(REQUEST)


def test_the_script_runs_and_what_it_makes_is_recorded(
    copy: CompilePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match=r"tem\.fp16\.bs1\.om, .* missing: run compile-ascend"):
        record_outputs(copy)
    bundle, script = write_script(copy)
    assert script.read_text().splitlines()[-4:] == [atc_line(j, REQUEST) for j in copy.jobs]
    atc_on_path(monkeypatch, tmp_path / "bin")
    subprocess.run([str(script)], check=True, capture_output=True, cwd=tmp_path)
    bundle, done = record_outputs(copy)
    assert len(done) == 4
    assert bundle.file("tem.fp16.bs16.om").is_file()
    assert read_records(bundle)["tem.fp16.bs16.om"].compiler == "on another host"
