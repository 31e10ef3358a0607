from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actspan import Bundle, PemConfig, PipelineConfig, TemConfig
from actspan.config.stages import FeatureSpec
from actspan.core.errors import BundleError, ConfigError, ParityError
from actspan.model.bsn.forward import sigmoid
from actspan.model.conversion import convert_checkpoints
from actspan.model.manifest import Source
from actspan.model.weights import weight_shapes
from actspan.runtime.export import TOLERANCE, check_probabilities, export_bundle
from actspan.runtime.opening import open_session
from tests.examples import write_bmn_bundle

TEM, PEM = TemConfig(channels=5, hidden=4, length=20), PemConfig(hidden=6)


def random_weights(config: TemConfig | PemConfig) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = weight_shapes(config)
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def create(path: Path, *, tem: bool = True, pem: bool = True, standardize: bool = False) -> Bundle:
    weights = random_weights(TEM)
    if standardize:
        weights |= {
            "input.mean": np.float32([9, -9, 0, 1, 2]),
            "input.scale": np.float32([1, 2, 0, 1, 9]),
        }
    return Bundle.create(
        path,
        config=PipelineConfig(tem=TEM, pem=PEM),
        features=FeatureSpec(),
        source=Source(),
        weights={
            **({"tem": weights} if tem else {}),
            **({"pem": random_weights(PEM)} if pem else {}),
        },
    )


@pytest.mark.parametrize("standardize", [False, True])
def test_writes_and_compares_both_networks(tmp_path: Path, standardize: bool) -> None:
    bundle, checks = export_bundle(create(tmp_path / "b", standardize=standardize))
    assert [(c.net, c.file) for c in checks] == [("tem", "tem.onnx"), ("pem", "pem.onnx")]
    for check in checks:
        assert check.size == bundle.file(check.file).stat().st_size
        assert check.numpy_difference < TOLERANCE
        assert check.torch_difference is not None
        assert check.torch_difference < TOLERANCE
    assert Bundle.load(bundle.path) == bundle
    assert len(list(bundle.path.iterdir())) == 5


@pytest.mark.parametrize("net", ["tem", "pem"])
def test_half_a_bundle_is_exported(tmp_path: Path, net: str) -> None:
    bundle = create(tmp_path / "b", tem=net == "tem", pem=net == "pem")
    _, checks = export_bundle(bundle, check_torch=False)
    assert [(c.net, c.torch_difference) for c in checks] == [(net, None)]


def test_sizes_can_be_fixed(tmp_path: Path) -> None:
    bundle, _ = export_bundle(create(tmp_path / "b"), batch=2, length=30, check_torch=False)
    with open_session(bundle.file("tem.onnx")) as session:
        assert session.input_shapes == {"video": (2, 5, 30)}
    with open_session(bundle.file("pem.onnx")) as session:
        assert session.input_shapes == {"video_feature": (None, 32)}


def test_the_length_of_bmn_is_that_of_its_map(tmp_path: Path) -> None:
    bundle = write_bmn_bundle(tmp_path / "b")
    with pytest.raises(ConfigError, match="length 30: a BMN is for 20 cells"):
        export_bundle(bundle, length=30, check_torch=False)
    _, (check,) = export_bundle(bundle, batch=2, length=20, check_torch=False)
    assert check.file == "bmn.onnx"


