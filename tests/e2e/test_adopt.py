"""Adopting a catalogue from a real PDS: every record becomes a track, and none is written before its track changes."""

import os
from typing import Any

import pytest

from demo.service import Service
from demo.story import wait_for_delivery
from devpds.server import DevPds, DevPlc
from tests.dsl import COLLECTION, OLD_COLLECTION
from tests.e2e.adoption import ADOPT_PATH, adopts, ended, tracks_of
from tests.e2e.artist import Artist, verified
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.foreign_catalogue import OTHERS_FIELDS, a_record, catalogue, publish, rev, rkey, value_of
from tests.media_samples import samples
from tests.servers.atproto import new_account
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]

RECORDS = 1000 if os.environ.get("TEST_DEEP") else 30


def counts(report: dict[str, Any]) -> tuple[int, int, int, int]:
    return report["found"], report["known"], report["adopted"], report["refused"]


def delivered_record(artist: Artist) -> dict[str, Any]:
    """The record, once the PDS has what the track says."""
    assert wait_for_delivery(artist)["state"] == "delivered"
    record = artist.record
    assert record is not None
    return record


def test_a_whole_catalogue_comes_in_and_nothing_is_written(artist: Artist) -> None:
    did, pds = artist.did, artist.pds
    records = catalogue(pds, did, RECORDS)
    before = rev(pds, did)

    assert counts(adopts(artist)) == (RECORDS, 0, RECORDS, 0)

    tracks = tracks_of(artist)
    assert set(tracks) == {f"at://{did}/{collection}/{key}" for collection, key, _ in records}
    for collection, key, value in records:
        track = tracks[f"at://{did}/{collection}/{key}"]
        assert (track["title"], track["created_at"]) == (value["title"], value["createdAt"])
        assert (track["mirror"]["state"], track["audio_storage"]) == ("delivered", "both")
    found = verified(artist)
    assert (found["records"], found["drifts"], found["problem"]) == (RECORDS, [], None)

    assert counts(adopts(artist)) == (RECORDS, RECORDS, 0, 0)
    assert {uri: track["version"] for uri, track in tracks_of(artist).items()} == dict.fromkeys(tracks, 1)
    assert rev(pds, did) == before
    assert [value_of(pds, did, *where) for *where, _ in records[:3]] == [value for *_, value in records[:3]]


def test_the_first_change_writes_the_record_with_all_that_others_keep_in_it(artist: Artist) -> None:
    [(collection, key, value)] = catalogue(artist.pds, artist.did, 1, first=1)
    adopts(artist)
    [track] = tracks_of(artist).values()
    artist.track_id, artist.record_uri = track["id"], track["atproto_record_uri"]

    artist.edits(title="Changed")
    record = delivered_record(artist)
    kept = {name: record[name] for name in ("createdAt", "audioBlob", "artist", *OTHERS_FIELDS)}
    assert kept == {name: value[name] for name in kept}
    assert (artist.rkey, record["title"], record["audioUrl"]) == (key, "Changed", track["audio_url"])
    assert artist.client.http.get(track["audio_url"]).content == samples.mp3(1_000_001)
    assert collection == COLLECTION


def test_bytes_are_taken_with_proof_alone_and_what_has_none_is_named(
    artist: Artist, pds: DevPds, plc: DevPlc
) -> None:
    did = artist.did
    friend = new_account(pds, plc).did
    [(_, _, theirs)] = catalogue(pds, friend, 1, first=2)
    there = f"{pds.url}/xrpc/com.atproto.sync.getBlob?did={friend}&cid={theirs['audioBlob']['ref']['$link']}"
    own = artist.uploads()
    artist.agreed()
    blob = pds.upload_blob(did, samples.mp3(77), "audio/mpeg")
    service = str(artist.client.http.base_url).rstrip("/")
    dead = "https://127.0.0.1:1/gone.mp3"
    wanted: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
        "an address": ({"audioUrl": there}, None),
        "a dead address and a blob": ({"audioUrl": dead, "audioBlob": blob}, None),
        "our own address": ({"audioUrl": own["audio_url"]}, None),
        "an address of ours that nobody has": (
            {"audioUrl": f"{service}/audio/{theirs['audioBlob']['ref']['$link']}.mp3"},
            {"error": "bytes_unavailable", "reason": "not_owned"},
        ),
        "an address inside": (
            {"audioUrl": "http://169.254.169.254/latest"},
            {"error": "bytes_unavailable", "reason": "unsafe_address"},
        ),
        "no address": ({}, {"error": "bytes_unavailable", "reason": "nowhere"}),
        "no sound": (
            {"audioUrl": f"{pds.url}/xrpc/com.atproto.server.describeServer"},
            {"error": "bytes_unavailable", "reason": "invalid_media"},
        ),
        "a long title": (
            {"audioUrl": there, "title": "t" * 257},
            {"error": "invalid_field", "field": "title", "limit": "at most 256 bytes of UTF-8"},
        ),
        "a dead cover": ({"audioUrl": there, "imageUrl": dead}, {"error": "artwork_unavailable"}),
    }
    records = [
        (OLD_COLLECTION, rkey(100 + number), a_record(number, OLD_COLLECTION, **fields))
        for number, (fields, _) in enumerate(wanted.values())
    ]
    publish(pds, did, records)

    report = adopts(artist)

    named = {problem["uri"].rsplit("/", 1)[1]: problem for problem in report["problems"]}
    for (_, key, _), (what, (_, expected)) in zip(records, wanted.items(), strict=True):
        found = named.get(key)
        told = {name: found.get(name) for name in expected} if found and expected else found
        assert told == expected, what
    refused = sum(
        problem is not None and problem["error"] != "artwork_unavailable" for _, problem in wanted.values()
    )
    assert counts(report) == (len(records) + 1, 1, len(records) - refused, refused)
    covered = tracks_of(artist)[f"at://{did}/{OLD_COLLECTION}/{records[-1][1]}"]
    assert covered["image_url"] == dead
    assert verified(artist)["drifts"] == []


def test_a_service_that_dies_meanwhile_goes_on_with_it(artist: Artist, service: Service) -> None:
    catalogue(artist.pds, artist.did, 30)
    artist.client.http.post(ADOPT_PATH)
    until(lambda: len(tracks_of(artist)) > 0)
    service.kill()
    service.start()
    report = ended(artist)
    assert (report["found"], report["known"] + report["adopted"], report["refused"]) == (30, 30, 0)
    assert len(tracks_of(artist)) == 30
