"""A pause that a host asks for outlives a database that refuses to have it written down."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from eventstore.database import Database
from outbox.mirror.host_state import OPEN, HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import abandon_uploads
from outbox.mirror.tables import PAST
from outbox.pds.client import RemoteUnknownError
from outbox.relay.result import Outcome
from tests.outbox.rigs.hosts import ONE, PAUSED, host_row, opened, state
from tests.outbox.rigs.rate_limits import (
    BUDGET,
    NEARLY,
    OVER,
    REFUSED_AND_NEARLY,
    RESET,
    RateLimitReply,
    gets,
    paced,
    paced_for,
    replies_with,
)
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import HOST, add_lane
from tests.outbox.rigs.uploads import request_blob, uploaded_track

pytestmark = pytest.mark.anyio
NEW_HERE = "http://new.test"
USED_UP = (429, {**BUDGET, "ratelimit-remaining": "0"})
LONG = 30.0
WRITES = ("INSERT INTO pds_host", "UPDATE pds_host")
READS_TOO = (*WRITES, "SELECT pds_host.host")


@contextmanager
def refusing(database: Database, *statements: str) -> Iterator[None]:
    """The database's disk is full for statements that begin so."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(statements):
            raise OperationalError(statement, None, OSError("no space left on device"))

    event.listen(database.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", refuse)


@pytest.mark.parametrize("refused", [WRITES, READS_TOO])
async def test_a_read_that_is_told_to_wait_says_so_and_no_other_is_sent_before_the_reset(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...]
) -> None:
    asked = replies_with(desk.pds, monkeypatch, "getRecord", OVER)
    with refusing(desk.database, *refused), pytest.raises(RemoteUnknownError) as caught:
        await gets(paced(desk), desk.pds.url, desk.did)
    assert caught.value.verdict.error == "RateLimitExceeded"

    with pytest.raises(RemoteUnknownError) as caught:
        await gets(paced(desk), desk.pds.url, desk.did)
    assert caught.value.verdict.error == "left_alone"
    assert asked == ["getRecord"]
    assert paced_for(desk) > RESET - timedelta(seconds=10)


@pytest.mark.parametrize("ask", [Hosts.may_be_asked, Hosts.has_room_behind_live])
def test_it_is_noted_by_whoever_next_wants_to_ask_the_host(database: Database, ask: Any) -> None:
    hosts = Hosts(database)
    add_lane(database, 1)
    with refusing(database, *WRITES):
        hosts.note_if_changed(HostReport.of(HOST, ONE, PAUSED))
    assert not ask(hosts, HOST)
    assert not ask(Hosts(database), HOST)


def test_that_of_a_host_which_is_new_here_is_kept_too(database: Database) -> None:
    hosts = Hosts(database)
    with refusing(database, *WRITES):
        hosts.note(HostReport.of(NEW_HERE, ONE, PAUSED))
    assert hosts.note_kept() == set()
    assert host_row(database, NEW_HERE).paced_until > PAST


@pytest.mark.parametrize("told", [USED_UP, REFUSED_AND_NEARLY], ids=["at its end", "before a read-back"])
async def test_an_attempt_that_cannot_be_written_down_has_still_told_what_the_host_asks_for(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, told: RateLimitReply
) -> None:
    desk.upload()
    with monkeypatch.context() as patched, refusing(desk.database, "UPDATE delivery_attempt"):
        asked = replies_with(desk.pds, patched, "putRecord", told)
        await desk.relay_once()
        assert asked == ["putRecord"]
    assert paced_for(desk) > RESET - timedelta(seconds=10)

    desk.clock.advance(seconds=RESET.total_seconds() + 5)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


def test_meanwhile_the_host_is_left_alone_and_others_are_not(database: Database) -> None:
    hosts = Hosts(database)
    add_lane(database, 1)
    add_lane(database, 2, host=NEW_HERE)
    with refusing(database, *WRITES):
        hosts.note(HostReport.of(HOST, ONE, PAUSED))
        assert (hosts.may_be_asked(HOST), hosts.may_be_asked(NEW_HERE)) == (False, True)
        assert hosts.note_kept() == {HOST}


def test_it_counts_from_when_it_was_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, told_at = Hosts(database), time.monotonic()
    add_lane(database, 1)
    with refusing(database, *WRITES):
        hosts.note(HostReport.of(HOST, ONE, PAUSED))
    with monkeypatch.context() as later:
        later.setattr(time, "monotonic", lambda: told_at + timedelta(hours=5).total_seconds())
        assert hosts.note_kept() == set()
    assert hosts.may_be_asked(HOST)


def test_what_it_said_of_the_hosts_health_is_not_said_again_later(database: Database) -> None:
    hosts = Hosts(database)
    add_lane(database, 1)
    with refusing(database, *WRITES):
        hosts.note(HostReport.of(HOST, ONE, PAUSED))
    opened(database)
    assert hosts.note_kept() == set()
    assert (state(database), host_row(database).paced_until > PAST) == (OPEN, True)


async def test_a_relay_with_nothing_to_send_notes_it_for_others(desk: Rig) -> None:
    desk.upload()
    await desk.relay_once()
    host = desk.pds.url
    with refusing(desk.database, *WRITES):
        desk.hosts.note(HostReport.of(host, desk.did, PAUSED))
    await desk.relay_once()
    assert host_row(desk.database, host).paced_until > PAST


async def test_a_turn_under_way_ends_with_the_record_that_it_is_at(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        desk.upload(number)
    with monkeypatch.context() as patched, refusing(desk.database, *WRITES):
        asked = replies_with(desk.pds, patched, "putRecord", NEARLY)
        assert await desk.relay_once() == {Outcome.DELIVERED: 1}
        assert asked == ["putRecord"]
    assert await desk.relay_once() == {}
    desk.clock.advance(seconds=RESET.total_seconds() + 5)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_an_upload_that_is_anothers_by_now_has_still_told_what_the_host_asks_for(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await uploaded_track(desk)
    request_blob(desk)
    asked = replies_with(desk.pds, monkeypatch, "uploadBlob", USED_UP)
    told = desk.pds.answer  # type: ignore[union-attr]

    def told_too_late(request: httpx.Request, content: bytes) -> httpx.Response:
        with desk.database.write() as connection:
            abandon_uploads(connection, desk.did)
        return told(request, content)

    monkeypatch.setattr(desk.pds, "answer", told_too_late)
    await desk.relay_once()
    assert "uploadBlob" in asked
    assert paced_for(desk) > RESET - timedelta(seconds=10)


async def test_no_upload_is_sent_or_claimed_again_and_again_meanwhile(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = await uploaded_track(desk)
    request_blob(desk)
    with monkeypatch.context() as patched, refusing(desk.database, *WRITES):
        asked = replies_with(desk.pds, patched, "describeServer", OVER)
        async with asyncio.timeout(LONG):
            await desk.relay_once()
        assert asked == ["describeServer"]
    await desk.relay_once()
    desk.clock.advance(seconds=RESET.total_seconds() + 5)
    await desk.relay_once()
    assert "audioBlob" in (desk.remote(track) or {})
