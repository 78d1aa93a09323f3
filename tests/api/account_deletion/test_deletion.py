"""DELETE /me removes the records first, whatever has become of them, and then everything else."""

import asyncio

import pytest
from sqlalchemy import select, update

from api.middleware.http_layer import over_http
from eventstore.jobs.table import job
from eventstore.streams.ids import peer_track
from identity.accounts.accounts import account
from identity.accounts.credentials import credential
from identity.sessions.session_store import pds_session
from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import mirror_lane
from projections.reactions import REACTION
from storage.public.copies import Action
from tests.api.account_deletion.deletion import leave, long_since, me, noted, rows
from tests.api.world import refusal, upload
from tests.dsl import A_RECORD, a_comment
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.service.process.periodic import continue_account_deletions

pytestmark = ON_SQLITE


@ON_BOTH
def test_all_records_of_every_kind_go_and_then_everything_else(world, client, alice, tracks):
    client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers)
    row = {"peer_id": 4711, "did": alice.did, "track_id": tracks[0]["id"]}
    world.execute(peer_track.insert().values(row))
    comment = a_comment(did=alice.did, track_cid=A_RECORD["cid"])
    world.log.transact(alice.did, over_http(alice.did), lambda unit: unit.save(comment))
    world.deliver()
    long_since(world)
    told = leave(client, alice)
    assert told["records"] == {
        "to_remove": 4, "removed": 0, "untouched": 0,
        "waiting": [{"state": "pending", "reason": "sending", "records": 4}],
    }  # fmt: skip
    assert (told["waits_for"], told["tokens"], told["media"], told["look_at"]) == (None, 1, 5, "/me")
    world.deliver()
    assert not [uri for uri in world.pds.records if uri.startswith(f"at://{alice.did}/")]
    report = me(client, alice).json()["leaving"]
    assert (report["records"]["to_remove"], report["records"]["removed"]) == (0, 4)

    continue_account_deletions(world.made)

    assert refusal(me(client, alice)) == (401, "not_authenticated")
    for table in (account, credential, pds_session, peer_track):
        assert rows(world, table, alice.did) == []
    # its public copies are yet to be removed, and its comment from where others read it
    assert set(world.scalars(select(job.c.kind))) == {*Action, REACTION}
    names, left = noted(world, alice.did)
    assert names == ["Opened", "TokenIssued", "LeaveRequested", "TokenRevoked", "Left"]
    assert left.left_over == {"records": {}, "untouched": 0, "login_revoked": True}


def test_asked_twice_it_is_asked_once_and_goes_on_at_once(world, client, alice, tracks):
    first = leave(client, alice)
    assert leave(client, alice)["since"] == first["since"]
    asyncio.run(world.made.worker.run_once())
    world.deliver()
    asyncio.run(world.made.worker.run_once())
    assert me(client, alice).status_code == 200  # it looks again in a minute
    leave(client, alice)
    asyncio.run(world.made.worker.run_once())
    assert me(client, alice).status_code == 401
    names, _ = noted(world, alice.did)
    assert names == ["Opened", "LeaveRequested", "Left"]
    assert world.events(tracks[0]["id"]) == ["Created", "Deleted"]


def test_an_account_stays_while_one_of_its_records_is_left(world, client, alice, tracks):
    leave(client, alice)
    world.pds.write_refusals = [(400, "InvalidRequest")]
    world.deliver()
    continue_account_deletions(world.made)
    told = me(client, alice).json()["leaving"]["records"]
    assert (told["to_remove"], told["removed"]) == (1, 2)
    assert told["waiting"] == [{"state": "rejected", "reason": "InvalidRequest", "records": 1}]
    leave(client, alice)  # asking again retries
    world.deliver()
    continue_account_deletions(world.made)
    assert me(client, alice).status_code == 401
    assert not [world.record(track) for track in tracks if world.record(track)]


def test_a_lane_that_waits_for_a_sign_in_says_so_and_a_sign_in_lets_it_go_on(world, client, alice, tracks):
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    told = leave(client, alice)
    assert (told["waits_for"], told["records"]["to_remove"]) == ("auth_required", 3)
    assert told["records"]["waiting"] == [{"state": "parked", "reason": "auth_required", "records": 3}]
    world.deliver()
    continue_account_deletions(world.made)
    again = world.sign_in("alice")
    assert me(client, again).json()["leaving"]["since"] == told["since"]
    world.deliver()
    continue_account_deletions(world.made)
    assert me(client, again).status_code == 401
    assert not [world.record(track) for track in tracks if world.record(track)]


def test_what_others_changed_or_deleted_goes_too(world, client, alice, tracks):
    """One is held for its owner, one is detached, and one was changed after its owner had asked."""
    held, gone, late = tracks
    world.pds.records[held["atproto_record_uri"]] |= {"title": "theirs"}
    del world.pds.records[gone["atproto_record_uri"]]
    for track in (held, gone):
        client.patch(f"/tracks/{track['id']}", json={"title": "ours"}, headers=alice.headers)
    world.deliver()
    states = [client.get(f"/tracks/{track['id']}").json()["mirror"]["state"] for track in (held, gone)]
    assert states == ["held", "detached"]
    leave(client, alice)
    world.pds.records[late["atproto_record_uri"]] |= {"title": "theirs"}
    long_since(world)
    world.deliver()
    leave(client, alice)
    world.deliver()
    assert not [track for track in tracks if world.record(track)]
    continue_account_deletions(world.made)
    assert me(client, alice).status_code == 401


@pytest.mark.usefixtures("tracks")
def test_an_account_that_is_gone_from_its_host_is_deleted_without_its_records(world, client, alice):
    world.execute(update(mirror_lane).where(mirror_lane.c.did == alice.did).values(state="gone"))
    assert leave(client, alice)["waits_for"] == "gone"
    continue_account_deletions(world.made)
    assert me(client, alice).status_code == 401
    _, left = noted(world, alice.did)
    assert left.left_over["records"] == {"parked:gone": 3}


def test_a_fresh_record_is_looked_at_once_more_before_the_login_goes(world, client, alice):
    upload(client, alice)
    world.deliver()
    leave(client, alice)
    world.deliver()
    continue_account_deletions(world.made)
    told = me(client, alice).json()["leaving"]["records"]
    assert told["waiting"] == [{"state": "pending", "reason": "verifying", "records": 1}]
