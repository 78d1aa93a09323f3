"""What a host tells to a read holds for everybody, and what it told to anybody holds for reads."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from eventstore.sql.database import Database
from outbox.mirror.lanes import abandon_uploads
from outbox.mirror.parking import FIRST_PROBE_PAUSE
from outbox.pds.client import AccountStatus, RemoteUnknownError
from outbox.relay.result import Outcome
from tests.outbox.rigs.account_status import NEW_HOST, after, move, parked, state, status_of
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
from tests.outbox.rigs.rows import add_lane, claimed, dids, set_host
from tests.outbox.rigs.uploads import requested
from tests.servers.databases import ON_SQLITE
from tests.statements import Statement, before_each_statement

pytestmark = [pytest.mark.anyio, ON_SQLITE]
TOO_OLD_AND_NEARLY = (501, NEARLY[1])
USED_UP = (429, {**BUDGET, "ratelimit-remaining": "0"})
LONG = 30.0
WRITES = ("INSERT INTO pds_host", "UPDATE pds_host")
READS_TOO = (*WRITES, "SELECT pds_host.host")


@pytest.mark.parametrize("told", [OVER, NEARLY])
async def test_a_pause_named_to_a_probe_holds_for_all_deliveries(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, told: RateLimitReply
) -> None:
    await parked(desk, "deactivated")
    replies_with(desk.pds, monkeypatch, "getRepoStatus", told)
    await after(desk, FIRST_PROBE_PAUSE)
    assert RESET - timedelta(seconds=10) < paced_for(desk) < RESET + timedelta(seconds=10)

    other = add_lane(desk.database, 7)
    assert claimed(desk.database) == []
    desk.clock.advance(seconds=RESET.total_seconds() + 5)
    assert other in dids(claimed(desk.database))


async def test_a_probe_sends_no_second_read_before_the_reset_named_to_the_first(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked(desk, "deactivated")
    asked = replies_with(desk.pds, monkeypatch, "getRepoStatus", TOO_OLD_AND_NEARLY)
    status_of(desk, None)
    await after(desk, FIRST_PROBE_PAUSE)
    assert asked == ["getRepoStatus"]
    assert state(desk) == "account_inactive"


async def test_a_rate_limited_probe_is_repeated_after_the_reset(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked(desk, "deactivated")
    status_of(desk, None)
    with monkeypatch.context() as patched:
        replies_with(desk.pds, patched, "getRepoStatus", OVER)
        assert await after(desk, FIRST_PROBE_PAUSE) == {}
    assert await after(desk, timedelta(hours=1)) == {Outcome.DELIVERED: 1}


async def test_a_pause_of_a_host_without_a_row_is_recorded(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked(desk, "deactivated")
    new = move(desk)
    new.let_stand(desk.did, None)
    asked = replies_with(new, monkeypatch, "getRepoStatus", OVER)
    await after(desk, FIRST_PROBE_PAUSE)
    assert paced_for(desk, NEW_HOST) > RESET - timedelta(seconds=10)
    assert await paced(desk).account_status(NEW_HOST, desk.did) is AccountStatus.UNKNOWN
    assert asked == ["getRepoStatus"]


async def test_a_read_that_was_refused_is_not_asked_for_again_before_the_reset(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replies_with(desk.pds, monkeypatch, "getRecord", OVER)
    for error in ("RateLimitExceeded", "left_alone", "left_alone"):
        with pytest.raises(RemoteUnknownError) as caught:
            await gets(paced(desk), desk.pds.url, desk.did)
        assert caught.value.verdict.error == error
    assert asked == ["getRecord"]
    assert paced_for(desk) > RESET - timedelta(seconds=10)


@pytest.mark.parametrize("told", [OVER, NEARLY])
async def test_no_blob_is_sent_to_a_host_that_asks_for_a_pause_when_its_limit_is_read(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, told: RateLimitReply
) -> None:
    track = await requested(desk)
    with monkeypatch.context() as patched:
        asked = replies_with(desk.pds, patched, "describeServer", told)
        await desk.relay_once()
        assert asked == ["describeServer"]
    desk.clock.advance(seconds=RESET.total_seconds() + 5)
    await desk.relay_once()
    assert "audioBlob" in (desk.remote(track) or {})


@pytest.mark.parametrize("shut", ["paused", "retry_at", "paced_until"])
async def test_no_read_is_sent_to_a_host_that_is_shut(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, shut: str
) -> None:
    set_host(desk.database, **{shut: True if shut == "paused" else desk.clock() + RESET})
    asked = replies_with(desk.pds, monkeypatch, "", OVER)
    with pytest.raises(RemoteUnknownError):
        await gets(paced(desk), desk.pds.url, desk.did)
    assert asked == []


async def test_a_pause_named_with_a_refused_write_holds_although_the_read_after_it_names_none(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies_with(desk.pds, monkeypatch, "getRecord", (403, {}))
    asked = replies_with(desk.pds, monkeypatch, "putRecord", REFUSED_AND_NEARLY)
    desk.upload()
    await desk.relay_once()
    assert asked == ["putRecord", "getRecord"]
    assert RESET - timedelta(seconds=10) < paced_for(desk) < RESET + timedelta(seconds=10)


@contextmanager
def refusing(database: Database, *statements: str, but_first: int = 0) -> Iterator[None]:
    """The database's disk is full for statements that begin so, but for the first ones."""
    passed = itertools.count()

    def refuse(statement: Statement) -> None:
        if statement.sql.startswith(statements) and next(passed) >= but_first:
            raise OperationalError(statement.sql, None, OSError("no space left on device"))

    with before_each_statement(database.engine, refuse):
        yield


