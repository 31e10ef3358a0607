"""Numbers through a pool of workers: small things out, small things back."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Protocol

import msgspec

from actspan import errors
from actspan.cluster.settings import ClusterConfig
from actspan.errors import ActSpanError, ClusterError
from actspan.wording import counted

_COLUMNS = ("number", "answer", "kind", "message")
_PASSES = 3  # in which nothing is done, before it is given up


class Worker(Protocol):
    """What runs in a process of the cluster; it is made there, once, with what it takes to pickle.

    Whatever is heavy is loaded at the first call, so that its errors come back like any other.
    """

    def do(self, numbers: Sequence[int]) -> Iterator[Any]:
        """Do pieces of work, one after the other.

        Each answer, in order, tells that its piece is done; it has to be small, and to go into
        JSON.
        """
        ...


class _Actor:
    """A worker as Ray Data calls it: errors are answers, for they have to come back by name."""

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
    """Have workers do all numbers; yields (number, answer) in whichever order they come.

    A worker that is lost is replaced by Ray where there is room; what it had in hand is done in
    another pass. A number may be done twice, so doing it must change nothing the second time.

    Parameters
    ----------
    make : callable
        Makes a worker, in its process.
    numbers : iterable of int
    config : ClusterConfig
    done : callable, optional
        Numbers that are done for good, whether or not an answer came back; those whose answer was
        lost are yielded with None.
    at_once : int
        How many numbers a worker is given at a time, which saves the pauses between; towards the
        end there may be fewer.

    Raises
    ------
    ActSpanError
        As a worker raised it; or ClusterError, where workers are lost again and again.
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
    """A Ray dataset of answers; nothing is done before it is drawn."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows, blocks = [{"number": number} for number in numbers], ceil(len(numbers) / at_once)
    with warnings.catch_warnings():
        # how to let a task of a lost actor fail has no other name yet
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
            # by default a task waits for its actor to come back, for ever if its node does not
            max_task_retries=0,
        )
    context = dataset.context
    context.max_errored_blocks = -1  # only losses: errors are answers
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return dataset


def _named(kind: str) -> Callable[[str], ActSpanError]:
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, ActSpanError) and kind != "DatasetError":
        return found
    return ActSpanError
