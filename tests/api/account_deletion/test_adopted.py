"""DELETE /me leaves the records that another client made, unless this service has written them since, or may have."""

import json

import httpx
import pytest
from sqlalchemy import select, update

from aggregates.published import Subject
from eventstore.sql.schema import stored_event
from outbox.mirror.requeue import reverify
from outbox.mirror.tables import PAST, mirror_target
from tests.api.account_deletion.adopted import THEIRS, adopt, uri_of
from tests.api.account_deletion.deletion import is_deleted, leave, long_since, me
from tests.api.world import refusal, upload
from tests.fake_pds.scripted_pds import ScriptedPds
from tests.service.process.periodic import continue_account_deletions


@pytest.fixture
def track(world, alice):
    return adopt(world, alice, THEIRS)


def edit(world, client, person, track):
    body = {"title": "Ours"}
    assert client.patch(f"/tracks/{track.track_id}", json=body, headers=person.headers).status_code == 200
    world.deliver()


def verify(world, track):
    with world.database.write() as connection:
        reverify(connection, [Subject.of(track)], world.database.now(connection))
    world.deliver()


def test_an_adopted_record_whose_edit_the_pds_refused_stays(world, client, alice, track):
    world.pds.write_refusals = [(400, "InvalidRequest")]
    edit(world, client, alice, track)
    is_deleted(world, client, alice)
    assert world.pds.records[uri_of(alice)] == THEIRS
    assert me(client, alice).status_code == 401


def test_an_adopted_record_that_was_away_for_a_while_stays(world, client, alice, track):
    del world.pds.records[uri_of(alice)]
    verify(world, track)
    assert "putRecord" in world.pds.requests  # asks whether it is gone, and is refused
    world.pds.records[uri_of(alice)] = THEIRS
    verify(world, track)
    is_deleted(world, client, alice)
    assert world.pds.records[uri_of(alice)] == THEIRS
    assert me(client, alice).status_code == 401


def test_an_adopted_record_that_was_edited_here_goes(world, client, alice, track):
    edit(world, client, alice, track)
    is_deleted(world, client, alice)
    assert uri_of(alice) not in world.pds.records


def test_an_adopted_record_goes_whose_edit_was_taken_and_never_answered(
    world, client, alice, track, monkeypatch
):
    answer = ScriptedPds.handle_async_request

    async def lose(pds, request):
        taken = await answer(pds, request)
        if request.url.path.endswith("putRecord"):
            raise httpx.ReadError("lost")
        return taken

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedPds, "handle_async_request", lose)
        edit(world, client, alice, track)
    assert world.pds.records[uri_of(alice)]["title"] == "Ours"
    is_deleted(world, client, alice)
    assert uri_of(alice) not in world.pds.records


@pytest.fixture
def unanswered(world, client, alice, track, monkeypatch):
    """An edit that its PDS neither took nor answered, after it was asked whether it has the record: the body that was sent."""
    del world.pds.records[uri_of(alice)]
    verify(world, track)
    world.pds.records[uri_of(alice)] = THEIRS
    verify(world, track)
    sent = []

    async def lose(_pds, request):
        sent.append(json.loads(request.content)["record"])
        raise httpx.ReadError("lost")

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedPds, "handle_async_request", lose)
        edit(world, client, alice, track)
    return sent[-1]


@pytest.mark.usefixtures("unanswered")
def test_an_adopted_record_stays_whose_edit_was_never_answered_and_never_landed(world, client, alice):
    is_deleted(world, client, alice)
    assert world.pds.records[uri_of(alice)] == THEIRS
    assert me(client, alice).status_code == 401


def test_an_adopted_record_goes_whose_unanswered_edit_lands_after_the_departure(
    world, client, alice, unanswered
):
    leave(client, alice)
    world.deliver()
    assert world.pds.records[uri_of(alice)] == THEIRS
    [waiting] = me(client, alice).json()["leaving"]["records"]["waiting"]
    assert (waiting["reason"], waiting["records"]) == ("verifying", 1)
    world.pds.records[uri_of(alice)] = unanswered
    world.execute(update(mirror_target).values(not_before=PAST))
    is_deleted(world, client, alice)
    assert uri_of(alice) not in world.pds.records
    assert me(client, alice).status_code == 401


def test_an_adopted_record_stays_whose_restore_was_refused_since_it_was_back(world, client, alice, bob):
    """It says what a restore writes, as one does that this service wrote for the account long ago."""
    elsewhere = adopt(world, bob, THEIRS)
    generation = len(world.rows(select(stored_event))) + len(("adopted", "missing", "restored"))
    said = {**THEIRS, **world.services.kinds["track"].record_of(elsewhere, generation)}
    track = adopt(world, alice, said)
    del world.pds.records[uri_of(alice)]
    verify(world, track)
    at_once = {**alice.headers, "Prefer": "wait=0"}
    restored = client.post(f"/tracks/{track.track_id}/restore-record", headers=at_once)
    assert restored.status_code in {200, 202}, restored.text
    world.pds.records[uri_of(alice)] = said
    world.deliver()
    assert world.pds.records[uri_of(alice)] == said
    is_deleted(world, client, alice)
    assert world.pds.records[uri_of(alice)] == said
    assert me(client, alice).status_code == 401


def leave_with(client, person, adopted):
    return client.request("DELETE", "/me", json={"adopted": adopted}, headers=person.headers)


@pytest.mark.usefixtures("track")
def test_records_of_other_programs_go_too_if_their_number_is_named(world, client, alice):
    long_since(world)
    answer = leave_with(client, alice, 1)
    assert (answer.status_code, answer.json()["adopted"]) == (202, 0)
    world.deliver()
    continue_account_deletions(world.made)
    assert uri_of(alice) not in world.pds.records
    assert me(client, alice).status_code == 401
    # a later departure confirms by itself
    assert world.scalars(select(mirror_target.c.removal)) == [None]


@pytest.mark.usefixtures("track")
def test_another_number_is_refused_with_the_true_one_and_nothing_is_changed(client, alice):
    answer = leave_with(client, alice, 2)
    assert refusal(answer) == (409, "adopted_differ")
    assert answer.json()["detail"]["adopted"] == 1
    assert me(client, alice).json()["leaving"] is None
    assert leave_with(client, alice, "1").status_code == 400
    assert leave_with(client, alice, True).status_code == 400


@pytest.mark.usefixtures("track")
def test_an_account_that_leaves_may_still_name_the_number(world, client, alice):
    upload(client, alice, seed=1)
    world.deliver()  # whose record can be duplicated for a minute: the account stays so long
    assert leave(client, alice)["adopted"] == 1
    world.deliver()
    assert me(client, alice).json()["leaving"]["adopted"] == 1
    assert world.pds.records[uri_of(alice)] == THEIRS
    assert leave_with(client, alice, 1).status_code == 202
    world.deliver()
    assert uri_of(alice) not in world.pds.records
