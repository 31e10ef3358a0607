"""Workers on Ray: their number, the connection to a cluster, and numbered work on them."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import msgspec

from actspan.core import errors
from actspan.core.errors import ActSpanError, ClusterError, require
from actspan.core.wording import counted
from actspan.jobs.propose_request import ClusterConfig

READER_CPUS = 1  # CPUs for the reader that feeds the workers; without them the job would hang
_OBJECT_STORE = 100_000_000  # bytes; small, since only shard numbers pass through it
_COLUMNS = ("number", "answer", "kind", "message")
_PASSES = 3  # passes without any progress before the job fails


@contextmanager
def ray_session(config: ClusterConfig) -> Iterator[Any]:
    """Connect to a cluster that has room for the workers, and yield the `ray` module.

    A session that already exists is used as it is, and is not closed. Raises ClusterError if no
    cluster responds at the address, or it has too few resources.
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
    """Raise ClusterError if a cluster can never hold the workers and the reader that feeds them.

    `nodes` are the resources of each node, by name.
    """
    room = sum(config.capacity(node) for node in nodes)
    cpus = sum(node.get("CPU", 0.0) for node in nodes)
    left = cpus - config.workers * config.worker_cpus
    if room >= config.workers and left >= READER_CPUS:
        return
    needs = ", ".join(f"{amount:g} {name}" for name, amount in config.needs.items())
    exists = f"{counted(len(nodes), 'node')} with {cpus:g} CPU in all, room for {room}"
    if room >= config.workers:
        exists = f"{cpus:g} CPU in all leave {left:g} to what feeds them, which needs {READER_CPUS}"
    raise ClusterError(
        f"{counted(config.workers, 'worker')} of {needs}: {exists}; ask for fewer (--workers) or "
        "smaller ones (--worker-cpus), or for more nodes"
    )


# Does pieces of work, one after the other; each answer, in order, says that its piece is done.
# Answers are small, and can be encoded as JSON.
Work = Callable[[Sequence[int]], Iterator[Any]]


class _Actor:
    """Worker as Ray Data calls it. Errors are returned as results, so that their types survive."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self._make = make
        self._work: Work | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        numbers = [int(number) for number in batch["number"]]
        rows: list[tuple[Any, ...]] = []
        try:
            if self._work is None:
                self._work = self._make()
            for number, answer in zip(numbers, self._work(numbers), strict=True):
                rows.append((number, msgspec.json.encode(answer).decode(), "", ""))
        except ActSpanError as error:
            rows.append((numbers[len(rows)], "null", type(error).__name__, str(error)))
        except Exception as error:  # noqa: BLE001 - said by name there, in full in the worker's log
            traceback.print_exc(file=sys.stderr)
            what = f"a worker failed: {type(error).__name__}: {error}"
            rows.append((numbers[len(rows)], "null", "ClusterError", what))
        return dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


def work_through(
    make: Callable[[], Work],
    numbers: Iterable[int],
    config: ClusterConfig,
    done: Callable[[], set[int]] = set,
    *,
    at_once: int = 1,
) -> Iterator[tuple[int, Any]]:
    """Do all numbers on workers; yield (number, answer) in the order of completion.

    Ray replaces a lost worker where there is room. Unfinished numbers are repeated in another pass.
    A number may be done twice, so a repetition must not change anything.

    Parameters
    ----------
    make : callable
        Makes a worker, in its process; heavy resources are loaded then. It is pickled.
    done : callable, optional
        Returns the numbers that are done for good, even if no answer arrived; those without an
        answer are yielded with None.
    at_once : int
        Numbers per call of a worker, which saves pauses between calls.

    Raises
    ------
    ActSpanError
        An error that a worker raised, or ClusterError if workers are lost repeatedly.
    """
    left, without_progress = set(numbers), 0
    while left:
        before = len(left)
        for number, answer in _one_pass(make, sorted(left), config, at_once):
            left.discard(number)
            yield number, answer
        for number in sorted(left & done()):
            left.discard(number)
            yield number, None
        without_progress = without_progress + 1 if len(left) == before else 0
        if without_progress == _PASSES:
            raise ClusterError(
                f"workers were lost {_PASSES} times over {counted(len(left), 'piece')} of work "
                f"(number {min(left)} first): out of memory, or machines gone? See ray status "
                "and the workers' logs; finished work is kept"
            )


def _one_pass(
    make: Callable[[], Work], numbers: list[int], config: ClusterConfig, at_once: int
) -> Iterator[tuple[int, Any]]:
    dataset = _dataset(make, numbers, config, at_once)
    for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        rows = zip(*(batch[name] for name in _COLUMNS), strict=True)
        for number, answer, kind, message in rows:
            if kind:
                raise _error_class_of(str(kind))(str(message))
            yield int(number), msgspec.json.decode(answer)


def _dataset(
    make: Callable[[], Work], numbers: list[int], config: ClusterConfig, at_once: int
) -> Any:
    """Return a Ray dataset of results, which is computed lazily."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows, blocks = [{"number": number} for number in numbers], ceil(len(numbers) / at_once)
    with warnings.catch_warnings():
        # Ray has no newer argument that lets a task of a lost actor fail.
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        dataset = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _Actor,
            fn_constructor_args=(make,),
            batch_size=None,  # a block
            compute=ray.data.ActorPoolStrategy(
                size=min(config.workers, blocks), max_tasks_in_flight_per_actor=2
            ),
            num_cpus=config.worker_cpus,
            num_gpus=config.worker_gpus or None,
            resources=config.worker_resources or None,
            # By default a task waits for its actor to return, forever if the node does not return.
            max_task_retries=0,
        )
    context = dataset.context
    context.max_errored_blocks = -1  # blocks fail only with their worker: errors are results
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return dataset


def _error_class_of(kind: str) -> Callable[[str], ActSpanError]:
    error_class = getattr(errors, kind, None)
    if (
        isinstance(error_class, type)
        and issubclass(error_class, ActSpanError)
        and kind != "DatasetError"
    ):
        return error_class
    return ActSpanError
