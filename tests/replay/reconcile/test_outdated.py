"""After an address of the service has changed, every record that it wrote is rewritten, and no other."""

from functools import partial

import httpx
import pytest
from sqlalchemy import select

from aggregates.tracks.track import Track
from eventstore.change import Envelope
from outbox.mirror.tables import mirror_target
from outbox.pds.client import Pds, RecordKey
from outbox.pds.verdict import PUT_POINTS
from outbox.relay.result import acknowledge_as_found
from outbox.repo.reads import RepoReads
from outbox.tracks.record import RecordUrls, TrackRecords
from replay.reconcile.drift import DriftKind, Repair
from replay.reconcile.outdated import outdated_records, sample_outdated
from replay.reconcile.verify import Verifier, repos_of
from replay.repair.plan import Plan, plan_for
from tests.dsl import BOB, COLLECTION, an_adopted_track, some_artwork
from tests.outbox.rigs.relay_rig import ARTIST, URLS, Rig
from tests.outbox.rigs.replays import apply
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, pytest.mark.pds, ON_SQLITE]

OPERATOR = Envelope(actor="operator", via="cli", request_id="r")
MOVED = RecordUrls("http://127.0.0.1:9000")
PUBLIC = RecordUrls("http://127.0.0.1:8000", "http://127.0.0.1:9001/public")


async def planned(rig: Rig) -> Plan:
    async with httpx.AsyncClient() as http:
        reads = RepoReads(Pds(rig.wire, http))
        [repo] = repos_of(rig.database)
        of = partial(outdated_records, rig.log, rig.kinds)
        found = await Verifier(rig.database, reads, outdated=of).compare(repo)
    return plan_for(found.drifts)


async def adopts(rig: Rig, number: int) -> Track:
    body = {
        "$type": COLLECTION,
        "title": "Theirs",
        "artist": "Alice",
        "audioUrl": "https://elsewhere.test/a.mp3",
    }
    body |= {"fileType": "mp3", "createdAt": "2026-01-01T00:00:00Z"}
    track = an_adopted_track(
        number,
        did=rig.did,
        collection=COLLECTION,
        rkey="3kadopted22222",
        image_url="https://elsewhere.test/a.png",
    )
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, body)
    found = rig.pds.get_record(rig.did, COLLECTION, track.rkey)
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        unit.save(track)
        key = RecordKey(rig.did, COLLECTION, track.rkey)
        [gen] = unit.connection.scalars(
            select(mirror_target.c.desired_gen).where(mirror_target.c.rkey == track.rkey)
        )
        acknowledge_as_found(unit.connection, key, gen, (found["cid"], found["value"]), rig.clock())
    return track


async def test_a_sample_is_of_the_records_of_all_accounts(rig: Rig) -> None:
    rig.sign_in(BOB)
    rig.upload(1)
    rig.upload(2, did=BOB)
    await rig.relay_once()
    assert sample_outdated(rig.log, rig.kinds) is None
    rig.has_addresses(MOVED)
    assert sample_outdated(rig.log, rig.kinds) is not None


@pytest.mark.parametrize(
    ("urls", "audio", "image"),
    [
        (MOVED, "http://127.0.0.1:9000/audio/", "http://127.0.0.1:9000/artwork/"),
        (PUBLIC, "http://127.0.0.1:9001/public/", "http://127.0.0.1:8000/artwork/"),
    ],
)
async def test_a_changed_address_is_counted_priced_and_rewritten_behind_live_work(
    rig: Rig, urls: RecordUrls, audio: str, image: str
) -> None:
    tracks = [rig.upload(number, artwork=some_artwork()) for number in (1, 2)]
    await rig.relay_once()
    adopted = await adopts(rig, 3)
    before = {track.rkey: rig.remote(track) for track in (*tracks, adopted)}
    assert (await planned(rig)).steps == ()
    assert sample_outdated(rig.log, rig.kinds) is None

    rig.has_addresses(urls)
    found = sample_outdated(rig.log, rig.kinds)
    assert found is not None
    assert found.subject_id in {1, 2}
    plan = await planned(rig)
    assert [(step.track_id, step.kind, step.repair) for step in plan.steps] == [
        (number, DriftKind.OUTDATED, Repair.REWRITE) for number in (1, 2)
    ]
    assert plan.counts.points == 2 * PUT_POINTS
    assert plan.seconds > 0
    rig.wire.sent.clear()
    events = len(rig.log.read(after=0, until=10**9, limit=100))

    apply(rig.log, plan, OPERATOR)
    behind = rig.rows(select(mirror_target.c.subject_id).where(mirror_target.c.backfill))
    assert {row.track_id for row in behind} == {1, 2}
    await rig.relay_once()

    for track in tracks:
        record, was = rig.remote(track), before[track.rkey]
        assert record["audioUrl"].startswith(audio)
        assert record["imageUrl"].startswith(image)
        assert {**record, "audioUrl": "", "imageUrl": ""} == {**was, "audioUrl": "", "imageUrl": ""}
    assert rig.remote(adopted) == before[adopted.rkey]
    assert [name for name, _ in rig.wire.sent] == ["putRecord"] * 2
    assert len(rig.log.read(after=0, until=10**9, limit=100)) == events
    assert (await planned(rig)).steps == ()
    assert sample_outdated(rig.log, rig.kinds) is None


async def test_an_adopted_record_gets_our_addresses_with_its_first_change_and_is_drift_from_then_on(
    rig: Rig,
) -> None:
    await adopts(rig, 1)
    rig.has_addresses(MOVED)
    assert (await planned(rig)).steps == ()
    rig.edit(1, title="ours now")
    await rig.relay_once()
    rig.has_addresses(URLS)
    assert [step.kind for step in (await planned(rig)).steps] == [DriftKind.OUTDATED]


async def test_fields_of_other_clients_survive_the_rewrite(rig: Rig) -> None:
    track = rig.upload(1)
    await rig.relay_once()
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, {**rig.remote(track), "theirs": 1})
    rig.has_addresses(MOVED)
    apply(rig.log, await planned(rig), OPERATOR)
    await rig.relay_once()
    record = rig.remote(track)
    assert record["theirs"] == 1
    assert record["audioUrl"].startswith(MOVED.base_url)
    assert (await planned(rig)).steps == ()


async def test_a_changed_mapping_is_drift_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    track = rig.upload(1, album="Demos")
    await rig.relay_once()
    record_of = TrackRecords.record_of
    monkeypatch.setattr(TrackRecords, "record_of", lambda *given: {**record_of(*given), "album": "Another"})
    assert [step.kind for step in (await planned(rig)).steps] == [DriftKind.OUTDATED]
    apply(rig.log, await planned(rig), OPERATOR)
    await rig.relay_once()
    assert rig.remote(track)["album"] == "Another"
