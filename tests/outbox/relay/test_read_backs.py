"""The newest writes of some accounts of each host are read back within seconds, however rarely the scan comes."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select

from outbox.mirror.hosts import PacedPds
from outbox.mirror.tables import mirror_target, pds_host
from outbox.relay.read_backs import MAX_ACCOUNTS_OF_HOST, ReadBacks
from tests.fake_pds.lying_pds import LyingPds, nothing_written, something_else_written
from tests.fake_pds.xrpc import RefusedError
from tests.outbox.rigs.foreign_writes import reads
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on, running
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = [pytest.mark.anyio, ON_SQLITE]

AT_ONCE, NEVER_SECONDS = 0.0, 3600.0


@pytest.fixture(name="liar")
def _liar() -> LyingPds:
    return LyingPds()


@pytest.fixture
async def desk(migrated_url: str, liar: LyingPds) -> AsyncIterator[Rig]:
    async with memory_rig_on(migrated_url, pds=liar) as made:
        yield made


@pytest.fixture(name="read_backs")
async def _read_backs(desk: Rig) -> AsyncIterator[ReadBacks]:
    """Those of the relay, which reads nothing back unless the test has it done."""
    made = reads_back(desk, NEVER_SECONDS)
    yield made
    made.stop()


def reads_back(rig: Rig, after_seconds: float) -> ReadBacks:
    pds = PacedPds(rig.wire, rig.wire.http, rig.hosts, can_wait=True)
    rig.relay.read_backs = ReadBacks(rig.database, pds, after_seconds, rig.relay.wake)
    return rig.relay.read_backs


def refuted(rig: Rig) -> int:
    return sum(row.refuted_writes for row in rig.rows(select(pds_host)))


def marked(rig: Rig) -> int:
    [row] = rig.rows(select(func.count().label("records")).where(mirror_target.c.look_at <= rig.clock()))
    found: int = row.records
    return found


@pytest.mark.parametrize(("lie", "state"), [(nothing_written, "detached"), (something_else_written, "held")])
async def test_a_lie_is_found_without_a_scan(desk, liar, lie, state):
    liar.lie = lie
    reads_back(desk, AT_ONCE)
    async with running(desk):
        desk.upload()
        desk.relay.wake()
        await until_async(lambda: desk.mirror().state == state)
    assert refuted(desk) == 1


async def test_all_that_an_account_wrote_lately_is_verified_where_its_newest_write_is_not_there(
    desk, liar, read_backs
):
    liar.lie = nothing_written
    for number in range(12):
        desk.upload(1 + number)
    await desk.relay_once()
    await read_backs.read(liar.url)
    await desk.relay_once()
    assert {desk.mirror(1 + number).state for number in range(12)} == {"detached"}
    assert refuted(desk) == 12


async def test_an_honest_host_is_read_once_for_many_writes_of_an_account_and_nothing_is_marked(
    desk, liar, read_backs, monkeypatch
):
    keys = reads(desk, monkeypatch)
    for number in range(12):
        desk.upload(1 + number)
    await desk.relay_once()
    desk.command(12, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    await read_backs.read(liar.url)
    assert len(keys) == 1
    assert marked(desk) == 0


async def test_a_host_with_many_accounts_is_read_for_some_of_them(desk, liar, read_backs, monkeypatch):
    accounts = 2 * MAX_ACCOUNTS_OF_HOST
    for number in range(accounts):
        did = f"did:plc:{number}"
        desk.sign_in(did)
        desk.upload(1 + number, did=did)
    keys = reads(desk, monkeypatch)
    await desk.relay_once()
    await read_backs.read(liar.url)
    assert Counter(keys).most_common(1)[0][1] == 1
    assert len(keys) == MAX_ACCOUNTS_OF_HOST


async def test_a_host_that_does_not_answer_is_asked_once_and_left_to_the_scan(
    desk, liar, read_backs, monkeypatch
):
    for number in range(3):
        did = f"did:plc:{number}"
        desk.sign_in(did)
        desk.upload(1 + number, did=did)
    await desk.relay_once()
    keys = reads(desk, monkeypatch, RefusedError(502, ""))
    await read_backs.read(liar.url)
    assert len(keys) == 1
    assert marked(desk) == 0


async def test_a_relay_that_stops_ends_what_waits_to_be_read_back(desk, read_backs):
    async with running(desk):
        desk.upload()
        desk.relay.wake()
        await until_async(lambda: read_backs._tasks)  # noqa: SLF001
    await until_async(lambda: not read_backs._tasks, within=5)  # noqa: SLF001