@pytest.mark.parametrize(("refused", "but_first"), [(WRITES, 0), (READS_TOO, 1)])
async def test_a_read_returns_its_response_though_the_pause_in_it_cannot_be_recorded(
    desk: Rig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refused: tuple[str, ...],
    but_first: int,
) -> None:
    """The first row that is read says whether the host may be asked."""
    replies_with(desk.pds, monkeypatch, "getRecord", OVER)
    with refusing(desk.database, *refused, but_first=but_first), pytest.raises(RemoteUnknownError) as caught:
        await gets(paced(desk), desk.pds.url, desk.did)
    assert caught.value.verdict.error == "RateLimitExceeded"
    assert "host_not_noted" in caplog.text


async def test_deliveries_are_settled_though_the_pause_in_their_responses_cannot_be_recorded(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        desk.upload(number)
    with refusing(desk.database, *WRITES):
        asked = replies_with(desk.pds, monkeypatch, "putRecord", NEARLY)
        assert await desk.relay_once() == {Outcome.DELIVERED: 2}
    assert asked == ["putRecord", "putRecord"]
    assert "host_not_noted" in caplog.text
    assert paced_for(desk) < timedelta()


@pytest.mark.parametrize("told", [USED_UP, REFUSED_AND_NEARLY], ids=["at its end", "before a read-back"])
async def test_a_pause_is_recorded_though_its_attempt_cannot_be(
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


async def test_a_pause_is_recorded_though_the_upload_has_lost_its_lease(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await requested(desk)
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


@pytest.mark.parametrize(
    ("call", "calls"),
    [
        ("describeServer", ["describeServer", "uploadBlob", "putRecord"]),
        ("uploadBlob", ["describeServer", "uploadBlob"]),
    ],
)
async def test_an_upload_whose_pause_cannot_be_recorded_is_not_claimed_without_end(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, call: str, calls: list[str]
) -> None:
    track = await requested(desk)
    with monkeypatch.context() as patched, refusing(desk.database, *WRITES):
        asked = replies_with(desk.pds, patched, call, OVER)
        async with asyncio.timeout(LONG):
            await desk.relay_once()
        assert asked == calls
    desk.clock.advance(seconds=RESET.total_seconds() + 5)
    await desk.relay_once()
    assert "audioBlob" in (desk.remote(track) or {})
