"""Devices, precision and processes of training: found, refused, resumed, and equal in result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor

from actspan import Bundle, Dataset, TemConfig, TrainConfig
from actspan.config.base import changed, dump_toml, to_dict
from actspan.core.errors import ChangedTrainingError, ConfigError
from actspan.core.types import Float32
from actspan.model.bsn.networks import Network, Tem
from actspan.training import loop
from actspan.training.hardware import Hardware, Replica
from actspan.training.parts import trainable
from actspan.training.trainer import train
from tests.examples import write_dataset
from tests.training.test_bmn_training import TINY as TINY_BMN
from tests.training.tiny import JOINT, TINY, Collected

CONFIGS = {"bsn": TINY, "bmn": TINY_BMN}
CPU = Hardware.find("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    return trainable(Dataset.load(write_dataset(folder, videos=8)))


def weights_of(bundle: Bundle) -> dict[str, Float32]:
    return {
        f"{net}.{name}": value
        for net in bundle.nets
        for name, value in load_file(bundle.file(f"{net}.safetensors")).items()
    }


def assert_close(actual: Mapping[str, Float32], expected: Mapping[str, Float32]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize(
    ("device", "gpus", "message"),
    [
        ("gpu", 0, "give auto, cpu, cuda, or the number of a GPU, as in cuda:1"),
        ("cuda", 0, "sees no GPU: install its build with CUDA and the GPU's driver, or give"),
        ("cuda:2", 2, "PyTorch sees 2 GPUs, so none with number 2: give a smaller number"),
    ],
)
def test_a_device_that_does_not_exist_is_refused_in_a_line(
    device: str, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ConfigError) as error:
        Hardware.find(device)
    assert str(error.value).startswith(f"--device {device}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("device", "gpus", "found"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_gpu_is_chosen_where_there_is_one(
    device: str, gpus: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert str(Hardware.find(device).device) == found


def test_every_process_of_torchrun_gets_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = Hardware.find("cuda")
    assert (str(found.device), found.processes, found.rank) == ("cuda:1", 4, 3)
    assert not found.is_first
    with pytest.raises(ConfigError, match="torchrun gives each process its own GPU"):
        Hardware.find("cuda:0")


@pytest.mark.parametrize("kind", CONFIGS)
def test_bfloat16_computes_the_networks_alone(
    kind: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[torch.dtype]] = {"layers": set(), "outputs": set()}

    class Watched(Replica):
        def __init__(self, net: Network, *arguments: Any, **options: Any) -> None:
            super().__init__(net, *arguments, **options)
            if options:  # the one that is trained
                for layer in net.modules():
                    if isinstance(layer, (torch.nn.Conv1d, torch.nn.Linear)):
                        layer.register_forward_hook(
                            lambda layer, inputs, output: seen["layers"].add(output.dtype)
                        )

        def forward(self, x: Tensor) -> Any:
            outputs = super().forward(x)
            every = [outputs] if isinstance(outputs, Tensor) else outputs
            seen["outputs"].update(output.dtype for output in every)
            return outputs

    exact = train(dataset, tmp_path / "exact", CONFIGS[kind], hardware=CPU)
    monkeypatch.setattr(loop, "Replica", Watched)
    half = Hardware.find("cpu", "bf16")
    bundle = train(dataset, tmp_path / "half", CONFIGS[kind], hardware=half)
    assert torch.bfloat16 in seen["layers"]
    assert seen["outputs"] == {torch.float32}
    record = dict(bundle.training or {})
    assert (record["device"], record["precision"]) == ("cpu", "bf16")
    expected = weights_of(exact)
    assert all(value.dtype == np.float32 for value in weights_of(bundle).values())
    for name, value in weights_of(bundle).items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(value, expected[name], atol=0.1, err_msg=name)
    assert any((value != expected[name]).any() for name, value in weights_of(bundle).items())
    again = train(dataset, tmp_path / "again", CONFIGS[kind], hardware=half)
    assert [again.files[f"{net}.safetensors"] for net in again.nets] == [
        bundle.files[f"{net}.safetensors"] for net in bundle.nets
    ]


def test_probabilities_are_exact_near_one_in_bfloat16() -> None:
    tem = Tem(TemConfig(channels=4, length=8, hidden=4))
    with torch.no_grad():
        tem.conv3.bias.fill_(700.0)  # a logit of 7
    replica = Replica(tem, Hardware.find("cpu", "bf16"))
    scores = replica(torch.zeros(1, 4, 8))
    assert scores.max() < 1
    (-torch.log(1 - scores)).sum().backward()
    assert tem.conv3.bias.grad is not None
    assert tem.conv3.bias.grad.abs().min() > 0


def test_another_precision_does_not_resume(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "model", TINY, report=Collected(("training TEM", 3)))
    with pytest.raises(ChangedTrainingError, match=r"\(precision\)"):
        train(dataset, tmp_path / "model", TINY, hardware=Hardware.find("cpu", "bf16"))


def without_dropout(config: TrainConfig) -> TrainConfig:
    still = {"dropout": 0.0}
    changes: dict[str, Any] = dict.fromkeys(config.nets, still)
    if "tem" in changes:
        changes["tem"] = {**still, "hidden_dropout": 0.0}
    return changed(config, changes, where="test")


def torchrun(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


_GRADIENTS = """
import sys
import torch
from actspan import BmnConfig
from actspan.model.bmn.networks import Bmn
from actspan.training.hardware import Hardware, Replica

torch.manual_seed(0)
config = BmnConfig(channels=6, length=8, samples=4, base=8, sampled=8, matched=8, hidden=4)
net, batch, hardware = Bmn(config), torch.randn(3, 6, 8), Hardware.find("cpu")
with hardware.opened():
    replica = Replica(net, hardware, is_trained=True)
    outputs = replica(batch)
    loss = sum((output.square().mean() + output.max()) for output in outputs)
    loss.backward()
if hardware.is_first:
    torch.save([loss.detach(), *(p.grad for p in net.parameters())], sys.argv[1])
"""


def test_processes_compute_the_loss_and_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    script = tmp_path / "gradients.py"
    script.write_text(_GRADIENTS)
    subprocess.run([sys.executable, script, tmp_path / "one"], check=True)
    done = torchrun(2, script, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = torch.load(tmp_path / "one"), torch.load(tmp_path / "two")
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-7)
    assert any(gradient.abs().max() > 0 for gradient in one[1:])


@pytest.mark.parametrize("kind", [*CONFIGS, "joint"])
def test_processes_share_the_batches_and_resume_what_one_began(
    kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    config = without_dropout({**CONFIGS, "joint": JOINT}[kind])
    expected = train(dataset, tmp_path / "one", config, hardware=CPU)
    (tmp_path / "config.toml").write_text(dump_toml(to_dict(config)))
    network = {"bsn": "TEM", "bmn": "BMN", "joint": "BSN"}[kind]
    report = Collected((f"training {network}", 3))
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "two", config, hardware=CPU, report=report)
    preset = "jjboy2020" if kind == "bmn" else "published"
    places = ("--dataset", dataset.path, "--out", tmp_path / "two")
    settings = ("--config", tmp_path / "config.toml", "--preset", preset, "--device", "cpu")
    done = torchrun(2, "-m", "actspan", "train", *places, *settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bundle: ") == 1
    assert done.stderr.count("training on cpu, 2 processes, fp32") == 1
    assert f"resuming {network}: 1 of 3 epochs are done" in done.stderr
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("two")] == ["two"]
    found = Bundle.load(tmp_path / "two")
    assert_close(weights_of(found), weights_of(expected))
    assert (found.training or {})["device"] == "cpu, 2 processes"
