"""A follower that runs for the length of a block, with an index that keeps what it is told."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from eventstore.sql.database import Database
from outbox.firehose.cursors import streams
from outbox.firehose.follower import Follower
from outbox.firehose.outsiders import Index
from outbox.mirror.hosts import Hosts
from outbox.pds.client import Pds, RecordKey, Remote
from tests.outbox.rigs.directory import FakeDirectory
from tests.outbox.rigs.stream_host import Loopback

LIKES = "fm.plyr.like"


@dataclass
class Told:
    """Knows of likes. Keeps what the PDS has of each record, None of one that is gone; and where accounts have moved."""

    collections = (LIKES,)
    told: list[tuple[str, str | None]] = field(default_factory=list)
    reverified: list[str | None] = field(default_factory=list)
    due: list[RecordKey] = field(default_factory=list)
    """What is to be read again."""

    def put(self, _host: str, key: RecordKey, remote: Remote) -> None:
        self.told.append((key.uri, remote.cid))

    def remove(self, _host: str, _did: str, keys: Collection[RecordKey]) -> None:
        self.told += [(key.uri, None) for key in keys]

    def move(self, _host: str, did: str, to: str | None) -> None:
        self.told.append((did, to))

    def reverify(self, _host: str, did: str | None = None) -> None:
        self.reverified.append(did)

    def next_to_read(self, _host: str) -> RecordKey | None:
        return self.due.pop(0) if self.due else None


def index_of(told: Told, pds: Pds | None = None, directory: FakeDirectory | None = None) -> Index:
    """An index of likes, which tells what it is told; without a PDS or a directory, none has the records."""
    return Index(told, cast("Pds", pds), directory or FakeDirectory(""))


@dataclass
class RunningFollower:
    database: Database
    owner: str
    heard: list[str]

    def alive(self) -> bool:
        found = rows(self.database)
        return any(each["holder"] == self.owner and each["connected_at"] is not None for each in found)


@asynccontextmanager
async def follower(
    database: Database, owner: str = "one", index: Index | None = None
) -> AsyncGenerator[RunningFollower]:
    heard: list[str] = []
    index = index or index_of(Told())
    following = Follower(database, Hosts(database), Loopback(), index, owner=owner, heard=heard.append)
    stop = asyncio.Event()
    running = asyncio.create_task(following.run(stop))
    try:
        yield RunningFollower(database, owner, heard)
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)


def rows(database: Database) -> Any:
    with database.read() as connection:
        return streams(connection, database.now(connection), limit=9).rows
