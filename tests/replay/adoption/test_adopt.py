"""Records that a PDS holds already become tracks: with proof of their bytes, once, and without a write."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from application.authorization import require_no_duplicate
from application.errors import DuplicateAudioError
from outbox.conflicts.conflicts import subjects_of_records
from outbox.pds.client import RecordKey, Remote
from outbox.pds.verdict import DEFAULT_PAUSE
from outbox.record.dag_cbor import record_cid
from outbox.tracks.record import RecordUrls, TrackRecords
from outbox.views.status import mirrors
from projections.reactions import comments, likes
from replay.adoption.record import read_record
from replay.errors import PdsBusyError, PdsTroubleError
from tests.dsl import A_RECORD, ALICE, BOB, COLLECTION, OLD_COLLECTION, a_track
from tests.e2e.foreign_catalogue import a_record, rkey
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST, audio_of
from tests.replay.adoption.rig import ELSEWHERE, SERVICE, AdoptRig, rig
from tests.servers.databases import ON_POSTGRES, ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]

LIKES = "fm.plyr.like"
FEATURES_LIMIT = "must be a list of objects with a `did`, and a `handle` if known"
THERE = f"{ELSEWHERE}/song.mp3"


def counts(progress: Any) -> tuple[int, int, int, int]:
    return progress.found, progress.known, progress.adopted, progress.refused


def errors(progress: Any) -> list[tuple[str, str | None]]:
    return [(each["error"], each.get("reason")) for each in progress.problems]


async def test_every_page_of_both_collections_comes_in_and_again_changes_nothing(rig: AdoptRig) -> None:
    for number in range(1, 9):
        rig.internet.record(number, OLD_COLLECTION if number % 2 else COLLECTION)
    assert counts(await rig.adopts()) == (8, 0, 8, 0)
    tracks = rig.tracks()
    assert set(tracks) == {f"Song {number}" for number in range(1, 9)}
    view = tracks["Song 3"]
    assert (view.collection, view.rkey, view.created_at) == (
        OLD_COLLECTION,
        rkey(3),
        "2019-05-04T12:03:07.5+02:00",
    )
    assert (view.blob.audio_cid, rig.mirror(view.track_id).state) == (view.audio.cid, "delivered")
    asked = len(rig.internet.asked)
    assert counts(await rig.adopts()) == (8, 8, 0, 0)
    assert all("listRecords" in each for each in rig.internet.asked[asked:])


async def test_records_of_a_kind_without_bytes_are_adopted_beside_tracks_or_refused(rig: AdoptRig) -> None:
    own = {"uri": rig.internet.record(1), "cid": A_RECORD["cid"]}
    for key, subject in (("one", own), ("other", A_RECORD), ("two", own), ("wrong", {**own, "cid": ""})):
        rig.internet.records[LIKES, key] = {
            "$type": LIKES, "subject": subject, "createdAt": "2019-05-04T12:03:07.5+02:00", "mood": "blue",
        }  # fmt: skip
    progress = await rig.adopts()
    assert (progress.known, progress.adopted + progress.refused) == (0, 5)
    progress = await rig.adopts()
    assert counts(progress) == (5, 3, 0, 2)
    assert {each["field"] for each in progress.problems} == {"subject"}
    with rig.database.read() as connection:
        known = subjects_of_records(connection, ALICE)
        subject = known[LIKES, "other"]
        assert mirrors(connection, ALICE, subject.kind, [subject.id])[subject.id].state == "delivered"
        [track] = (each.id for each in known.values() if each.kind == "track")
        rows = connection.execute(
            select(likes.c.track_id, likes.c.track_uri).order_by(likes.c.track_uri)
        ).all()
    assert rows == [(track, own["uri"]), (None, A_RECORD["uri"])]
    assert len({each.id for each in known.values()}) == 3


@ON_POSTGRES
async def test_a_record_that_the_database_cannot_hold_is_refused_and_no_other(rig: AdoptRig) -> None:
    first, *_ = [rig.internet.record(number).rpartition("/")[2] for number in range(1, 5)]
    with rig.cannot_hold("mirror_target", f"new.rkey = '{first}'"):
        progress = await rig.adopts()
    assert counts(progress) == (4, 0, 3, 1)
    assert progress.problems[0]["message"] == "record: the database cannot hold it"


async def test_comments_are_adopted_several_of_a_track_and_refused_where_their_text_is_none(
    rig: AdoptRig,
) -> None:
    own = {"uri": rig.internet.record(1), "cid": A_RECORD["cid"]}
    await rig.adopts()
    made_at = "2019-05-04T12:03:07.5+02:00"
    for key, text in (("one", "One"), ("two", "Two"), ("wrong", ""), ("none", None)):
        rig.internet.records["fm.plyr.comment", key] = {
            "$type": "fm.plyr.comment", "subject": own, "createdAt": made_at, "updatedAt": made_at,
            "text": text, "timestampMs": 61_000,
        }  # fmt: skip
    progress = await rig.adopts()
    assert (counts(progress), {each["field"] for each in progress.problems}) == ((5, 1, 2, 2), {"text"})
    with rig.database.read() as connection:
        texts = select(comments.c.text, comments.c.timestamp_ms, comments.c.created_at)
        rows = connection.execute(texts.order_by(comments.c.text)).all()
    assert rows == [("One", 61_000, made_at), ("Two", 61_000, made_at)]


async def test_a_list_of_more_than_is_kept_is_adopted_in_several_runs(
    rig: AdoptRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.adoption.adopt.MAX_KEPT_BYTES", 1)
    for number in range(1, 4):
        rig.internet.record(number)
    assert (await rig.adoption.preview(ALICE)).adopted == 3
    runs = [counts(await rig.adopts()) for _ in range(4)]
    assert runs == [(3, known, 1, 0) for known in range(3)] + [(3, 3, 0, 0)]


async def test_two_runs_side_by_side_make_each_track_once(rig: AdoptRig) -> None:
    for number in range(1, 7):
        rig.internet.record(number)
    one, two = await asyncio.gather(rig.adopts(), rig.adopts())
    assert one.adopted + two.adopted == len(rig.tracks()) == 6
    assert one.seen == two.seen == 6


async def test_several_records_may_have_the_same_audio_and_do_without_that_rule(rig: AdoptRig) -> None:
    blob = rig.internet.blob(samples.mp3(1))
    rig.internet.record(1, audioBlob=blob)
    rig.internet.record(2, audioBlob=blob)
    assert (await rig.adopts()).adopted == 2
    first, second = (rig.tracks()[f"Song {number}"] for number in (1, 2))
    with rig.log.unit_of_work(ALICE, ARTIST) as unit:
        track = unit.load(Track, Track.create_id(second.track_id))
        track.delete(at=unit.now)
        track.undelete(at=unit.now)
        unit.save(track)
        require_no_duplicate(unit.connection, ALICE, first.audio.cid, but=second.track_id)
        with pytest.raises(DuplicateAudioError):
            require_no_duplicate(unit.connection, ALICE, first.audio.cid)


async def test_a_duration_that_the_bytes_lack_is_the_records(rig: AdoptRig) -> None:
    rig.internet.record(1, audioBlob=rig.internet.blob(samples.file("live.webm")), duration=77)
    rig.internet.record(2, duration=77)
    await rig.adopts()
    assert [rig.tracks()[f"Song {number}"].audio.duration for number in (1, 2)] == [77, 2]


# Bytes


async def test_a_dead_address_beside_a_blob_does_no_harm(rig: AdoptRig) -> None:
    rig.internet.record(1, audioUrl=f"{SERVICE}/audio/gone.mp3", audioBlob=rig.internet.blob(samples.mp3(1)))
    assert errors(await rig.adopts()) == []
    assert rig.media.find(rig.tracks()["Song 1"].audio.cid) is not None


async def test_a_blob_that_is_gone_is_made_up_for_by_the_address_and_no_longer_named(rig: AdoptRig) -> None:
    blob = rig.internet.blob(samples.mp3(1))
    rig.internet.blobs.clear()
    rig.internet.record(1, audioBlob=blob, audioUrl=rig.internet.holds(THERE, samples.mp3(2)))
    assert errors(await rig.adopts()) == [("blob_missing", None)]
    assert rig.tracks()["Song 1"].blob is None


@pytest.mark.parametrize("same", [True, False])
async def test_other_bytes_do_not_stand_for_a_blob_that_the_pds_does_not_give_just_now(
    rig: AdoptRig, same: bool
) -> None:
    blob = rig.internet.blob(samples.mp3(1))
    rig.internet.blob_answers = [lambda: httpx.Response(502)]
    rig.internet.record(1, audioBlob=blob, audioUrl=rig.internet.holds(THERE, samples.mp3(1 if same else 2)))
    progress = await rig.adopts()
    assert errors(progress) == ([] if same else [("bytes_unavailable", "pds_trouble")])
    assert counts(await rig.adopts()) == (1, int(same), int(not same), 0)
    assert rig.tracks()["Song 1"].blob.ref == blob


async def test_bytes_that_are_not_the_blobs_are_no_proof(rig: AdoptRig) -> None:
    rig.internet.record(1, audioBlob=rig.internet.blob(samples.mp3(1), kept=samples.mp3(2)))
    assert errors(await rig.adopts()) == [("bytes_unavailable", "blob_mismatch")]
    assert rig.tracks() == {}


async def test_a_blob_larger_than_an_upload_may_be_is_not_asked_for(rig: AdoptRig) -> None:
    blob = {**rig.internet.blob(samples.mp3(1)), "size": 100_001}
    rig.internet.record(1, audioBlob=blob)
    assert errors(await rig.adopts()) == [("bytes_unavailable", "too_large")]
    assert not any("getBlob" in each for each in rig.internet.asked)


async def test_our_own_address_is_accepted_only_of_an_account_that_has_the_bytes_here(rig: AdoptRig) -> None:
    rig.internet.record(1)
    await rig.adopts()
    cid = rig.tracks()["Song 1"].audio.cid
    rig.internet.record(2, audioUrl=f"{SERVICE}/audio/{cid}.mp3")
    assert (await rig.adopts()).adopted == 1
    assert rig.tracks()["Song 2"].audio == rig.tracks()["Song 1"].audio
    assert not any(each.startswith(SERVICE) for each in rig.internet.asked)

    theirs = audio_of(samples.mp3(9))
    with rig.log.unit_of_work(BOB, ARTIST) as unit:
        unit.save(a_track(99, did=BOB, audio=theirs))
    rig.internet.record(3, audioUrl=f"{SERVICE}/audio/{theirs.cid}.mp3")
    assert errors(await rig.adopts()) == [("bytes_unavailable", "not_owned")]


async def test_no_redirect_leads_to_our_own_address(rig: AdoptRig) -> None:
    rig.internet.record(1)
    await rig.adopts()
    mine = f"{SERVICE}/audio/{rig.tracks()['Song 1'].audio.cid}.mp3"
    rig.internet.holds(mine, samples.mp3(1))
    rig.internet.addresses[THERE] = lambda: httpx.Response(302, headers={"location": mine})
    rig.internet.record(2, audioUrl=THERE)
    assert errors(await rig.adopts()) == [("bytes_unavailable", "unsafe_address")]
    assert mine not in rig.internet.asked


async def test_a_cover_comes_along_and_one_that_cannot_be_had_is_named_on(rig: AdoptRig) -> None:
    cover = rig.internet.holds(f"{ELSEWHERE}/cover.png", samples.png())
    text = rig.internet.holds(f"{ELSEWHERE}/cover.txt", b"no picture")
    rig.internet.record(1, imageUrl=cover)
    rig.internet.record(2, imageUrl=text)
    rig.internet.record(3, imageBlob={**rig.internet.blob(samples.png()), "mimeType": "image/png"})
    assert errors(await rig.adopts()) == [("artwork_unavailable", None)]
    tracks = rig.tracks()
    assert [tracks[f"Song {number}"].artwork is not None for number in (1, 2, 3)] == [True, False, True]
    assert [tracks[f"Song {number}"].image_url for number in (1, 2, 3)] == [None, text, None]


async def test_a_pds_that_gives_no_bytes_to_anybody_ends_the_run(rig: AdoptRig) -> None:
    for number in range(1, 13):
        rig.internet.record(number)
    rig.internet.blob_answers = [lambda: httpx.Response(503)] * 12
    with pytest.raises(PdsTroubleError):
        await rig.adopts()
    assert rig.tracks() == {}
    rig.internet.blob_answers = []
    assert counts(await rig.adopts()) == (12, 0, 12, 0)


async def test_a_pds_that_was_asked_for_too_much_ends_the_run_at_once(rig: AdoptRig) -> None:
    for number in range(1, 9):
        rig.internet.record(number)
    rig.internet.blob_answers = [lambda: httpx.Response(429)]
    for _ in range(2):
        with pytest.raises(PdsBusyError):
            await rig.adopts()
    rig.clock.ahead += DEFAULT_PAUSE
    progress = await rig.adopts()
    assert (progress.known + progress.adopted, progress.problems) == (8, [])


async def test_no_bytes_are_requested_from_a_pds_before_the_reset_that_it_named(rig: AdoptRig) -> None:
    rig.internet.record(1)
    limits = {"limit": "3000", "remaining": "10", "reset": "60", "policy": "3000;w=300"}
    headers = {f"ratelimit-{name}": value for name, value in limits.items()}
    rig.internet.blob_answers = [lambda: httpx.Response(200, content=samples.mp3(1), headers=headers)]
    assert counts(await rig.adopts()) == (1, 0, 1, 0)
    rig.internet.record(2)
    with pytest.raises(PdsBusyError):
        await rig.adopts()
    assert sum("getBlob" in each for each in rig.internet.asked) == 1
    rig.clock.ahead += timedelta(seconds=62)
    assert counts(await rig.adopts()) == (2, 1, 1, 0)


async def test_a_limit_of_where_the_pds_sends_us_for_its_blobs_is_not_the_pdss(rig: AdoptRig) -> None:
    rig.internet.record(1)
    there = f"{ELSEWHERE}/blob"
    rig.internet.addresses[there] = lambda: httpx.Response(429)
    rig.internet.blob_answers = [lambda: httpx.Response(302, headers={"location": there})]
    with pytest.raises(PdsBusyError):
        await rig.adopts()
    assert counts(await rig.adopts()) == (1, 0, 1, 0)


async def test_a_cover_that_the_pds_does_not_give_just_now_is_not_done_without(rig: AdoptRig) -> None:
    cover = {**rig.internet.blob(samples.png()), "mimeType": "image/png"}
    rig.internet.record(1, imageBlob=cover)
    data = samples.mp3(1)
    rig.internet.blob_answers = [lambda: httpx.Response(200, content=data), lambda: httpx.Response(502)]
    assert errors(await rig.adopts()) == [("bytes_unavailable", "pds_trouble")]
    assert errors(await rig.adopts()) == []
    assert rig.tracks()["Song 1"].artwork is not None


# Fields


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("duration", {"duration": 2**40}),
        (None, {"duration": True}),
        (None, {"title": "a title", "likes": "\0", "audioUrl": "https://x.test/\0"}),
    ],
)
async def test_one_record_that_no_track_can_hold_is_refused_and_all_others_are_adopted(
    rig: AdoptRig, field: str | None, fields: dict[str, Any]
) -> None:
    for number in range(1, 10):
        rig.internet.record(number)
    blob = rig.internet.blob(samples.file("live.webm"))
    rig.internet.record(4, audioBlob={**blob, "mimeType": "audio/webm"}, **fields)
    refused = field is not None
    progress = await rig.adopts()
    assert counts(progress) == (9, 0, 9 - refused, int(refused))
    assert [each.get("field") for each in progress.problems] == [field] * refused


async def test_a_key_that_atproto_does_not_know_is_refused_and_can_be_named(rig: AdoptRig) -> None:
    rig.internet.record(1)
    rig.internet.records[COLLECTION, "4\0"] = a_record(2, COLLECTION)
    progress = await rig.adopts()
    assert counts(progress) == (2, 0, 1, 1)
    [problem] = progress.problems
    assert (problem["field"], problem["uri"].endswith("/4\ufffd")) == ("rkey", True)


@pytest.mark.parametrize(
    ("fields", "field", "limit"),
    [
        ({"title": "t" * 257}, "title", "at most 256 bytes of UTF-8"),
        ({"title": ""}, "title", "must not be empty"),
        ({"title": 1}, "title", "must be a text"),
        ({"artist": None}, "artist", "must be a text"),
        ({"description": "d" * 5001}, "description", "at most 5000 bytes of UTF-8"),
        ({"createdAt": "yesterday"}, "created_at", "must be a time as in RFC 3339"),
        ({"features": [{"did": "nobody"}]}, "features", FEATURES_LIMIT),
        ({"features": [{"did": ALICE, "handle": "none"}]}, "features", FEATURES_LIMIT),
        ({"features": ["did:plc:carol"]}, "features", FEATURES_LIMIT),
        ({"labels": {"values": [{"val": "x" * 129}]}}, "self_labels", "at most 128 bytes of UTF-8"),
        ({"supportGate": {"type": "copyright"}}, "support_gate", "type must be one of: any"),
        ({"supportGate": "any"}, "support_gate", "must be an object with a `type`"),
        ({"audioBlob": {"cid": "x", "mimeType": "audio/mpeg"}}, "audioBlob", "must be a blob reference"),
        ({"audioUrl": 7}, "audio_url", "must be a text"),
        ({"imageUrl": "no url"}, "image_url", "/imageUrl: is not a uri: 'no url'"),
        ({"imageUrl": "https://x.test/\0.png"}, "image_url", "no NUL character"),
        ({"duration": 2**31}, "duration", f"at most {2**31 - 1} seconds"),
        ({"createdAt": f"2019-05-04T12:00:00.{'0' * 60}Z"}, "created_at", "must be a time as in RFC 3339"),
        ({"wave": 2**60}, "record", f"{2**60!r} cannot stand in a record"),
    ],
)
def test_a_field_that_no_track_can_hold_is_named_with_its_limit(
    fields: dict[str, Any], field: str, limit: str
) -> None:
    body = {**a_record(1, COLLECTION), **fields}
    cid = record_cid({**body, "wave": None})
    with pytest.raises(InvalidFieldError) as refused:
        read_record(
            RecordKey(ALICE, COLLECTION, "a"),
            Remote(cid if field == "record" else record_cid(body), body),
            TrackRecords(RecordUrls(SERVICE)),
        )
    assert (refused.value.field, refused.value.limit) == (field, limit)


def test_a_record_is_believed_only_under_its_cid() -> None:
    body = a_record(1, COLLECTION)
    other = Remote(record_cid({**body, "title": "x"}), body)
    with pytest.raises(InvalidFieldError, match="match its CID"):
        read_record(RecordKey(ALICE, COLLECTION, "a"), other, TrackRecords(RecordUrls(SERVICE)))


async def test_bytes_that_were_taken_down_make_no_track_and_no_cover(rig: AdoptRig) -> None:
    cover = f"{ELSEWHERE}/cover.png"
    rig.internet.holds(cover, samples.png())
    rig.internet.record(1, imageUrl=cover)
    await rig.adopts()
    (down,) = rig.tracks().values()
    rig.takes_down(down.track_id)
    rig.internet.record(2, audioBlob=rig.internet.blob(samples.mp3(1)))
    rig.internet.record(3, imageUrl=cover)
    progress = await rig.adopts()
    assert counts(progress) == (3, 1, 1, 1)
    assert sorted(each["error"] for each in progress.problems) == ["artwork_unavailable", "bytes_unavailable"]
    assert ("bytes_unavailable", "taken_down") in errors(progress)
    assert (rig.tracks()["Song 3"].artwork, rig.tracks()["Song 3"].image_url) == (None, cover)
