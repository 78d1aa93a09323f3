"""The last steps of an account's deletion, which end its PDS login: crashes and concurrent changes."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import select, update

from api.middleware.http_layer import over_http
from application.account import DELETION, continue_deletion, deletion_kind
from eventstore.coordination.threads import Threads
from eventstore.jobs.table import job as job_table
from eventstore.jobs.worker import Worker
from identity.accounts.accounts import account
from identity.sessions.session_store import pds_session
from outbox.mirror.tables import mirror_target
from tests.api.account_deletion.deletion import leave, live_media, long_since, me, noted, rows, three_tracks
from tests.servers.databases import ON_SQLITE
from tests.service.process.periodic import continue_account_deletions

THREADS = Threads("test", 1)


def goes_on(world, person, disconnect):
    envelope = over_http(person.did)
    return asyncio.run(continue_deletion(world.log, person.did, envelope, disconnect, world.services.threads))


@pytest.mark.usefixtures("tracks")
def test_a_crash_at_any_step_leaves_the_rest_to_the_next(world, client, alice, monkeypatch):
    from application import account as steps

    leave(client, alice)
    world.deliver()

    def crash(*_args, **_fields):
        raise ZeroDivisionError

    for step in ("peer_track", "end_grace_period", "account_of"):
        with monkeypatch.context() as patched:
            patched.setattr(steps, step, crash)
            continue_account_deletions(world.made)
        assert me(client, alice).status_code == 200
        assert len(live_media(world)) == 6
    continue_account_deletions(world.made)
    assert me(client, alice).status_code == 401
    assert noted(world, alice.did)[0].count("Left") == 1


@pytest.mark.usefixtures("tracks")
def test_a_sign_in_during_the_last_step_leaves_no_half_login(world, client, alice):
    """The login that came while the one before was given back is given back too."""
    leave(client, alice)
    world.deliver()
    seen = []

    async def disconnect(did, _envelope):
        seen.append(rows(world, pds_session, did))
        if len(seen) == 1:
            row = {"did": did, "kind": "oauth", "pds_url": "https://p.example", "scope": "", "generation": 1}
            rest = {"status": "active", "updated_at": world.now(), "sealed": b""}
            world.execute(pds_session.insert().values(row | rest))
        else:
            world.execute(update(pds_session).values(status="reauth_required"))
        return True

    assert goes_on(world, alice, disconnect)
    assert len(seen) == 2
    assert rows(world, pds_session, alice.did) == []


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_the_login_is_not_given_back_while_a_record_is_there(world, client, alice):
    """Without the login the record could never be removed."""

    async def disconnect(_did, _envelope):
        raise AssertionError("the login is needed yet")

    leave(client, alice)
    assert not goes_on(world, alice, disconnect)


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_a_target_that_opens_while_the_login_ends_keeps_the_account(world, client, alice):
    leave(client, alice)
    world.deliver()

    async def disconnect(did, _envelope):
        world.execute(
            update(mirror_target).where(mirror_target.c.did == did).values(acked_gen=0, acked_at=None)
        )
        return True

    assert not goes_on(world, alice, disconnect)
    assert me(client, alice).json()["leaving"]["records"]["to_remove"] == 3


@ON_SQLITE
def test_a_host_that_hangs_delays_the_deletions_of_its_own_accounts_alone(world, client, alice, bob):
    carol = world.sign_in("carol")
    world.execute(update(account).where(account.c.did == bob.did).values(pds_url="https://well.example"))
    people = (alice, carol, bob)  # the oldest request first
    for person in people:
        three_tracks(world, client, person)
        leave(client, person)
    world.deliver()
    begun, others_turn = [], asyncio.Event()

    async def disconnect(did, _envelope):
        begun.append(did)
        if did == bob.did:
            others_turn.set()
        else:
            await asyncio.wait_for(others_turn.wait(), 30)  # answers only after the other host's account
        return True

    kind = deletion_kind(world.log, disconnect, THREADS)
    asyncio.run(Worker(world.database, [kind], owner="test", lease=timedelta(minutes=1)).run_once())
    assert set(begun) == {person.did for person in people}
    assert [me(client, person).status_code for person in people] == [401] * 3


def test_a_process_of_an_older_release_leaves_the_deletion_to_a_newer_one(world, client, alice):
    """Which has tables that the older one would not empty."""
    three_tracks(world, client, alice)
    long_since(world)
    leave(client, alice)
    world.deliver()
    schema = sa.table("alembic_version", sa.column("version_num"))
    [own] = world.scalars(select(schema.c.version_num))

    world.execute(update(schema).values(version_num="9999"))
    asyncio.run(world.made.worker.run_once())
    [job] = world.rows(select(job_table).where(job_table.c.kind == DELETION))
    assert (job.state, job.problem, len(rows(world, account, alice.did))) == ("waiting", None, 1)

    world.execute(update(schema).values(version_num=own))
    continue_account_deletions(world.made)
    assert rows(world, account, alice.did) == []
