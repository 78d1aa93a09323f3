"""After any commands the rows say what the fold of the log says."""

import os
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from aggregates.tracks.track import Track, media_cids
from eventstore.event_log import EventLog
from eventstore.sql.schema import stored_event
from projections.history import changes_between, history_page
from projections.media_references import media_references
from projections.rebuild.rebuild import differences, rebuild
from projections.tracks.table import TrackView, track_tags, tracks
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE, Step
from tests.projections.random_commands import UNITS, tell
from tests.projections.track_log import live_rows

EXAMPLES = 100 if os.environ.get("TEST_DEEP") else 10


@settings(max_examples=EXAMPLES)
@given(units=UNITS, page=st.integers(1, 9))
def test_after_any_commands_the_rows_are_the_fold(
    log: EventLog, units: list[tuple[int, list[Step]]], page: int
) -> None:
    clear(log)  # a rebuild would take longer with each example
    for track_id in tell(log, units):
        rows_are_the_fold(log, track_id)
    rows = live_rows(log)
    clear_rows(log)
    rebuild(log, READ_MODELS, page=page)
    assert live_rows(log) == rows
    assert differences(log, READ_MODELS, page=page) == []


def clear(log: EventLog) -> None:
    clear_rows(log)
    with log.database.write() as connection:
        connection.execute(stored_event.delete())


def clear_rows(log: EventLog) -> None:
    with log.database.write() as connection:
        for table in (each.live for projection in reversed(READ_MODELS) for each in projection.tables):
            connection.execute(table.delete())


def rows_are_the_fold(log: EventLog, track_id: int) -> None:
    with log.database.read() as connection:
        recorded = log.stream(connection, ALICE, Track.create_id(track_id))
        states = [log.fold(Track, recorded[: n + 1]) for n in range(len(recorded))]
        track = states[-1]
        assert track is not None
        row = connection.execute(select(tracks).where(tracks.c.track_id == track_id)).one()
        assert TrackView.from_row(row) == TrackView.of(track)
        tags = connection.scalars(select(track_tags.c.tag).where(track_tags.c.track_id == track_id))
        assert set(tags) == set(track.tags)
        shown: dict[str, object] = {}
        page = history_page(connection, track.did, track_id, newest_first=False, limit=100)
        for entry, state, event in zip(page.items, states, recorded, strict=True):
            for each in entry.changes:
                assert shown.get(each["field"]) == each["before"]
                shown[each["field"]] = each["after"]
            assert {k: v for k, v in shown.items() if v is not None} == {
                each["field"]: each["after"] for each in changes_between(None, state)
            }
            assert (entry.version, entry.type) == (event.version, type(event.event).__name__)
        references = connection.execute(
            select(media_references).where(media_references.c.track_id == track_id)
        )
        assert {row.cid: row.released_at for row in references} == releases(
            [(state, event.recorded_at) for state, event in zip(states, recorded, strict=True)]
        )


def releases(states: list[tuple[Track | None, datetime]]) -> dict[str, datetime | None]:
    """Return, for each CID that was ever named, when it was last released; computed the slow way."""
    ended: dict[str, datetime | None] = {}
    for state, at in states:
        assert state is not None
        live = set(media_cids(state)) if state.deleted_at is None else set()
        for cid in {*ended, *live}:
            ended[cid] = None if cid in live else ended.get(cid) or at
    return ended
