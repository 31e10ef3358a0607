"""Numbered pieces of work on a pool of workers. Inputs and answers are small."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Protocol

import msgspec

from actspan.core import errors
from actspan.core.errors import ActSpanError, ClusterError
from actspan.core.wording import counted
from actspan.jobs.cluster.settings import ClusterConfig

_COLUMNS = ("number", "answer", "kind", "message")
_PASSES = 3  # passes without any progress before the job fails


class Worker(Protocol):
    """Work in a process of the cluster. The worker is created there from what was pickled.

    Heavy resources are loaded at the first call, so that their errors return like any other.
    """

    def do(self, numbers: Sequence[int]) -> Iterator[Any]:
        """Do pieces of work, one after the other.

        Each answer, in order, says that its piece is done. Answers must be small and serializable
        as JSON.
        """
        ...


class _Actor:
    """Worker as Ray Data calls it. Errors are returned as answers, so that their types survive."""

    def __init__(self, make: Callable[[], Worker]) -> None:
        self._make = make
        self._worker: Worker | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        numbers = [int(number) for number in batch["number"]]
        rows: list[tuple[Any, ...]] = []
        try:
            if self._worker is None:
                self._worker = self._make()
            for number, answer in zip(numbers, self._worker.do(numbers), strict=True):
                rows.append((number, msgspec.json.encode(answer).decode(), "", ""))
        except ActSpanError as error:
            rows.append((numbers[len(rows)], "null", type(error).__name__, str(error)))
        except Exception as error:  # noqa: BLE001 - said by name there, in full in the worker's log
            traceback.print_exc(file=sys.stderr)
            what = f"a worker failed: {type(error).__name__}: {error}"
            rows.append((numbers[len(rows)], "null", "ClusterError", what))
        return dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


def work_through(
    make: Callable[[], Worker],
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
        Creates a worker, in the worker's process.
    numbers : iterable of int
    config : ClusterConfig
    done : callable, optional
        Returns the numbers that are done for good, even if no answer arrived; those without an
        answer are yielded with None.
    at_once : int
        Numbers per call of a worker, which saves pauses between calls; the last calls may get
        fewer.

    Raises
    ------
    ActSpanError
        An error that a worker raised, or ClusterError if workers are lost repeatedly.
    """
    left, fruitless = set(numbers), 0
    while left:
        before = len(left)
        for number, answer in _one_pass(make, sorted(left), config, at_once):
            left.discard(number)
            yield number, answer
        for number in sorted(left & done()):
            left.discard(number)
            yield number, None
        fruitless = fruitless + 1 if len(left) == before else 0
        if fruitless == _PASSES:
            raise ClusterError(
                f"workers were lost {_PASSES} times over {counted(len(left), 'piece')} of work "
                f"(number {min(left)} first): out of memory, or machines gone? ray status and "
                "the workers' logs tell; what is done stays"
            )


def _one_pass(
    make: Callable[[], Worker], numbers: list[int], config: ClusterConfig, at_once: int
) -> Iterator[tuple[int, Any]]:
    dataset = _dataset(make, numbers, config, at_once)
    for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        rows = zip(*(batch[name] for name in _COLUMNS), strict=True)
        for number, answer, kind, message in rows:
            if kind:
                raise _named(str(kind))(str(message))
            yield int(number), msgspec.json.decode(answer)


def _dataset(
    make: Callable[[], Worker], numbers: list[int], config: ClusterConfig, at_once: int
) -> Any:
    """Return a Ray dataset of answers, which is computed lazily."""
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
    context.max_errored_blocks = -1  # blocks fail only with their worker: errors are answers
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return dataset


def _named(kind: str) -> Callable[[str], ActSpanError]:
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, ActSpanError) and kind != "DatasetError":
        return found
    return ActSpanError
