"""After an account's deletion its bytes stay until the next sweep, and a new sign-in starts empty."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from eventstore.idempotency import idempotency
from projections.rebuild.rebuild import differences
from replay.derived import sweep_media
from storage.media import media
from tests.api.account_deletion.deletion import is_deleted, leave, live_media, rows
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE
from tests.service.process.periodic import continue_account_deletions

pytestmark = ON_SQLITE

GRACE = timedelta(days=30)


def test_the_next_sweep_deletes_the_bytes_that_no_other_account_has(world, client, alice, bob, tracks):
    kept = upload(client, bob, seed=1)
    assert kept["file_id"] == tracks[0]["file_id"]
    leave(client, alice)
    world.deliver()
    sweep_media(world.made.media, GRACE)
    assert len(live_media(world)) == 6  # not before the account has left
    continue_account_deletions(world.made)
    assert len(live_media(world)) == 6  # and never inline
    their_commands_are_over(world)
    assert sweep_media(world.made.media, GRACE).deleted == 5
    assert live_media(world) == [kept["file_id"]]
    assert client.get(kept["audio_url"].split("8000", 1)[1]).status_code == 200


def their_commands_are_over(world):
    """Minutes have passed since commands reserved the bytes."""
    world.execute(update(media).values(reserved_at=None))


def test_bytes_that_another_account_has_just_uploaded_stay(world, client, alice, bob, tracks):
    leave(client, alice)
    world.deliver()
    theirs = media.c.cid == tracks[0]["file_id"]
    # as an upload does before its unit
    world.execute(update(media).where(theirs).values(touched_at=world.now()))
    continue_account_deletions(world.made)
    their_commands_are_over(world)
    sweep_media(world.made.media, GRACE)
    assert live_media(world) == [tracks[0]["file_id"]]
    assert upload(client, bob, seed=1)["file_id"] == tracks[0]["file_id"]


@pytest.mark.usefixtures("tracks")
def test_a_rebuild_after_an_account_deletion_gives_the_same_read_models(world, client, alice):
    is_deleted(world, client, alice)
    again = world.sign_in("alice")
    upload(client, again, seed=1)
    assert differences(world.log, world.log.projections, page=2) == []


def test_kept_responses_are_deleted_too(world, client, alice):
    headers = {**alice.headers, "Idempotency-Key": "k"}
    track = upload(client, alice, headers=headers)
    assert rows(world, idempotency, alice.did)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    is_deleted(world, client, alice)
    assert rows(world, idempotency, alice.did) == []
