"""Where networks are trained: the device, the precision, and the processes of torchrun.

Samples are drawn and losses computed on the CPU, in every process for the whole batch. Only the
network runs on the device, on the rows that belong to the process. So the random numbers and the
losses depend neither on the device nor on the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from actspan.config.training import Precision
from actspan.core.errors import ConfigError
from actspan.core.wording import counted
from actspan.runtime.devices import Device

# Waiting for the first process, which evaluates the model, must not fail. If it ends with an error,
# torchrun stops the others.
_WAIT = timedelta(days=7)


class Place(NamedTuple):
    """Place of this process among those that torchrun started, each counted from 0."""

    processes: int = 1
    rank: int = 0  # in all
    gpu: int = 0  # on this machine


def place_in_torchrun() -> Place:
    """Return this process's place; that of the only one without torchrun."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        return Place()
    return Place(*(int(os.environ[name]) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK")))


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device, the precision of training, and this process's place among those of torchrun."""

    device: torch.device
    precision: Precision = "fp32"
    processes: int = 1
    rank: int = 0

    @classmethod
    def find(cls, device: str = "auto", precision: Precision = "fp32") -> Self:
        """Find a device by its name: "auto" is a GPU if PyTorch sees one, else the CPU.

        Under torchrun, every process gets the GPU of its own number.

        Raises
        ------
        ConfigError
            The name is none of auto, cpu, cuda, cuda:N, or there is no such GPU.
        """
        place = place_in_torchrun()
        kind, number = Device.parse(device)
        gpus = torch.cuda.device_count()
        if kind == "auto":
            kind = "cuda" if gpus else "cpu"
        if kind == "cpu":
            return cls(torch.device("cpu"), precision, place.processes, place.rank)
        if number is None:
            number = place.gpu
        elif place.processes > 1:
            raise ConfigError(
                f"--device {device}: torchrun gives each process its own GPU; give --device cuda"
            )
        if not gpus:
            raise ConfigError(
                f"--device {device}: PyTorch {torch.__version__} sees no GPU: install its build "
                "with CUDA and the GPU's driver, or give --device cpu"
            )
        if number >= gpus:
            raise ConfigError(
                f"--device {device}: PyTorch sees {counted(gpus, 'GPU')}, so none with number "
                f"{number}: give a smaller number, or start fewer processes"
            )
        return cls(torch.device("cuda", number), precision, place.processes, place.rank)

    @property
    def is_first(self) -> bool:
        """True if this process writes the state and the bundle, and reports."""
        return self.rank == 0

    @property
    def description(self) -> str:
        """Names of the device and, if there are several, the number of processes."""
        name = str(self.device)
        if self.device.type == "cuda":
            name = f"{name} ({torch.cuda.get_device_name(self.device)})"
        return name if self.processes == 1 else f"{name}, {self.processes} processes"

    @property
    def generators(self) -> list[torch.device]:
        """Devices besides the CPU that have random numbers of their own, for `fork_rng`."""
        return [self.device] if self.device.type == "cuda" else []

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Join the other processes, and compute as repeatably as the device can, in the block."""
        is_new = self.processes > 1 and not distributed.is_initialized()
        with _repeatable(self.device):
            if is_new:
                if self.device.type == "cuda":
                    torch.cuda.set_device(self.device)
                kind = "nccl" if self.device.type == "cuda" else "gloo"
                distributed.init_process_group(kind, timeout=_WAIT)
            try:
                yield
            finally:
                if is_new:
                    distributed.destroy_process_group()

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.processes > 1:
            distributed.barrier()

    def gather(self, own: Tensor) -> Tensor:
        """Join the equal rows of every process; gradients reach the own rows, for the mean of all.

        DistributedDataParallel divides the sum of the processes' gradients by their number. Each
        process has the gradient of its rows alone, so theirs are multiplied by it.
        """
        count, values = self.processes, own.detach().contiguous()
        parts = [torch.empty_like(values) for _ in range(count)]
        distributed.all_gather(parts, values)
        if own.requires_grad:
            own.register_hook(lambda gradient: gradient * count)  # type: ignore[no-untyped-call]
        parts[self.rank] = own
        return torch.cat(parts)


class Replica(nn.Module):
    """A network on a device: takes a batch on the CPU, returns its outputs there in float32.

    With several processes, each runs its rows of the batch and receives the outputs of all, or runs
    all rows if they are not `shared`. While gradients are computed, the network has the requested
    precision, and `is_trained` averages the gradients of the processes.
    """

    def __init__(
        self,
        net: nn.Module,
        hardware: Hardware,
        *,
        is_trained: bool = False,
        shared: bool = True,
    ) -> None:
        super().__init__()
        self._hardware = hardware
        self._shares = shared and hardware.processes > 1
        self._net = net
        if is_trained and hardware.processes > 1:
            self._net = DistributedDataParallel(net)

    def forward(self, x: Tensor) -> Any:
        """Compute the outputs, one or a tuple, of a batch (B, ...)."""
        hardware, count = self._hardware, len(x)
        if self._shares:  # equal shares; the last ones repeat rows, which are not used
            share = -(-count // hardware.processes)
            x = x[(torch.arange(share) + hardware.rank * share) % count]
        is_half = hardware.precision == "bf16" and torch.is_grad_enabled()
        with torch.autocast(hardware.device.type, torch.bfloat16, enabled=is_half):
            outputs = self._net(x.to(hardware.device))
        if isinstance(outputs, Tensor):
            return self._whole(outputs, count)
        return type(outputs)(*(self._whole(output, count) for output in outputs))

    def _whole(self, own: Tensor, count: int) -> Tensor:
        if self._shares:
            own = self._hardware.gather(own)[:count]
        return own.float().cpu()


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Select algorithms of a GPU that repeat their results, in full float32, in the block.

    What has no such algorithm is computed nevertheless, and PyTorch warns.
    """
    if device.type == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product
    mode, products = torch.get_deterministic_debug_mode(), torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_float32_matmul_precision(products)
