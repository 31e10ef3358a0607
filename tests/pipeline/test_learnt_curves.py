"""Models with learnt curves: what TEM gives besides scores reaches candidates and PEM."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from msgspec.structs import replace

from actspan import Bundle, Features, PemConfig, Pipeline
from actspan.core.errors import BundleError, ShapeError
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bsn.forward import pem_forward, tem_forward
from actspan.model.conversion import convert_checkpoints
from actspan.pipeline.outcomes import Outcome, ScoredVideo, VideoInput
from actspan.proposals.candidates import generate_proposals_plain
from actspan.proposals.curves import curve_features_plain
from tests.examples import CHANNELS, write_bundle, write_dataset

Mode = Literal["rescale", "window"]
CURVES = 3


def make_bundle(folder: Path, mode: Mode = "rescale") -> Bundle:
    return write_bundle(folder / "bundle", curves=CURVES, mode=mode)


def outcomes_of(bundle: Bundle, item: Features | ScoredVideo, backend: str) -> list[Outcome]:
    with Pipeline.load(bundle, backend=backend) as pipeline:
        return list(pipeline.run([VideoInput("x", lambda: item)]))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
@pytest.mark.parametrize("mode", ["rescale", "window"])
def test_every_stage_equals_its_plain_twin(tmp_path: Path, mode: Mode, backend: str) -> None:
    pytest.importorskip(backend)
    bundle = make_bundle(tmp_path, mode)
    values = np.random.default_rng(0).normal(size=(14 if mode == "window" else 20, CHANNELS))
    video = Features(values, stride=0.5, length=0.5)  # a snippet per cell; a window is padded
    (found,) = outcomes_of(bundle, video, backend)
    padded = np.pad(video.values.T, ((0, 0), (0, 20 - len(video))))
    output = tem_forward(bundle.weights("tem"), padded[None])[0, :, : len(video)]
    np.testing.assert_allclose(np.asarray(found.scores), output[:3], atol=1e-6)
    candidates = generate_proposals_plain(found.scores, positions=output[3:5])
    np.testing.assert_allclose(found.candidates.start, candidates.start, atol=1e-6)
    np.testing.assert_allclose(found.candidates.end, candidates.end, atol=1e-6)
    assert len(np.unique(found.candidates.start * len(video) % 1)) > 2  # not on the grid
    features = curve_features_plain(output[5:], candidates)
    confidence = pem_forward(bundle.weights("pem"), features)[:, 0]
    np.testing.assert_allclose(found.confidence, confidence, atol=1e-5)
    assert np.ptp(confidence) > 0.1


def test_boundary_scores_alone_are_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    dataset = write_dataset(tmp_path / "set")
    request = ProposeRequest(model=bundle.path, dataset=dataset, out=tmp_path / "run")
    propose(request)
    again = {"scores": tmp_path / "run", "out": tmp_path / "again"}
    needed = "needs the learnt curves of its TEM"
    with pytest.raises(BundleError, match=f"bundle: this model {needed}.*without --scores"):
        propose(ProposeRequest(model=bundle.path, dataset=dataset, **again))
    (whole, *_) = outcomes_of(bundle, Features(np.ones((9, CHANNELS)), 1.0, 1.0), "onnxruntime")
    with pytest.raises(ShapeError, match=needed):
        outcomes_of(bundle, ScoredVideo(whole.scores, whole.seconds), "onnxruntime")


def test_pem_must_fit_the_curves(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    config = replace(bundle.config, pem=PemConfig(hidden=8))
    with pytest.raises(BundleError, match="gives 49 features of 3 curves, pem expects 32"):
        Bundle(bundle.path, config, bundle.features, bundle.source)


def test_both_networks_can_be_converted_again(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    files = [bundle.file(f"{net}.safetensors") for net in ("pem", "tem")]
    again, _ = convert_checkpoints(files, tmp_path / "again", length=20)
    assert (again.config.tem, again.config.pem) == (bundle.config.tem, bundle.config.pem)
    with pytest.raises(BundleError, match=r"of curves\? Convert its TEM with it"):
        convert_checkpoints(files[:1], tmp_path / "alone")


def test_a_part_of_a_video_keeps_its_curves() -> None:
    output = np.random.default_rng(0).random((7, 10), dtype=np.float32)
    part = ScoredVideo.of_output(output, 10.0).rows(2, 5)
    assert part.seconds == 3.0
    assert part.learnt is not None
    np.testing.assert_array_equal(np.concatenate([part.scores, part.learnt]), output[:, 2:5])
