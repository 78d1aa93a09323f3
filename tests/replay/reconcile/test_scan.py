"""A scan finds changes of other clients to our records, without a login; the relay decides what they mean."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from aggregates.tracks.track import Track
from eventstore.sql.database import Database
from outbox.mirror.hosts import Hosts, PacedPds
from outbox.mirror.requeue import rescan
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import NEVER, PAST, mirror_target, pds_host, repo_scan
from outbox.repo.reads import RepoReads
from replay.reconcile.scan import Scan, Scanned
from tests.dsl import COLLECTION
from tests.outbox.conftest import clock, database
from tests.outbox.rigs.foreign_writes import delivered, garble, scan
from tests.outbox.rigs.rate_limits import OVER, replies_with
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import add_lane, change_target, lane_row, set_host
from tests.servers.databases import ON_SQLITE

__all__ = ["clock", "database"]
pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
A, B = "https://a.example", "https://b.example"


async def scanned(
    database: Database, transport: httpx.AsyncBaseTransport, every: timedelta = timedelta()
) -> Scanned:
    async with httpx.AsyncClient(transport=transport) as http:
        reads = RepoReads(PacedPds(None, http, Hosts(database), can_wait=True))  # type: ignore[arg-type]
        return await Scan(database, reads, every=every).run()


def row(database: Database, did: str) -> Any:
    with database.read() as connection:
        return connection.execute(select(repo_scan).where(repo_scan.c.did == did)).one()


# A repo with records of ours.


@pytest.fixture(name="track")
async def _track(desk: Rig) -> Track:
    return await delivered(desk)


@pytest.mark.pds
@ON_SQLITE
async def test_what_another_client_did_is_found_and_ends_as_if_a_write_had_met_it(each, caplog):
    edited, gone, other = (each.upload(number) for number in (1, 2, 3))
    await each.relay_once()
    each.edits_elsewhere(edited, title="theirs")
    each.pds.delete_record(each.did, gone.collection, gone.rkey)
    each.edits_elsewhere(other, mood="blue")
    for number in range(40):
        each.pds.put_record(each.did, edited.collection, f"3kunknown{number:04}", each.remote(edited))

    found = await scan(each)
    kinds = {"foreign_edit": 2, "missing": 1, "unknown": 40}
    assert found.drifts == kinds
    lines = [line for line in caplog.records if line.getMessage() == "drift_found"]
    assert [line.kinds for line in lines] == [kinds]
    assert each.types() == ["Created"]  # it only marks
    await each.relay_once()

    assert [each.mirror(number).state for number in (1, 2, 3)] == ["held", "detached", "delivered"]
    assert each.types() == ["Created", "ForeignEditObserved"]
    assert each.types(2) == ["Created", "RecordMissing"]
    assert each.types(3) == ["Created"]
    assert each.remote(edited)[each.TEXT] == "theirs"
    assert each.remote(other)["mood"] == "blue"


@ON_SQLITE
async def test_an_unchanged_repo_is_asked_for_its_revision_alone(desk, track, monkeypatch):  # noqa: ARG001
    asked = replies_with(desk.pds, monkeypatch, "", OVER)
    await scan(desk)
    assert set(asked) == {"getLatestCommit", "listRecords"}
    asked.clear()
    assert (await scan(desk)).repos == {"unchanged": 1}
    assert asked == ["getLatestCommit"]


@ON_SQLITE
@pytest.mark.usefixtures("track")
async def test_a_record_that_could_not_be_read_counts_as_unread_and_is_compared_again(desk, monkeypatch):
    with monkeypatch.context() as patched:
        garble(desk, patched)
        await scan(desk)
        assert row(desk.database, desk.did).problem == "1 records could not be read"
        asked = replies_with(desk.pds, patched, "", OVER)
        await scan(desk)
        assert "listRecords" in asked
    await scan(desk)
    assert row(desk.database, desk.did).problem is None
    assert (await scan(desk)).repos == {"unchanged": 1}


@ON_SQLITE
async def test_an_edit_made_elsewhere_between_a_scan_and_a_write_of_ours_is_found(desk, track):
    await scan(desk)
    desk.edits_elsewhere(track, title="theirs")
    desk.upload(2)
    await desk.relay_once()  # the repo is at the revision of our own last write
    assert (await scan(desk)).drifts == {"foreign_edit": 1}


@ON_SQLITE
async def test_what_the_log_says_already_is_not_found_again(desk, track):
    desk.upload(2)
    await desk.relay_once()
    desk.edits_elsewhere(track, title="theirs")
    await scan(desk)
    await desk.relay_once()
    desk.edit(2, title="another revision")
    await desk.relay_once()
    found = await scan(desk)
    assert (found.repos, found.drifts) == ({"compared": 1}, {})


@ON_SQLITE
async def test_what_waits_for_its_owner_is_released_once_what_brought_it_there_is_gone(desk, track):
    deleted = desk.upload(2)
    await desk.relay_once()
    ours = {each.rkey: desk.remote(each) for each in (track, deleted)}
    desk.edits_elsewhere(track, title="theirs")
    desk.pds.delete_record(desk.did, COLLECTION, deleted.rkey)
    await scan(desk)
    await desk.relay_once()
    assert [desk.mirror(number).state for number in (1, 2)] == ["held", "detached"]
    for rkey, record in ours.items():
        desk.pds.put_record(desk.did, COLLECTION, rkey, record)
    assert (await scan(desk)).drifts == {"withdrawn": 1, "stale": 1}
    await desk.relay_once()
    assert [desk.mirror(number).state for number in (1, 2)] == ["delivered", "delivered"]
    assert [desk.types(number)[-1] for number in (1, 2)] == ["ForeignEditWithdrawn"] * 2
    assert {each.rkey: desk.remote(each) for each in (track, deleted)} == ours
    desk.upload(3)
    await desk.relay_once()
    assert (await scan(desk)).drifts == {}


@ON_SQLITE
async def test_a_create_that_another_clients_record_held_is_sent_once_that_record_is_gone(desk, track):  # noqa: ARG001
    created = desk.upload(2)
    desk.pds.put_record(desk.did, COLLECTION, created.rkey, {"$type": COLLECTION, "title": "theirs"})
    await desk.relay_once()
    assert desk.mirror(2).state == "held"
    desk.pds.delete_record(desk.did, COLLECTION, created.rkey)
    assert (await scan(desk)).drifts == {"withdrawn": 1}
    await desk.relay_once()
    assert desk.mirror(2).state == "delivered"
    assert desk.remote(created) is not None


@ON_SQLITE
async def test_a_repo_that_is_marked_is_compared_though_its_revision_is_known(desk, track):  # noqa: ARG001
    await scan(desk)
    with desk.database.write() as connection:
        rescan(connection, desk.did)
    assert (await scan(desk, HOUR)).repos == {"compared": 1}
    assert (await scan(desk, HOUR)).repos == {}


# At hosts that do as the test wants.

Answer = Callable[[httpx.Request], Any]


class FakeHosts(httpx.AsyncBaseTransport):
    """Hosts by their origin; each says what a function of its own says."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host.split(".")[0]
        self.asked.append((host, request.url.params.get("did", request.url.params.get("repo", ""))))
        answer = self.answers[host](request)
        return await answer if asyncio.iscoroutine(answer) else answer

    def dids(self, host: str) -> list[str]:
        return [did for name, did in self.asked if name == host]


