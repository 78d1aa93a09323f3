"""Audio on the PDS: it exists there once the record names it, and it comes and goes with the record."""

import asyncio
import threading

import httpx
import pytest

from demo.story import COLLECTION
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.conftest import NewArtist
from tests.faults.exchange import Exchange
from tests.faults.faults import answer, until
from tests.faults.proxy import FaultProxy
from tests.incidents.records import told, types

pytestmark = pytest.mark.pds


def test_inc_11_an_edit_during_an_upload_to_the_pds_is_not_undone_by_its_end(
    published: Artist, proxy: FaultProxy
) -> None:
    arrives = threading.Event()
    proxy.on("uploadBlob", fault=until(arrives), times=1)
    assert published.asks(MIGRATE, prefer="wait=0").status_code == 202
    proxy.await_passed("uploadBlob")

    published.edits(title="Meanwhile")
    arrives.set()

    record = told(published.agreed())
    assert (record["title"], record["description"]) == ("Meanwhile", "Recorded in one go.")
    assert "audioBlob" in record
    assert published.client.track(published.track_id)["title"] == "Meanwhile"


def test_inc_12_audio_is_on_the_pds_once_a_record_there_names_it(
    published: Artist, proxy: FaultProxy
) -> None:
    def where() -> tuple[str, str | None]:
        track = published.client.track(published.track_id)
        return track["audio_storage"], track["pds_blob_cid"]

    proxy.on("putRecord", fault=answer(500, "InternalServerError"))

    assert published.asks(MIGRATE, prefer="wait=1").status_code == 202

    proxy.await_passed("putRecord")
    assert published.mirror["state"] == "pending"
    assert where() == ("service", None)
    proxy.heal()
    published.agreed()
    assert where() == ("both", published.client.track(published.track_id)["file_id"])


def test_inc_14_gated_audio_leaves_the_pds_and_ungated_audio_returns(
    full: Artist, new_artist: NewArtist
) -> None:
    before, track = told(full.record), full.client.track(full.track_id)
    assert httpx.get(track["audio_url"]).is_success

    full.edits(support_gate={"type": "any"})

    gated = told(full.agreed())
    assert gated["supportGate"] == {"type": "any"}
    assert "audioBlob" not in gated
    assert gated["audioUrl"] == full.client.track(full.track_id)["audio_url"]
    assert not full.blob_is_served(before)
    assert httpx.get(gated["audioUrl"]).status_code == 401
    assert new_artist(full.pds).client.http.get(gated["audioUrl"]).status_code == 402
    assert full.client.http.get(gated["audioUrl"]).is_success

    full.edits(support_gate=None)

    assert told(full.agreed()) == before
    assert httpx.get(before["audioUrl"]).is_success


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
