"""Database of the service, one SQLite file with a versioned schema.

Every change is durable before the call that makes it returns (WAL, synchronous=FULL). An answered
request therefore survives `kill -9` and a power failure.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import RLock

from actspan.core.errors import DataError
from actspan.core.locks import lock_file
from actspan.server.storage_errors import StorageError, disk_error, storage_error

FILE, LOCK = "actspan.sqlite", "lock"
RESERVE = 1 << 20  # bytes of the disk that uploads leave to the database
_PATIENCE = 2.0  # seconds to wait for the lock of another program; requests wait meanwhile
_BUSY = "uses it; stop that one, or choose another --data"

# Each script raises the schema by one version. Append scripts, but never edit one: existing files
# have already run it.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        wish TEXT NOT NULL,      -- JSON: stride, length, top, min_score
        size INTEGER NOT NULL,   -- bytes of the upload
        state TEXT NOT NULL,
        progress REAL NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,   -- seconds since 1970
        started REAL,
        finished REAL,
        error TEXT,
        result BLOB              -- JSON, as it is answered
    );
    CREATE INDEX jobs_by_state ON jobs (state, created);
    """,
    """
    CREATE TABLE corrections (
        video TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        segments TEXT,           -- JSON: [[start, end, label], ...]; NULL after their removal
        changed TEXT NOT NULL    -- ISO 8601, UTC
    );
    """,
    """
    ALTER TABLE jobs ADD COLUMN family TEXT NOT NULL DEFAULT 'upload';
    ALTER TABLE jobs ADD COLUMN status TEXT;  -- JSON: what a job on the served videos does
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,     -- of the job that made it, and the name of its folder
        name TEXT NOT NULL UNIQUE,
        model TEXT NOT NULL,     -- id of a trained model, or ""
        created REAL NOT NULL
    );
    CREATE TABLE models (
        id TEXT PRIMARY KEY,     -- of the job that trained it, and the name of its folder
        name TEXT NOT NULL UNIQUE,
        trained TEXT NOT NULL,   -- JSON: ids of the videos that it was trained on
        held_out TEXT NOT NULL,  -- JSON: ids of the annotated videos that it was not trained on
        created REAL NOT NULL
    );
    CREATE TABLE reviews (
        run TEXT NOT NULL,
        video TEXT NOT NULL,
        start REAL NOT NULL,     -- of the proposal, seconds
        end REAL NOT NULL,
        state TEXT NOT NULL,     -- accepted, rejected or edited
        segment TEXT,            -- JSON: [start, end, label] in the corrections; NULL if rejected
        changed TEXT NOT NULL,   -- ISO 8601, UTC
        PRIMARY KEY (run, video, start, end)
    );
    """,
)


class Database:
    """Connection that threads share; the folder belongs to this process until `close`.

    `fault` is why nothing can be stored now, or None. It is set by a statement that fails for such
    a reason and by `probe`, and only `probe` resets it. Until then, transactions fail at once.

    Raises DataError if the folder cannot be used, another service uses it, or the file is damaged
    or of a newer version.
    """

    def __init__(self, folder: Path) -> None:
        self.fault: StorageError | None = None
        self._lock, self._folder = RLock(), folder
        path = folder / FILE
        with ExitStack() as opened:  # everything is closed again if a step fails
            opened.enter_context(lock_file(folder / LOCK, folder, _BUSY))
            try:
                self._connection = opened.enter_context(closing(_connect(path)))
                self._prepare(path)
                self._probe = opened.enter_context(closing(_connect(path)))
            except sqlite3.Error as error:
                remedy = "move it away to start with an empty one, or restore a backup"
                if storage_error(error) is not None:
                    remedy = "free space on its disk, or end the program that has locked it"
                raise DataError(f"{path}: cannot be used: {error}; {remedy}") from error
            self._opened = opened.pop_all()

    def _prepare(self, path: Path) -> None:
        self._connection.row_factory = sqlite3.Row
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {setting}")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise DataError(f"{path}: was written by a newer version of ActSpan; update this one")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;"
            )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run all statements of the block, or none; they are on disk when it ends.

        Raises StorageError if the disk is full, or the database cannot be written.
        """
        if self.fault is not None:
            raise StorageError(503, self.fault.detail)
        # The connection commits, or rolls back after an exception.
        with self._converted_errors(), self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    @contextmanager
    def _converted_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            fault = storage_error(error)
            if fault is None:
                raise
            self.fault = fault
            raise fault from error

    def probe(self) -> None:
        """Set `fault` if the disk is full or the database cannot be written, else reset it.

        It uses a connection of its own, so that requests do not wait. Nothing is written, except
        after a fault.
        """
        try:
            if shutil.disk_usage(self._folder).free < RESERVE:
                raise disk_error(errno.ENOSPC)
            with self._probe:
                self._probe.execute("BEGIN IMMEDIATE")
                if self.fault is not None:
                    self._probe.execute(f"PRAGMA user_version={len(MIGRATIONS)}")  # unchanged
        except (StorageError, OSError, sqlite3.Error) as error:
            what = f"the service cannot use its data folder: {error}"
            self.fault = storage_error(error) or StorageError(503, what)
        else:
            self.fault = None

    def execute(self, statement: str, *values: object) -> int:
        """Run one statement in a transaction, and return the number of changed rows."""
        with self.transaction() as connection:
            return connection.execute(statement, values).rowcount

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows that a SELECT finds; raises like `transaction`."""
        with self._converted_errors(), self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file and release the folder. May be called twice."""
        with self._lock:
            self._opened.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
