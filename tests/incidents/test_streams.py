"""Network messages are hints: the log is the truth, whenever a message arrives."""

import asyncio

import pytest

from demo.story import COLLECTION
from outbox.firehose.subscription import FirehoseEffect
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.eventually import eventually
from tests.faults.exchange import Exchange
from tests.faults.proxy import FaultProxy
from tests.incidents.records import told, types
from tests.incidents.two_hosts import Alice


@pytest.mark.pds
def test_inc_38_what_an_upload_asks_for_is_done_though_its_record_is_seen_before_its_answer(
    artist: Artist, proxy: FaultProxy
) -> None:
    """The record is on the PDS and on the firehose, and the service has not had the response yet."""

    async def is_seen_first(exchange: Exchange) -> None:
        await exchange.apply()
        await asyncio.to_thread(artist.client.http.post, "/me/verify")
        exchange.reset()

    proxy.on("putRecord", fault=is_seen_first, times=1)

    artist.uploads(album="Pressings", tags='["demo"]', support_gate='{"type": "any"}')
    artist.edits(support_gate=None)
    assert artist.asks(MIGRATE, prefer="wait=0").status_code == 202

    record = told(artist.agreed())
    assert record["album"] == "Pressings"
    assert "audioBlob" in record
    assert artist.client.track(artist.track_id)["tags"] == ["demo"]
    assert types(artist) == ["Created", "SupportGateRemoved", "BlobMigrationRequested", "BlobMigrated"]
    assert len(artist.pds.list_records(artist.did, COLLECTION)) == 1


def test_inc_16_old_revisions_that_come_again_change_nothing(alice_in_town: Alice) -> None:
    """They come by the stream, and then another client even writes them to the repository again."""
    alice = alice_in_town
    alice.uploads()
    first, second, third = (alice.edits(title=title) for title in ("one", "two", "three"))

    assert alice.hears(first, second) == [FirehoseEffect.KNOWN] * 2
    assert alice.repo.head == third
    for replayed in (first, second):
        alice.repo.put(alice.key, replayed.value)
        alice.is_scanned()
        eventually(lambda: alice.record["title"] == "three")

    alice.is_delivered()
    assert told(alice.record) == told(third.value)
    assert alice.track["title"] == "three"
    assert alice.types == ["Created"] + ["MetadataUpdated"] * 3


def test_inc_17_our_own_echoes_change_nothing_in_whatever_order_they_come(alice_in_town: Alice) -> None:
    alice = alice_in_town
    alice.uploads(description="Words.")
    first, second = alice.edits(title="one"), alice.edits(description="")

    assert alice.hears(second, first) == [FirehoseEffect.KNOWN] * 2

    alice.is_scanned()
    assert (alice.track["title"], alice.track["description"]) == ("one", None)
    assert alice.mirror["state"] == "delivered"
    assert alice.repo.head == second
    assert alice.types == ["Created"] + ["MetadataUpdated"] * 2


def test_inc_18_a_change_that_no_stream_reported_is_found_by_the_scan(alice_in_town: Alice) -> None:
    """No process subscribes here: there is the scan alone. tests/e2e/test_scan_and_firehose.py has both at a real PDS."""
    alice = alice_in_town
    alice.uploads()
    alice.repo.put(alice.key, {**alice.record, "title": "Theirs"})

    alice.is_scanned()

    eventually(lambda: alice.mirror["state"] == "held")
    assert alice.mirror["conflict"]["fields"] == ["title"]
    assert alice.track["title"] == "First Take"
    assert alice.types == ["Created", "ForeignEditObserved"]


def test_inc_42_a_deleted_track_stays_deleted_however_late_its_creation_comes_again(
    alice_in_town: Alice,
) -> None:
    alice = alice_in_town
    alice.uploads()
    created, key, uri = alice.record, alice.key, alice.track["atproto_record_uri"]
    alice.http.delete(alice.path)
    eventually(lambda: key not in alice.repo.records and alice.mirror["state"] == "delivered")

    alice.repo.put(key, created)
    alice.is_scanned()

    eventually(lambda: key not in alice.repo.records)
    assert alice.http.get(alice.path).status_code == 404
    assert alice.http.get("/tracks", params={"artist": alice.did}).json()["items"] == []
    assert alice.http.get(f"{alice.path}/mirror").json()["record_uri"] == uri
    assert alice.types == ["Created", "Deleted"]
