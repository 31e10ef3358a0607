"""Processes that isolate the service from hostile files and from long work, and their protocol.

A line of JSON on the standard input of a worker is a task. Lines on its standard output are
replies: any number that report the progress, then one with `finished`, with `error` (and `errno` if
the disk is its cause) or with `failure`, an exception that nobody expected.

    python -m actspan.server.worker_process MODULE [ARGUMENT ...]

runs `main` of a module; if that cannot start, the replies say why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

from actspan.core.errors import ActSpanError, DataError
from actspan.core.files import machine_error

_POLL = 0.1  # longest time between reports of progress, seconds

_LAST = {"finished", "error", "failure"}  # one of them is in the last reply
_STATUSES = range(2**31)  # of processes that ended themselves; Windows has larger ones of crashes

_WATCH = 0.2  # seconds between two looks whether the service still runs

Reply = dict[str, Any]
Send = Callable[[Reply], None]


class WorkerProcess:
    """Process of a module that answers tasks one after another.

    It is started at the first use, and again after it ended. `words` are the module and its
    arguments, `what` names the input in messages. With `once` it ends after each task.
    """

    def __init__(self, words: Sequence[str], what: str, *, once: bool = False) -> None:
        self._words, self._what, self._once = words, what, once
        self._process: subprocess.Popen[bytes] | None = None
        self._lines = SimpleQueue[bytes]()  # that the process wrote; b"" is its end
        self._reader = Thread()
        self._lock = Lock()

    def run(
        self,
        task: Mapping[str, Any],
        seconds: float,
        progress: Callable[[Reply], None] = lambda reply: None,
    ) -> Reply:
        """Send a task and return the last reply.

        `progress` is called several times per second, with the newest reply; it may raise to stop.
        Raises DataError with the error of the worker, or if it crashes or needs more than
        `seconds`; ActSpanError if it fails for another reason than its input.
        """
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            finished = False
            try:
                process.stdin.write(json.dumps(task).encode() + b"\n")
                reply = self._follow(process, seconds, progress)
                finished = True
            except BrokenPipeError:
                raise self._ending(process) from None
            finally:
                if not finished or self._once:
                    self._kill()
            if "error" in reply:
                number = reply.get("errno")  # of a full disk, which is no fault of the input
                cause = None if number is None else OSError(number, os.strerror(number))
                raise DataError(reply["error"]) from cause
            if "failure" in reply:
                raise ActSpanError(reply["failure"])
            return reply

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._process = subprocess.Popen(  # noqa: S603  our own modules and numbers
                [sys.executable, "-m", "actspan.server.worker_process", *self._words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                # Ctrl-C must reach only the service; one of the two has an effect.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            self._lines = SimpleQueue()
            self._reader = Thread(
                target=_read_lines, args=(self._process, self._lines), daemon=True
            )
            self._reader.start()
        return self._process

    def _follow(
        self, process: subprocess.Popen[bytes], seconds: float, progress: Callable[[Reply], None]
    ) -> Reply:
        end, reply = monotonic() + seconds, Reply()
        while _LAST.isdisjoint(reply):
            progress(reply)
            if monotonic() > end:
                raise DataError(f"{self._what} could not be processed within {seconds:g} s")
            with suppress(Empty):
                line = self._lines.get(timeout=_POLL)
                if not line:
                    raise self._ending(process)
                reply = json.loads(line)
        return reply

    def _ending(self, process: subprocess.Popen[bytes]) -> ActSpanError:
        status = process.wait()
        if status in _STATUSES:
            return ActSpanError(
                f"the process of {self._words[0]} ended with status {status}; the log says why"
            )
        return DataError(
            f"the process that decodes ended (status {status}): {self._what} is damaged, "
            "or needs more time or memory than is allowed here"
        )

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self._reader.join()  # at the end of what was written
            with process:  # closes the pipes, and waits for the end
                pass

    def close(self) -> None:
        """Kill the process; a task that it works on fails."""
        if (process := self._process) is not None:
            process.kill()
        with self._lock:
            self._kill()


def _read_lines(process: subprocess.Popen[bytes], lines: SimpleQueue[bytes]) -> None:
    """Pass on what a process writes, line by line, and b"" at its end."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(b"")


def limit_resources(memory: int, seconds: int | None = None) -> None:
    """Limit the address space, bytes, and the processor time of this process.

    Windows has no such limits for a process; only the time of a task is limited there.
    """
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def answer_tasks(answer: Callable[[dict[str, Any], Send], Reply]) -> None:
    """Answer tasks until standard input ends; an ActSpanError becomes a reply with `error`.

    Any other exception becomes one with `failure`, and its traceback is printed.
    `answer` returns the content of the last reply; the function that it is given sends others.
    """
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output that libraries print must not mix with replies

    def send(reply: Reply) -> None:
        output.write(json.dumps(reply).encode() + b"\n")

    with suppress(BrokenPipeError):  # the service has ended
        for line in sys.stdin.buffer:
            send(_last_reply(answer, json.loads(line), send))


def _last_reply(
    answer: Callable[[dict[str, Any], Send], Reply], task: dict[str, Any], send: Send
) -> Reply:
    try:
        return answer(task, send) | {"finished": True}
    except BrokenPipeError:
        raise
    except (ActSpanError, OSError) as error:
        cause = machine_error(error)
        return {"error": str(error)} | ({} if cause is None else {"errno": cause.errno})
    except MemoryError:
        return {"error": "decoding it takes more memory than is allowed here"}
    except Exception as error:  # noqa: BLE001  any library may fail in any way
        traceback.print_exc()
        return {"failure": failure_text(error)}


def failure_text(error: Exception) -> str:
    """Return the message of an exception that nobody expected: its type and its text."""
    return f"the service failed: {type(error).__name__}: {error}; its log says more"


def main() -> None:
    """Run the module that the arguments name; if it cannot start, answer tasks with the reason."""
    sys.argv = sys.argv[1:]
    try:
        import_module(sys.argv[0]).main()
    except Exception as error:  # noqa: BLE001  as above
        traceback.print_exc()
        failure = {"failure": failure_text(error)}
        answer_tasks(lambda task, send: failure)


def end_with_service() -> None:
    """End this process soon after the one that started it, even in the middle of a task."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(_WATCH)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
