"""A relay leaves to a newer release what only that one knows: it fails nothing, and sends nothing any more."""

import logging

import pytest
from sqlalchemy import Table, select, update

from aggregates.tracks.track import Track
from eventstore.sql.schema import stored_event
from outbox.mirror.states import LaneState
from outbox.mirror.tables import NEVER, mirror_lane, mirror_target
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered, sent
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.replays import edited
from tests.outbox.rigs.rows import lane_row
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
MANY = 8


def of_a_newer_release(desk: Rig, track: Track) -> str:
    """Make the track's newest event one of a topic that nobody here knows, and return its topic."""
    newest = select(stored_event).where(stored_event.c.originator_id == str(track.id))
    row = desk.rows(newest.order_by(stored_event.c.position.desc()))[0]
    this = stored_event.c.position == row.position
    desk.execute(update(stored_event).where(this).values(topic="track.dreamed.v1"))
    desk.log.cache._states.clear()  # noqa: SLF001 - another process has appended it
    return str(row.topic)


def known_again(desk: Rig, topic: str) -> None:
    """As in a process of the newer release."""
    unknown = stored_event.c.topic == "track.dreamed.v1"
    desk.execute(update(stored_event).where(unknown).values(topic=topic))
    desk.log.newer_release = None


@ON_BOTH
@pytest.mark.parametrize("records", [1, MANY], ids=["alone", "in a batch"])
async def test_a_record_with_an_event_of_an_unknown_topic_is_left_as_it_is(
    desk: Rig, caplog: pytest.LogCaptureFixture, records: int
) -> None:
    track, *_ = await edited(desk, records)
    topic = of_a_newer_release(desk, track)
    targets, lane = desk.rows(select(mirror_target)), lane_row(desk.database, desk.did)

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await desk.relay_once()

    this = next(each for each in targets if each.track_id == track.track_id)
    assert this in desk.rows(select(mirror_target))
    after = lane_row(desk.database, desk.did)
    assert (after.state, after.failures, after.lease_owner) == (LaneState.READY, lane.failures, None)
    assert {record.getMessage() for record in caplog.records} == {"relay_outdated"}
    assert "track.dreamed.v1" in caplog.records[0].__dict__["reason"]

    known_again(desk, topic)
    await desk.relay_once()
    assert desk.mirror(track.track_id).state == "delivered"


async def test_what_was_sent_before_is_settled(desk: Rig) -> None:
    first, second = await edited(desk, 2)
    topic = of_a_newer_release(desk, second)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert (desk.mirror(first.track_id).state, len(sent(desk))) == ("delivered", 1)

    known_again(desk, topic)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_record_of_an_unknown_kind_is_left_as_it_is(desk: Rig) -> None:
    await delivered(desk)
    desk.edit(1, title="New")
    desk.execute(update(mirror_target).values(kind="dream"))
    before = desk.rows(select(mirror_target))
    assert await desk.relay_once() == {}
    assert (desk.rows(select(mirror_target)), lane_row(desk.database, desk.did).failures) == (before, 0)


@pytest.mark.parametrize("table", [mirror_target, mirror_lane], ids=["target", "lane"])
async def test_what_waits_in_an_unknown_state_is_left_as_it_is(desk: Rig, table: Table) -> None:
    await delivered(desk)
    desk.edit(1, title="New")
    failed = {"failed_gen": mirror_target.c.desired_gen} if table is mirror_target else {}
    desk.execute(update(table).values(state="dreaming", not_before=NEVER, **failed))
    before = desk.rows(select(table))
    for _ in range(3):
        assert await desk.relay_once() == {}
        desk.clock.advance(hours=25)
    [after] = desk.rows(select(table))
    assert (after.state, after.not_before) == ("dreaming", NEVER)
    assert table is mirror_lane or [after] == before
