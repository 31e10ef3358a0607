"""Number of workers and the resources that each needs."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Annotated

import msgspec
from msgspec import Meta

from actspan.config.base import Config, require_setting

READER_CPUS = 1  # CPUs for the reader that feeds the workers; without them the job would hang


class ClusterConfig(Config, frozen=True, kw_only=True):
    """Workers of a job on Ray. `worker_resources` are by Ray's names: {"NPU": 1}."""

    address: Annotated[
        str | None,
        Meta(
            description="Ray: a running cluster: auto, host:port. [default: start one on this "
            "machine]"
        ),
    ] = None
    workers: Annotated[int, Meta(ge=1, description="Ray: number of worker processes.")] = 1
    worker_cpus: Annotated[int, Meta(ge=1, description="Ray: CPUs, and threads, per worker.")] = 1
    worker_gpus: Annotated[float, Meta(ge=0, description="Ray: GPUs per worker.")] = 0.0
    worker_resources: Annotated[
        dict[str, float],
        Meta(description="Ray: other resources per worker: '{\"NPU\": 1}'."),
    ] = msgspec.field(default_factory=dict)

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
        """Resources that a worker needs, by Ray's names."""
        needs = {"CPU": float(self.worker_cpus), **self.worker_resources}
        return needs | {"GPU": self.worker_gpus} if self.worker_gpus else needs

    def places(self, node: Mapping[str, float]) -> int:
        """Return the number of workers that a node with these resources has room for."""
        return min(floor(node.get(name, 0.0) / need) for name, need in self.needs.items())
