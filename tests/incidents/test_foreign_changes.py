"""Records that another client deleted, rewrote or cut short."""

import pytest

from demo.story import COLLECTION
from tests.e2e.artist import RESTORE, Artist
from tests.e2e.eventually import eventually
from tests.faults.faults import cut_after
from tests.faults.proxy import FaultProxy
from tests.incidents.records import somebody_puts, told, types

pytestmark = pytest.mark.pds


def test_inc_08_a_restore_whose_answer_was_lost_can_be_repeated_and_loses_no_field(
    full: Artist, proxy: FaultProxy
) -> None:
    before = told(full.record)
    full.loses_the_record()
    proxy.on("putRecord", fault=cut_after, times=1)

    first = full.asks(RESTORE, prefer="wait=0")
    again = full.asks(RESTORE, prefer="wait=30")

    assert first.status_code in {200, 202}
    assert (again.status_code, again.json()["restored_uri"]) == (200, full.record_uri)
    assert told(full.agreed()) == before
    assert len(full.pds.list_records(full.did, COLLECTION)) == 1
    assert types(full).count("RecordRestored") == 1


def test_inc_40_a_record_that_lost_the_address_of_its_audio_costs_the_track_nothing(
    published: Artist,
) -> None:
    before = told(published.record)
    url = published.client.track(published.track_id)["audio_url"]
    somebody_puts(
        published, {name: before[name] for name in before if name != "audioUrl"} | {"title": "Theirs"}
    )
    published.edits(album="Pressings")
    eventually(lambda: published.mirror["state"] == "held")

    path = f"/tracks/{published.track_id}/mirror/resolve"
    assert published.client.http.post(path, json={"keep": "theirs"}).is_success

    assert told(published.agreed()) == before | {"title": "Theirs", "album": "Pressings"}
    assert published.client.track(published.track_id)["audio_url"] == url
    assert published.client.http.get(url).is_success


def test_inc_41_a_delete_made_elsewhere_is_noted_and_can_be_undone(full: Artist) -> None:
    before = told(full.record)
    full.loses_the_record()
    full.edits(album="Pressings, Vol. 2")
    eventually(lambda: full.mirror["state"] == "detached")

    assert full.gets().status_code == 200
    assert full.record is None
    assert types(full)[-1] == "RecordMissing"
    assert full.asks(RESTORE).is_success

    assert told(full.agreed()) == before | {"album": "Pressings, Vol. 2"}
