"""What the rings recorded, in one SQLite file: the truth all statistics are derived from.

A *series* is what one ring holds of one kind: the samples of a metric, or the spans (things with
an end of their own and a document) of a kind such as nights. The document of a recording is the
ring's own file; what it holds of a metric counts as that metric's readings. Each series also
remembers from when on the recorder's statistics of it are out of date; that mark is set in the
transaction that brings the records, so a crash between the two loses neither.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
import sqlite3
from typing import Any, Concatenate

from ..rings.models import Batch, Cursor, Metric, Record, Recording, Sample, Sleep
from . import read, write
from .file import ArchiveError, ArchiveTooNew, freeze, open_file, thaw, transaction
from .read import Bucket
from .series import EPOCH, LAST, MILLISECOND, NAP, NIGHT, RECORDING, Stale, to_ms, to_range
from .write import Changes, SleepChange

__all__ = (
    "EPOCH",
    "NAP",
    "NIGHT",
    "RECORDING",
    "Archive",
    "ArchiveError",
    "ArchiveTooNew",
    "Bucket",
    "Changes",
    "SleepChange",
    "Stale",
)


class Archive:
    """The file, served by a thread of its own; no method blocks, all raise `ArchiveError`.

    Records are identified by (ring, metric, start), sleeps by overlap: of two that overlap the one
    that came later is right; recordings by what is in them or, since the file of one may grow, by
    their start.
    """

    def __init__(self) -> None:
        """Use `Archive.open`."""
        self.set_aside: Path | None = None
        self._db: sqlite3.Connection
        self._thread = ThreadPoolExecutor(1, "smart_rings_archive")

    @classmethod
    async def open(cls, path: Path) -> Archive:
        """Open or make the file; one that is damaged is moved to `set_aside` and replaced.

        Raises `ArchiveTooNew` and `ArchiveError`.
        """
        archive = cls()
        try:
            archive._db, archive.set_aside = await archive._run(open_file, path)
        except BaseException as err:
            # What failed has ended, what was cancelled may go on for a while.
            archive._thread.shutdown(wait=isinstance(err, Exception))
            raise
        return archive

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        await self._run(self._db.close)
        self._thread.shutdown()

    async def freeze(self) -> None:
        """Let the main file stay as it is and its log only grow, so that both can be copied."""
        await self._read(freeze)

    async def thaw(self) -> None:
        """Let what is in the log go to the main file again."""
        await self._read(thaw)

    async def commit(self, ring: str, batch: Batch) -> Changes:
        """Keep a batch's records and cursor, all or nothing."""
        return await self._write(write.commit, ring, batch.records, batch.cursor)

    async def add(self, ring: str, records: Iterable[Record]) -> Changes:
        """Keep records that don't come from the history, such as spot readings."""
        return await self._write(write.commit, ring, tuple(records), None)

    async def cursor(self, ring: str) -> Cursor:
        """Return the cursor of the last batch, empty before the first."""
        return await self._read(read.document, "cursor", ring)

    async def memory(self, ring: str) -> dict[str, Any]:
        """Return what `remember` kept."""
        return await self._read(read.document, "memory", ring)

    async def remember(self, ring: str, memory: Mapping[str, Any]) -> None:
        """Keep a JSON document for a ring, in place of the one before."""
        await self._write(write.remember, ring, json.dumps(dict(memory)))

    async def latest(self, ring: str) -> dict[Metric, Sample]:
        """Return the newest sample of each metric."""
        return await self._read(read.latest, ring)

    async def samples(
        self, ring: str, metric: Metric, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sample]:
        """Return the samples that begin in [start, end), by time, without those of recordings."""
        return await self._read(read.samples, ring, metric, *to_range(start, end))

    async def readings(
        self, ring: str, metric: Metric, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sample]:
        """Return all readings that begin in [start, end), by time; a night may hold 36,000."""
        return await self._read(read.readings, ring, metric, *to_range(start, end))

    async def buckets(
        self,
        ring: str,
        metric: Metric,
        width: timedelta,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Bucket]:
        """Return the readings that begin in [start, end), summed up per UTC period of `width`."""
        return await self._read(
            read.buckets, ring, metric, width // MILLISECOND, *to_range(start, end)
        )

    async def sleeps(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[Sleep]:
        """Return nights and naps that overlap [start, end), by time."""
        return await self._read(read.sleeps, ring, *to_range(start, end))

    async def recordings(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[Recording]:
        """Return the recordings that overlap [start, end), by time."""
        return await self._read(read.recordings, ring, *to_range(start, end))

    async def recording_starts(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[datetime]:
        """Return when the recordings that overlap [start, end) begin; each may be 100 kB."""
        return await self._read(read.recording_starts, ring, *to_range(start, end))

    async def delete(
        self, ring: str, start: datetime | None = None, end: datetime | None = None
    ) -> None:
        """Delete the records that begin in [start, end), and take none of them again.

        Rings tell what they still hold more than once; what they record from now on is kept.
        """
        await self._write(write.delete, ring, *to_range(start, end), to_ms(datetime.now(UTC)))

    async def readmit(self, ring: str) -> None:
        """Take records again that were deleted, when the ring still tells them."""
        await self._write(write.readmit, ring)

    async def forget(self, ring: str) -> None:
        """Delete all there is of a ring, cursor and memory included."""
        await self._write(write.forget, ring)

    async def content_hash(self, ring: str) -> str:
        """Return a digest of all records of a ring, whatever the order they came in."""
        return await self._read(read.content_hash, ring)

    async def stale(self) -> list[Stale]:
        """Return the series whose statistics are out of date."""
        return await self._read(read.stale)

    async def settle(self, stale: Stale, until: datetime | None = None) -> None:
        """Note that statistics now show a series up to `until` (None: all of it).

        Does nothing if the series has changed since `stale` was read.
        """
        await self._write(write.settle, stale, LAST if until is None else to_ms(until))

    async def restate(self, ring: str) -> None:
        """Let all statistics of a ring be written again."""
        await self._write(write.restate, ring)

    async def _run[**P, R](self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: job(*args, **kwargs)
            )
        except (sqlite3.Error, OSError) as err:
            raise ArchiveError(str(err)) from err

    async def _read[**P, R](
        self,
        job: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        return await self._run(job, self._db, *args, **kwargs)

    async def _write[**P, R](
        self,
        job: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        def transact() -> R:
            with transaction(self._db):
                return job(self._db, *args, **kwargs)

        return await self._run(transact)