def well(request: httpx.Request, **headers: str) -> httpx.Response:
    """An empty repo, at one revision for ever."""
    body = {"rev": "r", "cid": "c"} if "getLatestCommit" in request.url.path else {"records": []}
    return httpx.Response(200, json=body, headers=headers)


def says(status: int, error: str) -> Answer:
    return lambda _request: httpx.Response(status, json={"error": error})


def accounts(database: Database, host: str, *numbers: int, **columns: Any) -> list[str]:
    """Accounts with a record each that was delivered, then deleted, and was so again."""
    dids = [add_lane(database, number, host=host, **{"due_at": NEVER, **columns}) for number in numbers]
    for did in dids:
        change_target(database, did, acked_gen=1, desired_op="delete")
    return dids


async def test_a_host_that_hangs_delays_no_other(database):
    accounts(database, A, *range(1, 6))
    others = set(accounts(database, B, *range(6, 12)))
    all_others = asyncio.Event()

    async def hangs(_request: httpx.Request) -> httpx.Response:
        await all_others.wait()
        raise httpx.ReadTimeout("no answer")

    def answers(request: httpx.Request) -> httpx.Response:
        if set(hosts.dids("b")) == others:
            all_others.set()
        return well(request)

    hosts = FakeHosts(a=hangs, b=answers)
    async with asyncio.timeout(30):
        assert (await scanned(database, hosts)).repos == {"compared": 6, "unread": 1}
    assert len(hosts.dids("a")) == 1  # its other accounts wait for the next time


async def test_an_account_whose_host_hung_goes_last_the_next_time(database, clock):
    first, second = accounts(database, A, 1, 2)
    hosts = FakeHosts(a=says(502, ""))
    await scanned(database, hosts)
    clock.advance(minutes=1)
    await scanned(database, hosts)
    assert hosts.dids("a") == [first, second]
    assert row(database, first).problem.startswith("http_502")


