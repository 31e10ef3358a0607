"""Client, in the service, of the process that decodes uploads."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Callable
from threading import Event, Lock
from time import monotonic

import msgspec

from actspan.core.errors import DataError
from actspan.server.decode_worker import Reply, Task
from actspan.server.settings import Limits

_POLL = 0.1  # seconds between checks of `stop`


class StoppedError(Exception):
    """Error that says that the caller stopped decoding."""


class Decoder:
    """Process that decodes uploads one after another, with limits.

    It is started at the first use, and again after it was killed.

    Parameters
    ----------
    limits : Limits
    for_job : bool
        A job's decoder has limited processor time and decodes one upload. The other decoder serves
        requests that are answered at once, and has a limited time per upload.
    """

    def __init__(self, limits: Limits, *, for_job: bool) -> None:
        self._limits, self._for_job = limits, for_job
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = Lock()

    def decode(
        self,
        task: Task,
        *,
        stop: Event | None = None,
        report: Callable[[float], None] = lambda progress: None,
    ) -> float:
        """Decode an upload and return the seconds from snippet to snippet.

        Raises
        ------
        DataError
            The upload cannot be decoded, or not within the limits.
        StoppedError
            `stop` was set.
        """
        with self._turn:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(msgspec.json.encode(task) + b"\n")
                return self._finish(process, stop or Event(), report)
            except BrokenPipeError:
                raise _died(process) from None
            finally:
                if self._for_job or process.poll() is not None:
                    self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            words = [sys.executable, "-m", "actspan.server.decode_worker"]
            words.append(str(self._limits.decode_bytes))
            if self._for_job:
                words.append(str(round(self._limits.decode_seconds)))
            self._process = subprocess.Popen(  # noqa: S603  our own module and numbers
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # so that `select` sees all unread output
                start_new_session=True,  # Ctrl-C must reach only the service
            )
        return self._process

    def _finish(
        self, process: subprocess.Popen[bytes], stop: Event, report: Callable[[float], None]
    ) -> float:
        assert process.stdout is not None
        seconds = self._limits.decode_seconds if self._for_job else self._limits.answer_seconds
        end = monotonic() + seconds
        while True:
            if stop.is_set():
                self._kill()
                raise StoppedError
            if monotonic() > end:
                self._kill()
                raise DataError(f"the upload could not be decoded within {seconds:g} s")
            if not select.select([process.stdout], [], [], _POLL)[0]:
                continue
            line = process.stdout.readline()
            if not line:
                raise _died(process)
            reply = msgspec.json.decode(line, type=Reply)
            if reply.error:
                raise DataError(reply.error)
            report(reply.progress)
            if reply.stride:
                return reply.stride

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.wait()

    def close(self) -> None:
        """Kill the process."""
        with self._turn:
            self._kill()


def _died(process: subprocess.Popen[bytes]) -> DataError:
    status = process.wait()
    return DataError(
        f"the process that decodes ended (status {status}): the upload is damaged, or needs more "
        "time or memory than is allowed here"
    )
