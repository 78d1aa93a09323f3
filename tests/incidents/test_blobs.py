"""Audio on the PDS: it exists there once the record names it, and it comes and goes with the record."""

import threading

import httpx
import pytest

from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.conftest import NewArtist
from tests.faults.faults import answer, until
from tests.faults.proxy import FaultProxy
from tests.incidents.records import told

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