@ON_SQLITE
async def test_failures_of_a_scan_count_for_the_breaker_and_an_open_one_is_respected(database, clock):
    accounts(database, A, *range(1, 9))
    hosts = FakeHosts(a=says(502, ""))
    for _ in range(5):
        await scanned(database, hosts)
        clock.advance(seconds=1)
    with database.read() as connection:
        assert connection.scalar(select(pds_host.c.breaker)) == BreakerState.OPEN
    await scanned(database, hosts)
    assert len(hosts.asked) == 5
    hosts.answers["a"] = well
    clock.advance(minutes=11)
    assert (await scanned(database, hosts)).repos == {"compared": 8}


async def test_live_work_has_the_second_half_of_a_hosts_budget(database, clock):
    dids = accounts(database, A, *range(1, 6))
    left = iter(range(54, 0, -1))

    def counts(request: httpx.Request) -> httpx.Response:
        reset = str(int(clock().timestamp()) + 100)
        limits = {"limit": "100", "remaining": str(next(left)), "reset": reset, "policy": "100;w=300"}
        return well(request, **{f"ratelimit-{name}": value for name, value in limits.items()})

    hosts = FakeHosts(a=counts)
    await scanned(database, hosts, HOUR)
    assert next(left) == 49
    assert sorted(set(hosts.dids("a"))) == dids[:3]
    with database.read() as connection:
        host = connection.execute(select(pds_host)).one()
    assert host.paced_until == PAST  # live work goes on
    await scanned(database, hosts, HOUR)
    assert len(set(hosts.dids("a"))) == 3
    hosts.answers["a"] = well
    clock.advance(seconds=110)
    await scanned(database, hosts, HOUR)
    assert sorted(set(hosts.dids("a"))) == dids


@ON_SQLITE
async def test_a_host_over_its_limit_is_left_alone_until_it_says(database, clock):
    accounts(database, A, 1)
    hosts = FakeHosts(a=lambda _: httpx.Response(429, json={}, headers={"retry-after": "90"}))
    assert (await scanned(database, hosts)).repos == {}
    hosts.answers["a"] = well
    await scanned(database, hosts)
    assert len(hosts.asked) == 1
    clock.advance(seconds=91)
    assert (await scanned(database, hosts)).repos == {"compared": 1}


async def test_a_scan_that_was_cut_off_goes_on_where_it_was(database):
    first, second, third = accounts(database, A, 1, 2, 3)

    async def dies(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("did") == second:
            raise asyncio.CancelledError
        return well(request)

    with pytest.raises(asyncio.CancelledError):
        await scanned(database, FakeHosts(a=dies), HOUR)
    hosts = FakeHosts(a=well)
    assert (await scanned(database, hosts, HOUR)).repos == {"compared": 2}
    assert sorted(set(hosts.dids("a"))) == [second, third]
    assert row(database, first).rev == "r"


@pytest.mark.parametrize("error", ["RepoNotFound", "RepoDeactivated"])
@ON_SQLITE
async def test_an_account_that_its_host_does_not_show_is_searched_for(database, error):
    did, other = accounts(database, A, 1, 2)
    answers = {did: says(400, error), other: well}
    found = await scanned(
        database, FakeHosts(a=lambda request: answers[next(iter(request.url.params.values()))](request))
    )
    assert found.repos == {"unread": 1, "compared": 1}
    assert lane_row(database, did).probe_at < NEVER
    assert lane_row(database, other).probe_at == NEVER


async def test_an_account_that_is_paused_or_has_no_record_is_not_scanned(database):
    accounts(database, A, 1, paused=True)
    accounts(database, B, 2)
    set_host(database, B, paused=True)
    add_lane(database, 3, host=A, due_at=NEVER)  # nothing was delivered yet
    accounts(database, A, 4, state="account_inactive")
    signed_out = accounts(database, A, 5, state="auth_required")
    hosts = FakeHosts(a=well, b=well)
    assert (await scanned(database, hosts)).repos == {"compared": 1}
    assert set(hosts.dids("a")) == set(signed_out)


async def test_a_crash_between_compare_and_mark_loses_no_mark(database, monkeypatch):
    [did] = accounts(database, A, 1)
    change_target(database, did, desired_op="put", observed_cid="ours")
    with monkeypatch.context() as broken:
        broken.setattr("replay.reconcile.scan.upsert", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await scanned(database, FakeHosts(a=well))
    with database.read() as connection:
        assert connection.scalar(select(mirror_target.c.look_at)) == NEVER
    assert (await scanned(database, FakeHosts(a=well))).drifts == {"missing": 1}
    with database.read() as connection:
        assert connection.scalar(select(mirror_target.c.look_at)) < NEVER
