"""Hosts that send their lists drop by drop: the slots of a scan, and of a verification, are for the others, too."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import select

from outbox.mirror.hosts import Hosts, PacedPds
from outbox.mirror.tables import repo_scan
from outbox.pds.client import Pds
from outbox.record.dag_cbor import record_cid
from outbox.repo.reads import MAX_LIST_SECONDS, RepoReads
from replay.reconcile.scan import HOST_TURN_SECONDS, MAX_CONCURRENT_HOSTS, Scan
from replay.reconcile.verify import MAX_CONCURRENT_REPOS, Verifier, repos_of
from tests.outbox.rigs.rows import add_lane, change_target

SECONDS_A_PAGE = 25.0
"""Just within the limit of one page."""
SCAN_SECONDS = 540.0
"""Then the job that scans is cut off."""
SCAN_INTERVAL = timedelta(hours=1)


def trickling(number):
    return f"https://drip-{number}.example"


def slow_host(number):
    return f"https://a-slow-{number}.example"


def honest(number):
    return f"https://honest-{number}.example"


def account_at(database, host, number):
    did = add_lane(database, number, host=host)
    change_target(database, did, acked_gen=1, desired_op="delete")
    return did


async def answer(request):
    """One record a page, for ever, from a trickling host; an empty repo from an honest one."""
    if "slow" in request.url.host:
        await asyncio.sleep(HOST_TURN_SECONDS / 4)
        return httpx.Response(200, json={"rev": "r", "cid": "c", "records": []})
    if "getLatestCommit" in request.url.path:
        return httpx.Response(200, json={"rev": "r", "cid": "c"})
    if "honest" in request.url.host:
        await asyncio.sleep(0.1)
        return httpx.Response(200, json={"records": [], "cids": []})
    await asyncio.sleep(SECONDS_A_PAGE)
    key = str(int(request.url.params.get("cursor", "0")) + 1).rjust(8, "0")
    value = {"$type": "c", "key": key}
    entry = {"uri": f"at://x/c/{key}", "cid": record_cid(value), "value": value}
    return httpx.Response(200, json={"records": [entry], "cursor": key})


async def scan_for(database, seconds):
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        scan = Scan(
            database, RepoReads(PacedPds(None, http, Hosts(database), can_wait=True)), every=SCAN_INTERVAL
        )
        task = asyncio.create_task(scan.run())
        await asyncio.wait({task}, timeout=seconds)
        task.cancel()
        await asyncio.wait({task})


def compared(database, dids):
    found = select(repo_scan.c.did, repo_scan.c.scanned_at).where(
        repo_scan.c.did.in_(dids), repo_scan.c.rev.is_not(None)
    )
    with database.read() as connection:
        return dict(connection.execute(found).all())


def test_hosts_that_fill_every_slot_delay_the_others_by_one_repo_at_most(loop, database):
    for number in range(MAX_CONCURRENT_HOSTS):
        account_at(database, trickling(number), number)
    others = [account_at(database, honest(number), 1000 + number) for number in range(5)]

    loop.run(scan_for(database, MAX_LIST_SECONDS + 60))

    assert set(compared(database, others)) == set(others)


def test_the_repo_that_used_up_its_time_is_recorded_as_unread(loop, database):
    did = account_at(database, trickling(1), 1)

    loop.run(scan_for(database, SCAN_SECONDS))

    with database.read() as connection:
        found = connection.execute(select(repo_scan).where(repo_scan.c.did == did)).one()
    assert found.rev is None
    assert found.problem.startswith("too_slow")
    assert found.scanned_at > datetime(2026, 1, 1, tzinfo=UTC)


def test_hosts_with_many_trickling_accounts_leave_their_slots_after_one(loop, database):
    for number in range(MAX_CONCURRENT_HOSTS * 10):
        account_at(database, trickling(number % MAX_CONCURRENT_HOSTS), number)
    other = account_at(database, honest(1), 1000)

    loop.run(scan_for(database, SCAN_SECONDS))

    assert set(compared(database, [other])) == {other}


def test_the_host_that_was_scanned_the_longest_ago_goes_first(loop, database):
    hosts = MAX_CONCURRENT_HOSTS * 2
    for number in range(hosts * 3):
        account_at(database, trickling(number % hosts), number)
    other = account_at(database, honest(1), 1000)

    for _ in range(2):  # the trickling hosts alone fill each, and have accounts left that were never scanned
        loop.run(scan_for(database, 2 * MAX_LIST_SECONDS - 1))

    assert set(compared(database, [other])) == {other}


def test_hosts_with_many_slow_accounts_take_turns_with_the_others(loop, database):
    slow = [account_at(database, slow_host(number % 32), number) for number in range(32 * 10)]
    other = account_at(database, honest(1), 1000)

    loop.run(scan_for(database, 2 * HOST_TURN_SECONDS))
    assert set(compared(database, [other])) == {other}

    loop.run(scan_for(database, SCAN_SECONDS))
    assert set(compared(database, slow)) == set(slow)  # the end of a turn is not the end of its host's scan


def test_trickling_hosts_keep_no_verification_from_its_end(loop, database):
    for number in range(MAX_CONCURRENT_REPOS * 2):
        account_at(database, trickling(number), number)
    other = account_at(database, honest(1), 1000)

    async def verified():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            verifier = Verifier(database, RepoReads(Pds(None, http)))
            return await asyncio.gather(*map(verifier.verify, repos_of(database)))

    found = loop.run(asyncio.wait_for(verified(), 3 * MAX_LIST_SECONDS))

    assert [each.repo.did for each in found if each.problem is None] == [other]
