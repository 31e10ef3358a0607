"""Database of the service: one SQLite file in the data folder, with a versioned schema.

Every change is durable before the call that makes it returns (WAL, synchronous=FULL). An answered
request therefore survives `kill -9` and a power failure.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import RLock
from typing import IO

from actspan.core.errors import DataError

FILE, LOCK = "actspan.sqlite", "lock"

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
        segments TEXT,           -- JSON: [[start, end, label], ...]; NULL once they were forgotten
        changed TEXT NOT NULL    -- ISO 8601, UTC
    );
    """,
)


class Database:
    """Connection that threads use in turn; the folder belongs to this process until `close`.

    Raises
    ------
    DataError
        The folder cannot be used, another service uses it, or the file is damaged or of a newer
        version.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = RLock()
        path = folder / FILE
        with ExitStack() as opened:  # everything is closed again if a step fails
            self._owner = opened.enter_context(_own(folder))
            try:
                self._connection = opened.enter_context(closing(_connect(path)))
                self._prepare(path)
            except sqlite3.Error as error:
                raise DataError(
                    f"{path}: cannot be used: {error}; move it away to start with an empty one, or "
                    "restore a backup"
                ) from error
            opened.pop_all()

    def _prepare(self, path: Path) -> None:
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
        """Run all statements of the block, or none; they are on disk when it ends."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def execute(self, statement: str, *values: object) -> int:
        """Run one statement in a transaction, and return the number of changed rows."""
        with self.transaction() as connection:
            return connection.execute(statement, values).rowcount

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows that a SELECT finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file and release the folder. May be called twice."""
        with self._lock:
            self._connection.close()
            self._owner.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    return connection


def _own(folder: Path) -> IO[bytes]:
    """Create the folder and lock it against a second service."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        owner = (folder / LOCK).open("wb")
    except OSError as error:
        raise DataError(f"{folder}: cannot be used for data: {error.strerror}") from error
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner.close()
        raise DataError(
            f"{folder}: another service uses it; stop that one, or choose another --data"
        ) from error
    return owner
