"""After any commands the rows say what the fold of the log says."""

from collections.abc import Callable
from datetime import datetime
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from aggregates.errors import TrackError
from aggregates.track import Track, media_cids
from aggregates.values import SupportGate
from eventstore.event_log import EventLog
from projections.history import history_page
from projections.media_references import media_references
from projections.read_models import READ_MODELS
from projections.rebuild.rebuild import differences, rebuild
from projections.track_queries import track_by_id
from projections.track_tags import track_tags
from projections.track_view import TrackView
from projections.visible_state import visible_state
from tests.dsl import ALICE, Step, some_artwork, some_audio, some_blob, some_feature, some_time
from tests.projections.tape import ENVELOPE, live_rows, upload

IDS = count(1)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=5)
METADATA_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXT,
        "album": st.none() | TEXT,
        "description": st.none() | TEXT,
        "tags": st.lists(TEXT, unique=True, max_size=3).map(tuple),
        "features": st.lists(TEXT.map(some_feature), unique=True, max_size=2).map(tuple),
        "self_labels": st.lists(TEXT, unique=True, max_size=2).map(tuple),
    },
)
NUMBERS = st.integers(1, 3)


def _at(make: Callable[..., Step], *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.builds(make, *arguments)


# Audio is numbered within the track: two tracks of an artist never have the same.
STEPS: st.SearchStrategy[Step] = st.one_of(
    _at(lambda changes: lambda t: t.update_metadata(changes, at=some_time(1)), METADATA_CHANGES),
    _at(lambda n: lambda t: t.replace_audio(some_audio(1000 * t.track_id + n), at=some_time(2)), NUMBERS),
    _at(lambda n: lambda t: t.replace_artwork(some_artwork(n), at=some_time(3)), NUMBERS),
    _at(lambda on: lambda t: t.set_unlisted(on, at=some_time(4)), st.booleans()),
    _at(
        lambda on: lambda t: t.set_support_gate(SupportGate("any") if on else None, at=some_time(5)),
        st.booleans(),
    ),
    _at(lambda final: lambda t: t.record_blob_failure("x", final=final, at=some_time(6)), st.booleans()),
    st.sampled_from(
        [
            lambda t: t.remove_artwork(at=some_time(7)),
            lambda t: t.request_blob_migration(at=some_time(8)),
            lambda t: t.record_blob(some_blob(t.audio), at=some_time(9)),
            lambda t: t.record_missing(observed_at=some_time(10)),
            lambda t: t.restore_record(at=some_time(11)),
            lambda t: t.delete(at=some_time(12)),
            lambda t: t.undelete(at=some_time(13)),
        ]
    ),
)
UNITS = st.lists(st.tuples(st.integers(0, 1), st.lists(STEPS, min_size=1, max_size=4)), max_size=8)
"""Commands by unit of work, for the one or the other of two tracks."""


def command(log: EventLog, track_id: int, steps: list[Step]) -> None:
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        track = unit.load(Track, Track.create_id(track_id))
        for step in steps:
            try:
                step(track)
            except TrackError:
                continue
        unit.save(track)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=UNITS, page=st.integers(1, 9))
def test_after_any_commands_the_rows_are_the_fold(
    log: EventLog, units: list[tuple[int, list[Step]]], page: int
) -> None:
    ids = [next(IDS), next(IDS)]
    for track_id in ids:
        upload(log, track_id, audio=some_audio(1000 * track_id + 1))
    for index, steps in units:
        command(log, ids[index], steps)
    for track_id in ids:
        rows_are_the_fold(log, track_id)
    rows = live_rows(log)
    with log.database.write() as connection:
        for table in (each.live for projection in reversed(READ_MODELS) for each in projection.tables):
            connection.execute(table.delete())
    rebuild(log, READ_MODELS, page=page)
    assert live_rows(log) == rows
    assert differences(log, READ_MODELS, page=page) == []


def rows_are_the_fold(log: EventLog, track_id: int) -> None:
    with log.database.read() as connection:
        recorded = log.stream(connection, Track.create_id(track_id))
        states = [log.fold(Track, recorded[: n + 1]) for n in range(len(recorded))]
        track = states[-1]
        assert track is not None
        assert track_by_id(connection, track_id) == TrackView.of(track)
        tags = connection.scalars(select(track_tags.c.tag).where(track_tags.c.track_id == track_id))
        assert set(tags) == set(track.tags)
        told: dict[str, object] = {}
        page = history_page(connection, track_id, newest_first=False, limit=100)
        for entry, state, event in zip(page.items, states, recorded, strict=True):
            for each in entry.changes:
                assert told.get(each["field"]) == each["before"]
                told[each["field"]] = each["after"]
            assert {k: v for k, v in told.items() if v is not None} == {
                k: v for k, v in visible_state(state).items() if v is not None
            }
            assert (entry.version, entry.type) == (event.version, type(event.event).__name__)
        references = connection.execute(
            select(media_references).where(media_references.c.track_id == track_id)
        )
        assert {row.cid: row.released_at for row in references} == releases(
            [(state, event.recorded_at) for state, event in zip(states, recorded, strict=True)]
        )


def releases(states: list[tuple[Track | None, datetime]]) -> dict[str, datetime | None]:
    """Tell of each CID that was ever named when it was last let go of, said the slow way."""
    ended: dict[str, datetime | None] = {}
    for state, at in states:
        assert state is not None
        live = set(media_cids(state)) if state.deleted_at is None else set()
        for cid in {*ended, *live}:
            ended[cid] = None if cid in live else ended.get(cid) or at
    return ended
