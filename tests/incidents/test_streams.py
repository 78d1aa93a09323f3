"""What comes back from the network is a hint: the log is the truth, and it does not matter when what is heard."""

import asyncio

import pytest

from demo.story import COLLECTION
from tests.e2e.artist import MIGRATE, Artist
from tests.faults.exchange import Exchange
from tests.faults.proxy import FaultProxy
from tests.incidents.records import told, types

pytestmark = pytest.mark.pds


def test_inc_38_what_an_upload_asks_for_is_done_though_its_record_is_seen_before_its_answer(
    artist: Artist, proxy: FaultProxy
) -> None:
    """The record is on the PDS, the network has seen it, and the service has not yet heard that it is."""

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
