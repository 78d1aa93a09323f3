"""Refused, failed, repeated and concurrent commands leave public what should be public, and nothing else."""

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from sqlalchemy import update

from aggregates.tracks.track import Track
from api.error_responses import REPLIES
from api.pipeline.media_intake import PublicCopy
from identity.accounts.credentials import revoke_all_tokens
from service.process.jobs import review_public_copies
from storage.errors import StoreUnavailableError
from storage.media import media
from tests.api.public_audio.copies import GATE, edit, name_of, undelete
from tests.api.world import refusal, replace_audio, upload
from tests.servers.databases import ON_SQLITE
from tests.storage.public.public_rig import run_due
from tests.waits import until

pytestmark = [pytest.mark.s3, ON_SQLITE]


@pytest.mark.parametrize("command", ["ungate", "replace"])
def test_a_command_that_is_refused_makes_nothing_public(client, alice, public, publisher, command):
    gate = {"support_gate": {"type": "any"}} if command == "ungate" else {}
    track = upload(client, alice, **gate)
    run_due(publisher)
    before = public()
    stale = {"If-Match": '"99"'}
    if command == "replace":
        answer = replace_audio(client, alice, track, 2, **stale)
    else:
        headers = {**alice.headers, **stale}
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=headers)
    assert refusal(answer) == (412, "version_mismatch")
    assert public() == before
    run_due(publisher)
    assert public() == before


def test_a_token_that_has_ended_makes_nothing_public_even_for_a_moment(world, client, alice, monkeypatch):
    track, made = upload(client, alice, support_gate={"type": "any"}), []
    edit(client, alice, track, title="First")
    with world.database.write() as connection:
        revoke_all_tokens(connection, datetime.now(UTC))
    monkeypatch.setattr(PublicCopy, "make", lambda *asked: made.append(asked))
    answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=alice.headers)
    assert (refusal(answer), made) == ((401, "not_authenticated"), [])


def test_a_copy_goes_when_its_command_fails_in_the_unit(client, alice, public, publisher, monkeypatch):
    track = upload(client, alice, support_gate={"type": "any"})

    with monkeypatch.context() as broken:
        broken.setitem(Track.SETTERS, "support_gate", Mock(side_effect=StoreUnavailableError("in the unit")))
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=alice.headers)
    assert answer.status_code == 503
    run_due(publisher)
    assert public() == set()


def test_a_store_that_is_away_refuses_to_ungate_and_does_not_refuse_to_gate(
    world, client, alice, public, monkeypatch
):
    publisher = world.made.publisher
    track, other = upload(client, alice, support_gate={"type": "any"}), upload(client, alice, seed=2)
    run_due(publisher)

    with monkeypatch.context() as broken:
        for operation in ("publish", "unpublish"):
            broken.setattr(world.made.media.store, operation, Mock(side_effect=StoreUnavailableError("away")))
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=alice.headers)
        assert (answer.status_code, refusal(answer)[1]) == (503, REPLIES[StoreUnavailableError].code)
        assert world.events(track["id"]) == ["Created"]
        edit(client, alice, other, support_gate=GATE)
        run_due(publisher)
        assert public() == {name_of(other)}

    def is_gone():
        run_due(publisher)
        return not public()

    until(is_gone)


def test_what_has_no_bytes_is_not_made_public(world, client, alice, publisher):
    deleted, gated = upload(client, alice), upload(client, alice, seed=2, support_gate={"type": "any"})
    client.delete(f"/tracks/{deleted['id']}", headers=alice.headers)
    run_due(publisher)
    for stored in list(world.made.media.store.stored()):
        world.made.media.store.delete(stored.key)
    answer = client.patch(f"/tracks/{gated['id']}", data={"support_gate": ""}, headers=alice.headers)
    assert refusal(answer) == (404, "media_not_found")
    world.execute(update(media).values(state="deleting"))
    assert refusal(undelete(client, alice, deleted)) == (409, "bytes_expired")
    assert world.events(gated["id"]) == ["Created"]
    assert world.events(deleted["id"]) == ["Created", "Deleted"]


def test_a_repeated_request_makes_nothing_public_again(client, alice, public, publisher):
    track = upload(client, alice, support_gate={"type": "any"})
    headers = {**alice.headers, "Idempotency-Key": "once"}
    for _ in range(2):
        answer = client.patch(f"/tracks/{track['id']}", data={"support_gate": ""}, headers=headers)
        assert answer.status_code == 200
        edit(client, alice, track, support_gate=GATE)
        run_due(publisher)
        assert public() == set()


def test_the_hourly_review_repairs_changes_of_the_bucket(world, client, alice, public):
    publisher = world.made.publisher
    track, gated = upload(client, alice), upload(client, alice, seed=2, support_gate={"type": "any"})
    run_due(publisher)
    public.remove(name_of(track))
    public.leak(name_of(gated))
    run_due(publisher)
    assert public() == {name_of(gated)}
    review_public_copies(world.made)
    run_due(publisher)
    assert public() == {name_of(track)}
