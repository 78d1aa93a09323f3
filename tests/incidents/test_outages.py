"""A PDS that is down, fails or loses its response: only the record is late."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from demo.story import COLLECTION
from devpds.server import DevPds
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.conftest import NewArtist
from tests.e2e.eventually import eventually
from tests.faults.faults import answer, cut_after
from tests.faults.proxy import FaultProxy, of_repo
from tests.incidents.records import told, types

pytestmark = pytest.mark.pds


def test_inc_02_an_upload_that_the_pds_fails_is_pending_and_gets_its_record_by_itself(
    artist: Artist, proxy: FaultProxy
) -> None:
    proxy.on("putRecord", fault=answer(500, "InternalServerError"))

    track = artist.uploads()

    assert track["mirror"]["state"] == "pending"
    proxy.await_passed("putRecord", count=2)
    eventually(lambda: artist.mirror["reason"] == "backoff")
    assert artist.record is None
    proxy.heal()
    eventually(lambda: artist.record is not None)
    artist.agreed()


def test_inc_03_edits_are_taken_while_nothing_answers_at_the_pds(
    published: Artist, proxy: FaultProxy
) -> None:
    proxy.refuse()

    published.edits(title="Meanwhile")

    eventually(lambda: published.mirror["reason"] == "backoff")
    assert published.client.track(published.track_id)["title"] == "Meanwhile"
    assert told(published.record)["title"] == "First Take"
    proxy.accept()
    assert told(published.agreed())["title"] == "Meanwhile"


def test_inc_07_an_error_that_reads_like_not_found_is_no_deletion(
    published: Artist, proxy: FaultProxy
) -> None:
    broken = answer(502, "UpstreamFailure", "upstream not found (404)")
    proxy.on("deleteRecord", fault=broken, times=1)

    published.client.delete(published.track_id)

    assert published.agreed() is None
    deletes = [each for each in published.mirror["attempts"] if each["op"] == "delete"]
    assert [each["status"] for each in reversed(deletes)] == [502, 200]


def test_inc_20_an_unlisted_upload_whose_answer_is_lost_stays_one_track_and_unlisted(
    artist: Artist, proxy: FaultProxy
) -> None:
    proxy.on("putRecord", fault=cut_after, times=1)

    track = artist.uploads(unlisted="true")

    artist.agreed()
    assert len(proxy.passed("putRecord")) >= 2
    assert len(artist.pds.list_records(artist.did, COLLECTION)) == 1
    listed = {"artist": artist.did}
    assert artist.client.http.get("/tracks", params=listed).json()["items"] == [
        artist.client.track(artist.track_id)
    ]
    assert track["unlisted"]
    strangers = artist.client.http.get("/tracks", params=listed, headers={"authorization": ""})
    assert strangers.json()["items"] == []


def test_inc_26_a_rate_limit_delays_its_account_alone_and_until_it_ends(
    published: Artist, new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    neighbour = new_artist(proxied_pds)
    reset = int(time.time()) + 600
    told_of = {"Limit": 5000, "Remaining": 0, "Reset": reset, "Policy": "5000;w=3600"}
    headers = {f"RateLimit_{name}": value for name, value in told_of.items()}
    ours = of_repo(published.did)
    proxy.on("putRecord", fault=answer(429, "RateLimitExceeded", **headers), times=1, matches=ours)
    before = len(proxy.passed("putRecord", matches=ours))

    published.edits(title="Second Thoughts")

    eventually(lambda: published.mirror["reason"] == "paced")
    due = datetime.fromisoformat(published.mirror["next_attempt_at"])
    assert due >= datetime.fromtimestamp(reset, UTC) - timedelta(seconds=2)
    published.edits(title="Third Wind")
    later = published.mirror
    assert (later["reason"], later["next_attempt_at"]) == ("paced", due.isoformat().replace("+00:00", "Z"))
    neighbour.uploads()
    neighbour.agreed()
    assert len(proxy.passed("putRecord", matches=ours)) == before + 1


def test_inc_27_a_failure_has_a_reason_a_status_and_a_time(published: Artist, proxy: FaultProxy) -> None:
    proxy.on("putRecord", fault=answer(400, "InvalidRecord", "title: too funny"))

    published.edits(title="Second Thoughts")

    eventually(lambda: published.mirror["state"] == "rejected")
    mirror = published.mirror
    failed = mirror["attempts"][0]
    assert mirror["reason"] == "InvalidRecord"
    assert "too funny" in mirror["last_error"]
    assert (failed["error"], failed["status"]) == ("InvalidRecord", 400)
    assert failed["started_at"] <= failed["ended_at"]
    delivery = published.client.history(published.track_id)[-1]["delivery"]
    assert (delivery["status"], delivery["reason"]) == ("rejected", "InvalidRecord")


def test_inc_44_whatever_was_asked_for_while_the_pds_was_down_comes_later(
    published: Artist, proxy: FaultProxy
) -> None:
    """There are no likes and comments here; tags, and a copy of the audio, are what an edit may leave for later."""
    proxy.refuse()

    published.edits(tags=["late"], description="Told later.")
    assert published.asks(MIGRATE, prefer="wait=0").status_code == 202
    eventually(lambda: published.mirror["reason"] == "backoff")

    proxy.accept()
    record = told(published.agreed())
    assert record["description"] == "Told later."
    assert "audioBlob" in record
    assert published.client.track(published.track_id)["tags"] == ["late"]
    assert types(published).count("BlobMigrated") == 1
