"""Options of the commands that can work on a cluster, and of inputs that may lie elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from actspan.cluster import ClusterConfig

F = TypeVar("F", bound=Callable[..., Any])

CLUSTER_OPTIONS = ("address", "workers", "worker_cpus", "worker_gpus", "worker_resources")


class _Resources(click.ParamType):  # type: ignore[type-arg]
    """A JSON object of amounts."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The object."""
        try:
            found = json.loads(value) if isinstance(value, str) else value
            return {str(name): float(amount) for name, amount in found.items()}
        except (ValueError, TypeError, AttributeError):
            self.fail(f"{value}: an object of amounts is needed, as in '{{\"NPU\": 1}}'")


def cluster_options(function: F) -> F:
    """`--engine`, and what it takes to work on Ray; the command gets one `cluster`, or None."""

    @click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Who computes: this process, or workers on Ray (pip install 'actspan[cluster]').",
    )
    @click.option(
        "--address",
        help="Ray: a cluster that runs: auto, host:port. [default: one is started here]",
    )
    @click.option(
        "--workers", type=click.IntRange(1), default=1, help="Ray: processes. [default: 1]"
    )
    @click.option(
        "--worker-cpus",
        type=click.IntRange(1),
        default=1,
        help="Ray: CPUs of each, and threads. [default: 1]",
    )
    @click.option("--worker-gpus", type=click.FloatRange(0), default=0.0, help="Ray: GPUs of each.")
    @click.option(
        "--worker-resources",
        type=_Resources(),
        metavar="JSON",
        default="{}",
        help="""Ray: what else each needs: '{"NPU": 1}'.""",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, engine: str, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in CLUSTER_OPTIONS}
        return function(*args, cluster=_config(engine, chosen), **kwargs)

    return wrapped  # type: ignore[return-value]


def _config(engine: str, chosen: dict[str, Any]) -> ClusterConfig | None:
    if engine == "ray":
        from actspan.cluster import ClusterConfig

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
