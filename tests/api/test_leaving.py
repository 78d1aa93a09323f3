"""Leaving: records go first, then login, sessions, tokens, account and bytes; what is refused meanwhile, and what stays."""

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from aggregates.account import Account
from api.commands.leave import go_on
from api.idempotency import idempotency
from api.request_id import over_http
from identity.accounts import account
from identity.credentials import Scope, credential
from identity.session_rows import pds_session
from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import delivery_attempt, mirror_lane, mirror_target
from projections import media_references
from service.jobs import finish_leaving
from storage.media import media
from storage.sweep import sweep
from tests.api.world import refusal, upload
from tests.media_samples import samples

GRACE = timedelta(days=30)


@pytest.fixture
def tracks(world, client, alice):
    """Three, of which one has a cover, whose records are on the PDS since some hours."""
    made = [
        upload(client, alice, seed=seed, image=samples.png() if seed == 1 else None) for seed in (1, 2, 3)
    ]
    world.deliver()
    long_since(world)
    return made


def long_since(world):
    """What was written by now was written hours ago: nothing of it can come late any more."""
    with world.database.write() as connection:
        started = delivery_attempt.c.started_at
        for row in connection.execute(select(delivery_attempt.c.id, started)).all():
            this = delivery_attempt.c.id == row.id
            connection.execute(
                update(delivery_attempt).where(this).values(started_at=row.started_at - timedelta(hours=3))
            )


def leave(client, person):
    answer = client.delete("/me", headers=person.headers)
    assert (answer.status_code, answer.headers["location"]) == (202, "/me"), answer.text
    return answer.json()


def me(client, person):
    return client.get("/me", headers=person.headers)


def noted(world, did):
    with world.database.read() as connection:
        events = [each.event for each in world.log.stream(connection, Account.create_id(did))]
    return [type(event).__name__ for event in events], events[-1]


def rows(world, table, did):
    with world.database.read() as connection:
        return connection.execute(select(table).where(table.c.did == did)).all()


def live_media(world):
    with world.database.read() as connection:
        return connection.scalars(select(media.c.cid).where(media.c.state == "live")).all()


def test_all_records_go_and_then_everything_else(world, client, alice, tracks):
    client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers)
    told = leave(client, alice)
    assert told["records"] == {
        "to_remove": 3, "removed": 0, "untouched": 0,
        "waiting": [{"state": "pending", "reason": "sending", "records": 3}],
    }  # fmt: skip
    assert (told["waits_for"], told["tokens"], told["media"], told["look_at"]) == (None, 2, 5, "/me")
    world.deliver()
    assert not [world.record(track) for track in tracks if world.record(track)]
    report = me(client, alice).json()["leaving"]
    assert (report["records"]["to_remove"], report["records"]["removed"]) == (0, 3)

    finish_leaving(world.made)

    assert refusal(me(client, alice)) == (401, "not_authenticated")
    for table in (account, credential, pds_session):
        assert rows(world, table, alice.did) == []
    names, left = noted(world, alice.did)
    assert names == ["Opened", "TokenIssued", "LeaveRequested", "Left"]
    assert left.left_over == {"records": {}, "untouched": 0, "login_revoked": True}


def test_asked_twice_it_is_asked_once_and_ended_by_the_second(world, client, alice, tracks):
    first = leave(client, alice)
    assert leave(client, alice)["since"] == first["since"]
    world.deliver()
    leave(client, alice)
    assert me(client, alice).status_code == 401
    names, _ = noted(world, alice.did)
    assert names == ["Opened", "LeaveRequested", "Left"]
    assert world.events(tracks[0]["id"]) == ["Created", "Deleted"]


def test_while_a_record_is_there_the_account_is_too(world, client, alice, tracks):
    leave(client, alice)
    world.pds.refusals = [(400, "InvalidRequest")]
    world.deliver()
    finish_leaving(world.made)
    told = me(client, alice).json()["leaving"]["records"]
    assert (told["to_remove"], told["removed"]) == (1, 2)
    assert told["waiting"] == [{"state": "rejected", "reason": "InvalidRequest", "records": 1}]
    leave(client, alice)  # who asks again has it tried again
    world.deliver()
    finish_leaving(world.made)
    assert me(client, alice).status_code == 401
    assert not [world.record(track) for track in tracks if world.record(track)]


def test_a_lane_that_waits_for_a_sign_in_says_so_and_a_sign_in_lets_it_go_on(world, client, alice, tracks):
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    told = leave(client, alice)
    assert (told["waits_for"], told["records"]["to_remove"]) == ("auth_required", 3)
    assert told["records"]["waiting"] == [{"state": "parked", "reason": "auth_required", "records": 3}]
    world.deliver()
    finish_leaving(world.made)
    again = world.sign_in("alice")
    assert me(client, again).json()["leaving"]["since"] == told["since"]
    world.deliver()
    finish_leaving(world.made)
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
    finish_leaving(world.made)
    assert me(client, alice).status_code == 401


