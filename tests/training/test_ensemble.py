"""Ensembles: the logits of a merged network are the mean of its members', on every backend."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from actspan import Bundle, Dataset, Pipeline, Proposals
from actspan.config.base import from_dict
from actspan.config.stages import BspConfig, PemConfig, TemConfig
from actspan.config.training import OptimConfig
from actspan.core.errors import ConfigError
from actspan.model.bsn.forward import tem_forward
from actspan.model.bsn.networks import Pem, Tem
from actspan.proposals.curves import curve_features
from actspan.runtime.opening import open_net
from actspan.training.merging import merge_members
from actspan.training.parts import trainable
from actspan.training.trainer import train
from tests.examples import write_dataset
from tests.training.tiny import TINY, Collected

OPTIM = OptimConfig(batch=2, epochs=2, passes=2)


def seeded(build: type, config: object, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    net: torch.nn.Module = build(config).eval()
    return net


@torch.no_grad()
@pytest.mark.parametrize("dilated", [0, 2])
def test_a_merged_tem_averages_logits(dilated: int) -> None:
    config = TemConfig(channels=6, length=20, hidden=8, dilated=dilated)
    tems = [seeded(Tem, config, seed) for seed in range(3)]
    for tem in tems:
        tem.standardize(torch.arange(6.0), torch.full((6,), 0.5))
    merged, video = merge_members(tems), torch.randn(2, 6, 20)
    assert (merged.config.hidden, merged.config.members) == (24, 3)
    expected = torch.stack([tem.logits(video) for tem in tems]).mean(0)
    torch.testing.assert_close(merged.logits(video), expected)
    found = tem_forward(merged.weights(), video.numpy())
    np.testing.assert_allclose(found, merged(video).numpy(), atol=1e-6)


@torch.no_grad()
def test_a_merged_pem_averages_logits() -> None:
    pems = [seeded(Pem, PemConfig(hidden=8), seed) for seed in range(3)]
    features = torch.rand(5, 32)
    expected = torch.stack([pem.logits(features) for pem in pems]).mean(0)
    torch.testing.assert_close(merge_members(pems).logits(features), expected)


@torch.no_grad()
def test_merged_members_with_curves_see_their_own() -> None:
    config = TemConfig(channels=6, length=20, hidden=8, dilated=1, curves=2)
    tems = [seeded(Tem, config, seed) for seed in range(3)]
    merged, video = merge_members(tems), torch.randn(2, 6, 20)
    outputs = torch.stack([tem(video) for tem in tems])  # (members, B, 7, T)
    shared = torch.stack([tem.logits(video) for tem in tems]).mean(0)[:, :5].sigmoid()
    expected = torch.cat([shared, *outputs[:, :, 5:]], dim=1)
    torch.testing.assert_close(merged(video), expected)
    pem_config = PemConfig(hidden=8, layers=2, inputs=BspConfig().curve_size(2))
    pems = [seeded(Pem, pem_config, seed) for seed in range(3)]
    pem = merge_members(pems, curves=2)
    candidates = Proposals([0.1, 0.3], [0.9, 0.4], [1, 1], unit="fraction")
    found = pem.logits(torch.from_numpy(curve_features(expected[0, 5:].numpy(), candidates)))
    alone = [
        member.logits(torch.from_numpy(curve_features(output[0, 5:].numpy(), candidates)))
        for member, output in zip(pems, outputs, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(alone).mean(0))


@torch.no_grad()
def test_merged_pems_of_several_layers_average_logits() -> None:
    pems = [seeded(Pem, PemConfig(hidden=8, layers=3), seed) for seed in range(2)]
    features = torch.rand(5, 32)
    expected = torch.stack([pem.logits(features) for pem in pems]).mean(0)
    torch.testing.assert_close(merge_members(pems).logits(features), expected)


def test_one_member_is_itself() -> None:
    tem = Tem(TemConfig(channels=2, hidden=2))
    assert merge_members([tem]) is tem


def test_hidden_units_must_divide_evenly_among_members() -> None:
    with pytest.raises(ConfigError, match="not a multiple of its 3 members"):
        from_dict(TemConfig, {"hidden": 10, "members": 3}, where="x")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return trainable(Dataset.load(write_dataset(tmp_path_factory.mktemp("data") / "d")))


@pytest.fixture(scope="module")
def bundles(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Train an ensemble, and its two members alone."""
    folder, report = tmp_path_factory.mktemp("models"), Collected()
    tem, pem = (msgspec.structs.replace(part, optim=OPTIM) for part in (TINY.tem, TINY.pem))
    config = msgspec.structs.replace(TINY, tem=tem, pem=pem)
    both = msgspec.structs.replace(config, ensemble=2)
    found = [train(dataset, folder / "both", both, seed=4, report=report)]
    for title in ("TEM", "TEM 2", "PEM", "PEM 2"):
        assert any(note.startswith(f"training {title} ") for note in report.notes)
    return [*found, *(train(dataset, folder / str(seed), config, seed=seed) for seed in (4, 5))]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_an_ensemble_is_one_bundle(backend: str, dataset: Dataset, bundles: list[Bundle]) -> None:
    assert len(dict(bundles[0].training or {})["tem"]) == 2
    features = dataset.read(dataset.videos[0].id)
    logits = []
    for bundle in bundles:
        with open_net(bundle, "tem", backend=backend) as session:
            output = session.run({"video": features.values[None, :20].transpose(0, 2, 1)})["output"]
        logits.append(np.log(output / (1 - output)))
    np.testing.assert_allclose(logits[0], (logits[1] + logits[2]) / 2, atol=1e-5)
    with Pipeline.load(bundles[0], backend=backend) as pipeline:
        assert len(pipeline.propose(features))
