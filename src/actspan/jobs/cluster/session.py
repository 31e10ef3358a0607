"""Connection to a Ray cluster that is started here or joined, and its checks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from actspan.core.errors import ClusterError, require
from actspan.core.wording import counted
from actspan.jobs.cluster.settings import READER_CPUS, ClusterConfig

_OBJECT_STORE = 100_000_000  # bytes; small, since only shard numbers pass through it


@contextmanager
def ray_session(config: ClusterConfig) -> Iterator[Any]:
    """Connect to a cluster that has room for the workers, and yield the `ray` module.

    A session that already exists is used as it is, and is not closed.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    ClusterError
        No cluster answers at the address, or it has too few resources.
    """
    ray = require("ray", extra="cluster", purpose="working on Ray")
    require("ray.data", extra="cluster", purpose="working on Ray")
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, config)
    try:
        check_room([node["Resources"] for node in ray.nodes() if node["Alive"]], config)
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, config: ClusterConfig) -> None:
    # Ray warns about every lost worker; users get one error of ours instead.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if config.address is None:
        check_cores(config)
    try:
        if config.address is None:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(
                address="local",
                num_cpus=config.workers * config.worker_cpus + READER_CPUS,
                object_store_memory=_OBJECT_STORE,
                include_dashboard=False,
                **quiet,
            )
        else:
            ray.init(address=config.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = config.address or "this machine"
        what = str(error).strip().partition("\n")[0]
        raise ClusterError(f"Ray at {where}: {what}; is the cluster up (ray status)?") from error


def check_cores(config: ClusterConfig) -> None:
    """Raise if this machine has fewer cores than the workers need; their reader needs few."""
    cores, wanted = os.cpu_count() or 1, config.workers * config.worker_cpus
    if wanted > cores:
        raise ClusterError(
            f"{counted(config.workers, 'worker')} of {counted(config.worker_cpus, 'CPU')} on a "
            f"machine of {counted(cores, 'core')}: they would only wait for each other; lower "
            "--workers or --worker-cpus, or name a cluster: --address"
        )


def check_room(nodes: Sequence[Mapping[str, float]], config: ClusterConfig) -> None:
    """Raise if a cluster can never hold the workers and the reader that feeds them.

    Parameters
    ----------
    nodes : sequence of mapping of resource to amount
        Resources of each node.

    Raises
    ------
    ClusterError
        States the resources that are needed and those that exist.
    """
    room = sum(config.places(node) for node in nodes)
    cpus = sum(node.get("CPU", 0.0) for node in nodes)
    left = cpus - config.workers * config.worker_cpus
    if room >= config.workers and left >= READER_CPUS:
        return
    needs = ", ".join(f"{amount:g} {name}" for name, amount in config.needs.items())
    there = f"{counted(len(nodes), 'node')} with {cpus:g} CPU in all, room for {room}"
    if room >= config.workers:
        there = f"{cpus:g} CPU in all leave {left:g} to what feeds them, which needs {READER_CPUS}"
    raise ClusterError(
        f"{counted(config.workers, 'worker')} of {needs}: {there}; ask for fewer (--workers) or "
        "smaller ones (--worker-cpus), or for more nodes"
    )