def test_exporting_again_repairs_and_repeats(tmp_path: Path) -> None:
    bundle, _ = export_bundle(create(tmp_path / "b"), check_torch=False)
    good = bundle.file("pem.onnx").read_bytes()
    (bundle.path / "pem.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="write it again: actspan export"):
        bundle.file("pem.onnx")
    again, _ = export_bundle(bundle, check_torch=False)
    assert again == bundle
    assert again.file("pem.onnx").read_bytes() == good


def test_a_difference_is_an_error_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = create(tmp_path / "b", tem=False)
    monkeypatch.setattr("actspan.model.forward.pem_logits", lambda _, x: np.ones((len(x), 1)))
    with pytest.raises(ParityError, match=r"pem\.onnx: not written: it differs from the NumPy"):
        export_bundle(bundle, check_torch=False)
    assert Bundle.load(bundle.path) == bundle
    assert len(list(bundle.path.iterdir())) == 2


def test_weights_that_overflow_are_an_error(tmp_path: Path) -> None:
    weights = {name: np.full_like(w, 3e38) for name, w in random_weights(TEM).items()}
    bundle = Bundle.create(
        tmp_path / "b",
        config=PipelineConfig(tem=TEM),
        features=FeatureSpec(),
        source=Source(),
        weights={"tem": weights},
    )
    with pytest.raises(ParityError, match="differs from the NumPy network by nan"):
        export_bundle(bundle, check_torch=False)


@settings(max_examples=15)
@given(power=st.floats(-2, 9), seed=st.integers(0, 99))
def test_large_weights_are_exported(
    tmp_path_factory: pytest.TempPathFactory, power: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = np.float32(10**power)

    def drawn(config: TemConfig | PemConfig, last: str) -> dict[str, np.ndarray]:
        weights = {n: rng.standard_normal(s, np.float32) for n, s in weight_shapes(config).items()}
        return {n: w * scale if n.startswith(last) else w for n, w in weights.items()}

    bundle = Bundle.create(
        tmp_path_factory.mktemp("large") / "b",
        config=PipelineConfig(tem=TEM, pem=PEM),
        features=FeatureSpec(),
        source=Source(),
        weights={"tem": drawn(TEM, "conv3"), "pem": drawn(PEM, "fc2")},
    )
    _, checks = export_bundle(bundle, check_torch=False)
    assert [check.net for check in checks] == ["tem", "pem"]


@pytest.mark.parametrize(
    ("logits", "shift", "relative"),
    [
        pytest.param([0.0, 0.5, -1.0], 1e-4, False, id="small"),
        pytest.param([2e3, 0.01, -4e3], 0.01, True, id="large"),
        pytest.param([2e3, 9.0, -4e3], 1.0, False, id="large-but-wrong"),
        pytest.param([np.nan, 0.0], 0.0, False, id="nan"),
    ],
)
def test_probabilities_are_judged_by_their_logits(
    logits: list[float], shift: float, relative: bool
) -> None:
    z = np.array(logits)

    def check() -> float:
        return check_probabilities(
            sigmoid(z + shift), sigmoid(z), z, where="it differs", remedy="look at it"
        )

    if relative:
        assert check() > TOLERANCE
    else:
        with pytest.raises(ParityError, match=r"it differs by .* where .* is allowed; look at it"):
            check()


def test_neither_export_nor_runtime_import_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    create(tmp_path / "b")
    code = (
        "import sys, numpy as np\n"
        "from actspan import Bundle\n"
        "from actspan.runtime.export import export_bundle\n"
        "from actspan.runtime.opening import open_session\n"
        f"bundle, _ = export_bundle(Bundle.load({str(tmp_path / 'b')!r}), check_torch=False)\n"
        "with open_session(bundle.file('pem.onnx')) as session:\n"
        "    session.run({'video_feature': np.zeros((3, 32), np.float32)})\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_golden_outputs(golden: Path, tmp_path: Path) -> None:
    checkpoints = [golden / "tem_made_up.pth.tar", golden.parent / "weights" / "pem_best.pth.tar"]
    bundle, _ = convert_checkpoints(checkpoints, tmp_path / "b")
    bundle, checks = export_bundle(bundle)
    assert max(check.numpy_difference for check in checks) < 1e-6
    tem, pem = (open_session(bundle.file(f"{net}.onnx")) for net in ("tem", "pem"))
    with np.load(golden / "stages.npz") as stages, tem, pem:
        videos = [name.removesuffix("/tem") for name in stages if name.endswith("/tem")]
        featured = [video for video in videos if f"{video}/feature" in stages]
        assert (len(videos), len(featured)) == (24, 8)
        x = np.stack([stages[f"{video}/feature"].T for video in featured])  # (8, C, T)
        expected = np.stack([stages[f"{video}/tem"] for video in featured])  # (8, 3, T)
        np.testing.assert_allclose(tem.run({"video": x})["output"], expected, rtol=0, atol=1e-5)
        for video in videos:
            found = pem.run({"video_feature": stages[f"{video}/bsp"]})["output"][:, 0]
            np.testing.assert_allclose(found, stages[f"{video}/pem"], rtol=0, atol=1e-6)
