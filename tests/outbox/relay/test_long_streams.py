"""What the delivery of an edit, or an upload, decodes does not grow with the events of the track."""

import pytest

from aggregates.tracks.track import Track
from eventstore.event_log import EventLog
from eventstore.streams.codec import Codec
from eventstore.streams.snapshots import EVENTS_PER_SNAPSHOT, Snapshots
from outbox.record.kind import GENERATION
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import foreign_put, verified
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.uploads import blob_cid, request_blob, track_of
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
EVENTS = 150
FEW = 8


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of the events that were decoded since the list was emptied."""
    topics: list[str] = []
    decode = Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda self, row: topics.append(row.topic) or decode(self, row))
    return topics


def edited_often(desk: Rig) -> Track:
    desk.upload()
    for number in range(EVENTS):
        track = desk.edit(title=f"Edit {number}")
    return track


@pytest.mark.parametrize("is_of_another_process", [False, True])
async def test_a_delivery_decodes_the_events_since_the_acknowledged_one(
    desk: Rig, decoded: list[str], is_of_another_process: bool
) -> None:
    if is_of_another_process:  # the relay keeps its log, and its cache
        desk.log = EventLog(desk.database, projections=Rig.PROJECTIONS)
    track = edited_often(desk)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    desk.edit(title="The last")
    decoded.clear()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert 0 < len(decoded) < FEW
    assert (desk.remote(track) or {})["title"] == "The last"


async def test_an_upload_decodes_the_events_since_the_acknowledged_one(desk: Rig, decoded: list[str]) -> None:
    track = edited_often(desk)
    await desk.relay_once()
    request_blob(desk)
    decoded.clear()
    await desk.relay_once()
    assert 0 < len(decoded) < 3 * FEW
    assert blob_cid(desk, track) == track_of(desk).audio.cid


async def test_a_record_that_was_never_acknowledged_decodes_few_of_its_events(
    desk: Rig, decoded: list[str]
) -> None:
    track = edited_often(desk)
    decoded.clear()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert 0 < len(decoded) < FEW
    assert (desk.remote(track) or {})["title"] == f"Edit {EVENTS - 1}"


@pytest.mark.parametrize("generation", [1, 2**53 - 1, -1])
async def test_another_clients_record_that_names_any_generation_decodes_the_events_since_a_snapshot(
    desk: Rig, decoded: list[str], generation: int
) -> None:
    desk.log = EventLog(desk.database, projections=(*Rig.PROJECTIONS, Snapshots()))
    track = edited_often(desk)
    await desk.relay_once()
    foreign_put(desk, track, title="Theirs", **{GENERATION: generation})
    decoded.clear()
    await verified(desk)
    assert len(decoded) < EVENTS_PER_SNAPSHOT + FEW
    assert (desk.remote(track) or {})["title"] == "Theirs"
