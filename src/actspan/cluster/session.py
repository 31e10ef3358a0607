"""A cluster to work on: started here or joined, and checked before anything is asked of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from actspan.cluster.settings import READER_CPUS, ClusterConfig
from actspan.errors import ClusterError, require
from actspan.wording import counted

_OBJECT_STORE = 100_000_000  # bytes: numbers of shards pass through it, not arrays


@contextmanager
def ray_session(config: ClusterConfig) -> Iterator[Any]:
    """Ray, connected to a cluster that has room for the workers.

    A session that is there already is used as it is, and left.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    ClusterError
        There is no cluster at the address, or it has too little.
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
    # Ray has warnings of its own for every lost worker; what counts comes as one error of ours
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
    """Refuse more workers than this machine has cores; what feeds them needs little of one."""
    cores, wanted = os.cpu_count() or 1, config.workers * config.worker_cpus
    if wanted > cores:
        raise ClusterError(
            f"{counted(config.workers, 'worker')} of {counted(config.worker_cpus, 'CPU')} on a "
            f"machine of {counted(cores, 'core')}: they would only wait for each other; lower "
            "--workers or --worker-cpus, or name a cluster: --address"
        )


def check_room(nodes: Sequence[Mapping[str, float]], config: ClusterConfig) -> None:
    """Refuse a cluster that could never hold the workers and what feeds them.

    Parameters
    ----------
    nodes : sequence of mapping of resource to amount
        What each node has.

    Raises
    ------
    ClusterError
        Says what is needed, and what there is.
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
