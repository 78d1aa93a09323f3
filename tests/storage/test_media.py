import io
import threading
from datetime import datetime
from functools import partial

import pytest
from sqlalchemy import select

from eventstore.sql.database import Database
from storage.cid import cid_of
from storage.errors import BytesDamagedError, BytesMissingError, MediaGoneError
from storage.media import Media, MediaState, media
from tests.eventstore.threads import together
from tests.servers.databases import ON_SQLITE
from tests.storage.memory_store import MemoryStore
from tests.storage.references import name

DATA = b"sound"
CID = cid_of(DATA)


def add(storage: Media, data: bytes = DATA) -> None:
    storage.add(cid_of(data), io.BytesIO(data), len(data), "audio/mpeg")


def rows(database: Database) -> list[tuple[str, str]]:
    with database.read() as connection:
        return [(row.cid, row.state) for row in connection.execute(select(media.c.cid, media.c.state))]


def touched(database: Database) -> datetime:
    with database.read() as connection:
        at: datetime = connection.execute(
            select(media.c.touched_at).where(media.c.state == MediaState.LIVE)
        ).scalar_one()
    return at


def test_added_media_is_live_and_is_read_in_ranges(storage: Media, database: Database) -> None:
    add(storage)
    found = storage.find(CID)
    assert found is not None
    assert (found.cid, found.mime, found.size) == (CID, "audio/mpeg", 5)
    assert b"".join(storage.read(CID)) == DATA
    assert b"".join(storage.read(CID, 1, 3)) == b"ou"
    assert rows(database) == [(CID, MediaState.LIVE)]


@ON_SQLITE
def test_unknown_media_is_gone(storage: Media) -> None:
    assert storage.find(CID) is None
    with pytest.raises(MediaGoneError):
        storage.read(CID)


def test_the_same_bytes_again_are_touched_not_written(
    storage: Media, database: Database, memory: MemoryStore
) -> None:
    add(storage)
    first, steps = touched(database), list[str]()
    memory.at = steps.append
    add(storage)
    assert touched(database) > first
    assert steps == ["size"]


def test_live_media_whose_bytes_were_lost_is_written_again(
    storage: Media, database: Database, memory: MemoryStore
) -> None:
    add(storage)
    memory.copies.clear()
    with pytest.raises(BytesMissingError):
        storage.read(CID)
    add(storage)
    assert b"".join(storage.read(CID)) == DATA
    assert sorted(rows(database)) == [(CID, MediaState.DELETING), (CID, MediaState.LIVE)]


def test_media_whose_bytes_did_not_all_arrive_is_never_live(storage: Media, database: Database) -> None:
    with pytest.raises(BytesDamagedError):
        storage.add(CID, io.BytesIO(b"sou"), 5, "audio/mpeg")
    assert storage.find(CID) is None
    assert rows(database) == [(CID, MediaState.WRITING)]
    with pytest.raises(MediaGoneError):
        name(storage, CID)
    add(storage)
    name(storage, CID)


@ON_SQLITE
def test_no_transaction_is_open_while_bytes_move(
    storage: Media, database: Database, memory: MemoryStore
) -> None:
    seen = list[bool]()
    memory.at = lambda _step: seen.append(database.in_transaction)
    add(storage)
    assert seen
    assert not any(seen)


@ON_SQLITE
def test_adding_inside_a_unit_is_a_mistake(storage: Media, database: Database) -> None:
    with database.write(), pytest.raises(RuntimeError, match="before the unit"):
        add(storage)


def test_a_command_can_reserve_only_live_media(storage: Media) -> None:
    add(storage)
    other = cid_of(b"never uploaded")
    storage.reserve([CID, CID])
    with pytest.raises(MediaGoneError, match=other):
        storage.reserve([CID, other])


def test_reserving_touches(storage: Media, database: Database) -> None:
    add(storage)
    first = touched(database)
    name(storage, CID)
    assert touched(database) > first


def test_media_being_deleted_cannot_be_named_and_an_upload_makes_a_new_copy(
    storage: Media, database: Database, memory: MemoryStore
) -> None:
    add(storage)
    (old,) = memory.copies
    with database.write() as connection:
        connection.execute(media.update().values(state=MediaState.DELETING))
    with pytest.raises(MediaGoneError):
        name(storage, CID)
    add(storage)
    name(storage, CID)
    found = storage.find(CID)
    assert found is not None
    assert found.key != old


def test_eight_uploads_of_the_same_bytes_at_once_leave_one_copy(
    storage: Media, database: Database, memory: MemoryStore
) -> None:
    all_written = threading.Barrier(8)

    def at(step: str) -> None:
        if step == "after write":
            all_written.wait(timeout=30)

    memory.at = at
    together(*[partial(add, storage)] * 8)
    assert rows(database) == [(CID, MediaState.LIVE)]
    assert b"".join(storage.read(CID)) == DATA
    assert len(memory.copies) == 1