def test_it_goes_on_when_nobody_is_signed_in_any_more(world, client, alice, tracks):
    leave(client, alice)
    client.post("/auth/logout", headers=alice.headers)
    world.deliver()
    finish_leaving(world.made)
    assert rows(world, account, alice.did) == []
    assert not [world.record(track) for track in tracks if world.record(track)]


@pytest.mark.usefixtures("tracks")
def test_of_an_account_that_nobody_knows_any_more_nothing_can_be_removed(world, client, alice):
    with world.database.write() as connection:
        connection.execute(update(mirror_lane).where(mirror_lane.c.did == alice.did).values(state="gone"))
    assert leave(client, alice)["waits_for"] == "gone"
    assert me(client, alice).status_code == 401
    _, left = noted(world, alice.did)
    assert left.left_over["records"] == {"parked:gone": 3}


COMMANDS = {
    "upload": lambda client, who, _: client.post(
        "/tracks", data={"title": "x"}, files={"file": samples.mp3(9)}, headers=who.headers
    ),
    "edit": lambda client, who, track: client.patch(
        f"/tracks/{track['id']}", json={"title": "x"}, headers=who.headers
    ),
    "undelete": lambda client, who, track: client.post(
        f"/tracks/{track['id']}/undelete", headers=who.headers
    ),
    "restore": lambda client, who, track: client.post(
        f"/tracks/{track['id']}/restore-record", headers=who.headers
    ),
    "migrate": lambda client, who, _: client.post("/me/migrate-to-pds", headers=who.headers),
    "adopt": lambda client, who, _: client.post("/me/adopt", headers=who.headers),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_new_begins_meanwhile(client, alice, tracks, command):
    leave(client, alice)
    assert refusal(COMMANDS[command](client, alice, tracks[0])) == (409, "leaving")


def test_what_may_still_be_asked_for(client, alice, tracks):
    leave(client, alice)
    retried = client.post(f"/tracks/{tracks[0]['id']}/mirror/retry", headers=alice.headers)
    assert retried.status_code == 200
    assert client.get(f"/tracks/{tracks[0]['id']}/history", headers=alice.headers).status_code == 200
    assert client.get("/me/export", headers=alice.headers).status_code == 200


def test_an_upload_that_began_before_is_refused_in_the_end(world, client, alice, monkeypatch):
    """It was let in, and while its body came, its artist asked to leave."""
    from api.routers import track_commands

    name_of = track_commands.artist_name

    def leave_meanwhile(name):
        leave(TestClient(world.app), alice)
        return name_of(name)

    monkeypatch.setattr(track_commands, "artist_name", leave_meanwhile)
    answer = client.post(
        "/tracks", data={"title": "x"}, files={"file": samples.mp3(9)}, headers=alice.headers
    )
    assert refusal(answer) == (409, "leaving")
    assert client.get("/tracks").json()["items"] == []


def test_bytes_go_with_the_next_sweep_but_for_what_others_have(world, client, alice, bob, tracks):
    kept = upload(client, bob, seed=1)
    assert kept["file_id"] == tracks[0]["file_id"]
    leave(client, alice)
    world.deliver()
    sweep(world.made.media, media_references, GRACE)
    assert len(live_media(world)) == 5  # not before the account has left
    finish_leaving(world.made)
    assert len(live_media(world)) == 5  # and never inline
    assert sweep(world.made.media, media_references, GRACE).deleted == 4
    assert live_media(world) == [kept["file_id"]]
    assert client.get(kept["audio_url"].split("8000", 1)[1]).status_code == 200


def test_bytes_that_somebody_has_just_uploaded_too_are_not_taken_from_them(world, client, alice, bob, tracks):
    leave(client, alice)
    world.deliver()
    with world.database.write() as connection:  # as an upload does before its unit
        theirs = media.c.cid == tracks[0]["file_id"]
        connection.execute(update(media).where(theirs).values(touched_at=world.database.now(connection)))
    finish_leaving(world.made)
    sweep(world.made.media, media_references, GRACE)
    assert live_media(world) == [tracks[0]["file_id"]]
    assert upload(client, bob, seed=1)["file_id"] == tracks[0]["file_id"]


def test_the_read_models_of_who_left_can_be_made_again(world, client, alice, tracks):
    from projections.rebuild import differences

    leave(client, alice)
    world.deliver()
    finish_leaving(world.made)
    again = world.sign_in("alice")
    upload(client, again, seed=1)
    assert differences(world.log, world.log.projections, page=2) == []
    assert tracks


def test_a_fresh_record_is_looked_at_once_more_before_the_login_goes(world, client, alice):
    upload(client, alice)
    world.deliver()
    leave(client, alice)
    world.deliver()
    finish_leaving(world.made)
    told = me(client, alice).json()["leaving"]["records"]
    assert told["waiting"] == [{"state": "pending", "reason": "verifying", "records": 1}]


def test_who_comes_back_begins_anew(world, client, alice, tracks):
    leave(client, alice)
    world.deliver()
    finish_leaving(world.made)
    again = world.sign_in("alice")
    assert me(client, again).json()["leaving"] is None
    assert client.get("/tracks", headers=again.headers).json()["items"] == []
    fresh = upload(client, again, seed=1)
    world.deliver()
    assert world.record(fresh) is not None
    assert fresh["id"] not in [track["id"] for track in tracks]


def test_answers_that_were_kept_go_too(world, client, alice):
    headers = {**alice.headers, "Idempotency-Key": "k"}
    track = upload(client, alice, headers=headers)
    assert rows(world, idempotency, alice.did)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    leave(client, alice)
    world.deliver()
    finish_leaving(world.made)
    assert rows(world, idempotency, alice.did) == []


def test_a_crash_at_any_step_leaves_the_rest_to_the_next(world, client, alice, tracks, monkeypatch):
    from api.commands import leave as steps

    leave(client, alice)
    world.deliver()

    def crash(*_args, **_fields):
        raise ZeroDivisionError

    for step in ("forget", "let_go", "account_of"):
        with monkeypatch.context() as patched:
            patched.setattr(steps, step, crash)
            finish_leaving(world.made)
        assert me(client, alice).status_code == 200
        assert len(live_media(world)) == 5
    finish_leaving(world.made)
    assert me(client, alice).status_code == 401
    assert noted(world, alice.did)[0].count("Left") == 1
    assert tracks


@pytest.mark.usefixtures("tracks")
def test_who_asks_is_answered_though_the_rest_breaks_down(world, alice):
    async def broken(_did, _envelope):
        raise ZeroDivisionError

    client = world.serve(disconnect=broken)
    leave(client, alice)
    world.deliver()
    leave(client, alice)
    assert me(client, alice).json()["leaving"]["records"]["to_remove"] == 0


def test_who_signs_in_in_the_last_moment_is_not_left_with_half_a_login(world, client, alice, tracks):
    """The login that came while the one before was given back is given back too."""
    leave(client, alice)
    world.deliver()
    seen = []

    async def disconnect(did, _envelope):
        seen.append(rows(world, pds_session, did))
        if len(seen) == 1:
            with world.database.write() as connection:
                connection.execute(
                    pds_session.insert().values(
                        did=did, kind="oauth", pds_url="https://p.example", scope="", generation=1,
                        status="active", updated_at=world.database.now(connection), sealed=b"",
                    )
                )  # fmt: skip
        else:
            with world.database.write() as connection:
                connection.execute(update(pds_session).values(status="reauth_required"))
        return True

    assert asyncio.run(go_on(world.log, alice.did, over_http(alice.did), disconnect))
    assert len(seen) == 2
    assert rows(world, pds_session, alice.did) == []
    assert tracks


@pytest.mark.usefixtures("tracks")
def test_the_login_is_not_given_back_while_a_record_is_there(world, client, alice):
    """Without it nobody could ever remove the record."""

    async def disconnect(_did, _envelope):
        raise AssertionError("the login is needed yet")

    leave(client, alice)
    assert not asyncio.run(go_on(world.log, alice.did, over_http(alice.did), disconnect))


@pytest.mark.usefixtures("tracks")
def test_what_comes_up_while_the_login_is_given_back_keeps_the_account(world, client, alice):
    leave(client, alice)
    world.deliver()

    async def disconnect(did, _envelope):
        with world.database.write() as connection:
            connection.execute(
                update(mirror_target).where(mirror_target.c.did == did).values(acked_gen=0, acked_at=None)
            )
        return True

    assert not asyncio.run(go_on(world.log, alice.did, over_http(alice.did), disconnect))
    assert me(client, alice).json()["leaving"]["records"]["to_remove"] == 3


def test_leaving_is_for_its_owner_with_a_token_that_may_write(world, client):
    reader = world.sign_in("alice", scope=Scope.READ)
    assert refusal(client.delete("/me", headers=reader.headers)) == (403, "scope_required")
    assert refusal(client.delete("/me")) == (401, "not_authenticated")


def test_an_export_is_the_accounts_own_rows_and_nobody_elses(client, alice, bob, tracks):
    upload(client, bob, seed=7)
    answer = client.get("/me/export", headers=alice.headers)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "header"
    assert kinds[-1] == "end"
    assert kinds.count("stored_event") == 3
    assert kinds.count("delivery_attempt") == 3
    assert kinds.count("media") == 5
    assert bob.did not in answer.text
    assert lines[0]["row"]["did"] == alice.did
    assert refusal(client.get("/me/export")) == (401, "not_authenticated")
    assert tracks
