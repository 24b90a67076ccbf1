"""The archive's file: its schema, and opening one that may be old or damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
import sqlite3

from homeassistant.exceptions import HomeAssistantError

from ..const import DOMAIN

# MIGRATIONS[n] takes a file from version n to n + 1; never edit one that was released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE ring (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, cursor TEXT, memory TEXT
        ) STRICT""",
        """CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            ring INTEGER NOT NULL REFERENCES ring ON DELETE CASCADE,
            name TEXT NOT NULL,
            stale INTEGER,
            revision INTEGER NOT NULL DEFAULT 0,
            UNIQUE (ring, name)
        ) STRICT""",
        """CREATE TABLE sample (
            series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
            start INTEGER NOT NULL, duration INTEGER NOT NULL, value REAL NOT NULL,
            PRIMARY KEY (series, start)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE span (
            series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
            start INTEGER NOT NULL, end INTEGER NOT NULL, data ANY NOT NULL,
            PRIMARY KEY (series, start)
        ) STRICT""",
        """CREATE TABLE gone (
            series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
            start INTEGER NOT NULL, end INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE deleted (
            ring INTEGER NOT NULL REFERENCES ring ON DELETE CASCADE,
            start INTEGER NOT NULL, end INTEGER NOT NULL
        ) STRICT""",
    ),
)
# As SQLite has it by itself.
CHECKPOINT_PAGES = 1000
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class ArchiveError(HomeAssistantError):
    """The file can't be read or written now: the disk is full, it is locked, it was damaged."""

    def __init__(self, detail: str) -> None:
        """Take what SQLite or the system said."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key="archive_failed",
            translation_placeholders={"detail": detail},
        )
        self.detail = detail


class ArchiveTooNew(Exception):
    """The file was written by a newer version of this integration."""


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite rolls back by itself when the disk is full
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def open_file(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open or make the file; return also where a damaged one was moved to."""
    try:
        return _connect(path), None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in DAMAGE:
            raise
    aside = path.with_name(f"{path.name}.corrupt.{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return _connect(path), aside


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last commits, cursor and records alike, but damages nothing.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        _check(db)
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ArchiveTooNew(f"version {version}, known up to {len(MIGRATIONS)}")
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        with transaction(db):
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def freeze(db: sqlite3.Connection) -> None:
    """Let the main file stay as it is and its log only grow."""
    db.execute("PRAGMA wal_autocheckpoint = 0")
    # As good as it gets: while somebody else reads, part of it or all stays in the log.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # A log that is all in the main file, but couldn't be emptied, is written over from its start,
    # and its old half would undo what is in the main file. One commit makes that impossible.
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.execute(f"PRAGMA user_version = {version}")


def thaw(db: sqlite3.Connection) -> None:
    """Let what is in the log go to the main file again."""
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
