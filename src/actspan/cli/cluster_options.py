"""Options of the commands that can run on a cluster."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from actspan.jobs.ray_pool import ClusterConfig

F = TypeVar("F", bound=Callable[..., Any])

CLUSTER_OPTIONS = ("address", "workers", "worker_cpus", "worker_gpus", "worker_resources")


class _Resources(click.ParamType):  # type: ignore[type-arg]
    """Parameter type: a JSON object that maps resource names to amounts."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the amounts by name."""
        try:
            found = json.loads(value) if isinstance(value, str) else value
            return {str(name): float(amount) for name, amount in found.items()}
        except (ValueError, TypeError, AttributeError):
            self.fail(f"{value}: an object of amounts is needed, as in '{{\"NPU\": 1}}'")


def cluster_options(function: F) -> F:
    """Add `--engine` and the options of Ray; the command gets one `cluster`, or None."""

    @click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Where to compute: in this process, or on workers of Ray (pip install "
        "'actspan[cluster]').",
    )
    @click.option(
        "--address",
        help="Ray: a running cluster: auto, host:port. [default: start one on this machine]",
    )
    @click.option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        help="Ray: number of worker processes. [default: 1]",
    )
    @click.option(
        "--worker-cpus",
        type=click.IntRange(1),
        default=1,
        help="Ray: CPUs, and threads, per worker. [default: 1]",
    )
    @click.option(
        "--worker-gpus", type=click.FloatRange(0), default=0.0, help="Ray: GPUs per worker."
    )
    @click.option(
        "--worker-resources",
        type=_Resources(),
        metavar="JSON",
        default="{}",
        help="Ray: other resources per worker: '{\"NPU\": 1}'.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, engine: str, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in CLUSTER_OPTIONS}
        return function(*args, cluster=_config(engine, chosen), **kwargs)

    return wrapped  # type: ignore[return-value]


def _config(engine: str, chosen: dict[str, Any]) -> ClusterConfig | None:
    if engine == "ray":
        from actspan.jobs.ray_pool import ClusterConfig

        return ClusterConfig(**chosen)
    context = click.get_current_context()
    given = [
        f"--{name.replace('_', '-')}"
        for name in CLUSTER_OPTIONS
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)}: only with --engine ray")
    return None
