"""How many workers, and what each of them needs."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

import msgspec

from actspan.config import Config
from actspan.config.base import require_setting

READER_CPUS = 1  # left free for what feeds the workers: actors that take all CPUs would hang


class ClusterConfig(Config, frozen=True, kw_only=True):
    """Workers of a job on Ray.

    Attributes
    ----------
    address : str, optional
        A cluster that runs: "auto", "host:port" or "ray://host:port". One is started on this
        machine, and stopped afterwards, unless given.
    workers : int
        Processes that load the model once each.
    worker_cpus : int
        CPUs of each, and as many threads.
    worker_gpus : float
        GPUs of each; workers may share one.
    worker_resources : mapping of str to float
        What else each needs, by Ray's name for it: {"NPU": 1}.
    """

    address: str | None = None
    workers: int = 1
    worker_cpus: int = 1
    worker_gpus: float = 0.0
    worker_resources: dict[str, float] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        require_setting(self.workers >= 1, f"workers is {self.workers}; at least 1 is needed")
        require_setting(
            self.worker_cpus >= 1, f"worker_cpus is {self.worker_cpus}; at least 1 is needed"
        )
        require_setting(self.worker_gpus >= 0, f"worker_gpus is {self.worker_gpus}, below 0")
        for name, amount in self.worker_resources.items():
            known = name in ("CPU", "GPU")
            require_setting(not known, f"worker_resources: {name} has an option of its own")
            require_setting(amount > 0, f"worker_resources: {name} is {amount}, not above 0")

    @property
    def needs(self) -> dict[str, float]:
        """Everything that a worker needs, by Ray's names."""
        needs = {"CPU": float(self.worker_cpus), **self.worker_resources}
        return needs | {"GPU": self.worker_gpus} if self.worker_gpus else needs

    def places(self, node: Mapping[str, float]) -> int:
        """How many workers a node with these resources has room for."""
        return min(floor(node.get(name, 0.0) / need) for name, need in self.needs.items())
