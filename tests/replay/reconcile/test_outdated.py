"""After an address of the service has changed, every record that it wrote is rewritten, and no other."""

import pytest
from sqlalchemy import select

from outbox.mirror.tables import mirror_target
from outbox.pds.verdict import PUT_POINTS
from outbox.tracks.record import RecordUrls, TrackRecords
from replay.reconcile.drift import DriftKind, Repair
from replay.reconcile.outdated import sample_outdated
from tests.dsl import BOB, COLLECTION, some_artwork
from tests.outbox.conflicts.test_adopted import adopts
from tests.outbox.conftest import desk as rig
from tests.outbox.rigs.relay_rig import URLS, Rig
from tests.outbox.rigs.replays import OPERATOR, apply, planned
from tests.servers.databases import ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]

MOVED = RecordUrls("http://127.0.0.1:9000")
PUBLIC = RecordUrls("http://127.0.0.1:8000", "http://127.0.0.1:9001/public")


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
    tracks = [rig.upload(number, artwork=some_artwork()) for number in (2, 3)]
    await rig.relay_once()
    adopted = adopts(rig)
    before = {track.rkey: rig.remote(track) for track in (*tracks, adopted)}
    assert (await planned(rig)).steps == ()
    assert sample_outdated(rig.log, rig.kinds) is None

    rig.has_addresses(urls)
    found = sample_outdated(rig.log, rig.kinds)
    assert found is not None
    assert found.subject_id in {2, 3}
    plan = await planned(rig)
    assert [(step.track_id, step.kind, step.repair) for step in plan.steps] == [
        (number, DriftKind.OUTDATED, Repair.REWRITE) for number in (2, 3)
    ]
    assert plan.counts.points == 2 * PUT_POINTS
    assert plan.seconds > 0
    rig.wire.sent.clear()
    events = len(rig.log.read(after=0, until=10**9, limit=100))

    apply(rig.log, plan, OPERATOR)
    behind = rig.rows(select(mirror_target.c.subject_id).where(mirror_target.c.backfill))
    assert {row.track_id for row in behind} == {2, 3}
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
    adopts(rig)
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
