"""A record that only a real PDS knows to be in the old collection: it is not restored, it moves."""

import pytest

from demo.story import COLLECTION
from tests.dsl import OLD_COLLECTION
from tests.e2e.artist import RESTORE, Artist
from tests.e2e.conftest import ONE_DATABASE

pytestmark = [pytest.mark.pds, ONE_DATABASE]
MOOD = {"com.example.mood": "blue"}


def test_a_record_that_the_old_collection_holds_is_moved_and_not_restored(artist: Artist) -> None:
    artist.uploads()
    there = {**(artist.agreed() or {}), "$type": OLD_COLLECTION, **MOOD}
    artist.pds.put_record(artist.did, OLD_COLLECTION, artist.rkey, there)
    present = artist.asks(RESTORE)
    assert (present.status_code, present.json()["detail"]["error"]) == (400, "already_has_record")

    artist.loses_the_record()
    refused = artist.asks(RESTORE)
    assert (refused.status_code, refused.json()["detail"]["error"]) == (409, "migration_needed")
    assert artist.record is None

    moved = artist.asks("migrate-namespace")
    assert (moved.status_code, moved.json()["migrated_uri"]) == (200, artist.record_uri)
    record = artist.record or {}
    own = {"$type": COLLECTION, "mastertapeGen": record["mastertapeGen"]}
    assert record == {**there, **own}
    assert artist.pds.get_record(artist.did, OLD_COLLECTION, artist.rkey) is None
