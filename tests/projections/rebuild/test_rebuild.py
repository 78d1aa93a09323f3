"""A rebuild makes the live rows what the log says, and touches no others."""

from collections.abc import Sequence

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
    text,
    update,
)

from aggregates.track import Track
from eventstore.append import upsert
from eventstore.change import Change
from eventstore.errors import NestedUnitError, OutdatedProjectionError
from eventstore.event_log import EventLog
from eventstore.projection import Into, ProjectedTable
from eventstore.schema import projection_state
from projections.rebuild.difference import DifferenceKind
from projections.rebuild.rebuild import differences, rebuild
from projections.rebuild.scratch import run_under_way
from projections.tracks.table import Tracks, track_tags, tracks
from service.schema.tables import READ_MODELS
from tests.dsl import BOB, a_track, some_time
from tests.projections.rebuild.damage import (
    DAMAGE,
    TABLES,
    named,
    record_a_story,
    touched_by,
    vandalise,
)
from tests.projections.track_log import change, live_rows, upload


class PowerCutError(Exception):
    """The process ends here."""


def test_untouched_rows_do_not_differ_from_the_log(log: EventLog) -> None:
    record_a_story(log)
    assert differences(log, READ_MODELS, page=3) == []


@pytest.mark.parametrize("page", [1, 2, 3, 7, 500])
def test_any_page_size_makes_the_same_rows(log: EventLog, page: int) -> None:
    rows = record_a_story(log)
    with log.database.write() as connection:
        for table in reversed(TABLES):
            connection.execute(delete(table))
    result = rebuild(log, READ_MODELS, page=page)
    assert live_rows(log) == rows
    assert result.rows == {name: len(table) for name, table in rows.items()}
    assert result.position == rows["history"][-1]["position"]


def test_an_empty_log_makes_empty_tables(log: EventLog) -> None:
    with log.database.write() as connection:
        connection.execute(insert(TABLES[-1]).values(track_id=77, cid="x", did=BOB))
    assert rebuild(log, READ_MODELS).position == 0
    assert not any(live_rows(log).values())


def test_verification_names_each_differing_row_and_changes_nothing(log: EventLog) -> None:
    record_a_story(log)
    vandalise(log)
    damaged = live_rows(log)
    found = differences(log, READ_MODELS)
    assert named(found) == DAMAGE
    assert [each.columns["title"] for each in found if "title" in each.columns] == [("?", "new")]
    assert live_rows(log) == damaged


def test_a_rebuild_repairs_the_differing_rows_and_touches_no_others(log: EventLog) -> None:
    rows = record_a_story(log)
    vandalise(log)
    touched = touched_by(log, lambda: rebuild(log, READ_MODELS))
    assert live_rows(log) == rows
    assert touched == {(name, key) for name, kind, key in DAMAGE if kind is not DifferenceKind.SURPLUS}


def test_a_rebuild_counts_the_rows_that_it_repaired(log: EventLog) -> None:
    record_a_story(log)
    vandalise(log)
    counts = {"tracks": 3, "track_tags": 3, "history": 2, "media_references": 1}
    assert rebuild(log, READ_MODELS).rows == counts
    assert rebuild(log, READ_MODELS).rows == dict.fromkeys(counts, 0)


def test_parents_come_before_their_children_and_go_after_them(log: EventLog) -> None:
    rows = record_a_story(log)
    with log.database.write() as connection:
        connection.execute(delete(track_tags).where(track_tags.c.track_id == 2))
        connection.execute(delete(tracks).where(tracks.c.track_id == 2))
        copied = dict(connection.execute(select(tracks).where(tracks.c.track_id == 3)).mappings().one())
        connection.execute(insert(tracks).values({**copied, "track_id": 99, "rkey": "z", "audio_cid": "z"}))
        connection.execute(insert(track_tags).values(track_id=99, tag="a", did=BOB))
    rebuild(log, READ_MODELS)
    assert live_rows(log) == rows


def test_a_deleted_row_that_seems_live_makes_way_for_the_live_one(log: EventLog) -> None:
    upload(log, 1)
    change(log, 1, lambda t: t.delete(at=some_time(5)))
    upload(log, 2, audio=a_track(1).audio)
    rows = live_rows(log)
    with log.database.write() as connection:
        for track_id, deleted_at in ((2, some_time(9)), (1, None)):
            connection.execute(
                update(tracks).where(tracks.c.track_id == track_id).values(deleted_at=deleted_at)
            )
    rebuild(log, READ_MODELS)
    assert live_rows(log) == rows


@pytest.mark.parametrize("crash_at", [1, 2, 5])
def test_a_crash_between_pages_leaves_nothing_that_the_next_run_does_not_clear(
    log: EventLog, crash_at: int
) -> None:
    rows = record_a_story(log)
    vandalise(log)
    damaged = live_rows(log)
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        calls.append((done, total))
        if len(calls) == crash_at:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        rebuild(log, READ_MODELS, page=3, progress=progress)
    assert live_rows(log) == damaged
    rebuild(log, READ_MODELS, page=3)
    assert live_rows(log) == rows


def test_a_crash_in_the_last_step_leaves_every_row_as_it_was(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = record_a_story(log)
    vandalise(log)
    damaged = live_rows(log)

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr("projections.rebuild.rebuild.write_difference", cut)
        with pytest.raises(PowerCutError):
            rebuild(log, READ_MODELS)
    assert live_rows(log) == damaged
    rebuild(log, READ_MODELS)
    assert live_rows(log) == rows


def test_progress_reaches_the_position_of_the_last_event(log: EventLog) -> None:
    last = record_a_story(log)["history"][-1]["position"]
    calls: list[tuple[int, int]] = []
    rebuild(log, READ_MODELS, page=5, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(5, last), (10, last), (last, last)]


def test_a_rebuild_heals_rows_that_other_code_made(log: EventLog) -> None:
    upload(log, 1)
    newer = Tracks()
    newer.fingerprint = "newer"
    log = EventLog(log.database, projections=[newer])
    with pytest.raises(OutdatedProjectionError):
        upload(log, 2)
    rebuild(log, [newer])
    upload(log, 2)
    with log.database.read() as connection:
        state = select(projection_state.c.fingerprint).where(projection_state.c.name == "tracks")
        assert connection.scalar(state) == "newer"
        assert run_under_way(connection) is None


def test_two_runs_at_once_make_the_same_rows(log: EventLog) -> None:
    rows = record_a_story(log)
    vandalise(log)
    runs: list[int] = []

    def progress(done: int, _total: int) -> None:
        runs.append(done)
        if len(runs) == 2:
            rebuild(log, READ_MODELS)

    rebuild(log, READ_MODELS, page=3, progress=progress)
    assert live_rows(log) == rows


def test_a_rebuild_inside_a_transaction_is_refused(log: EventLog) -> None:
    with log.database.write(), pytest.raises(NestedUnitError):
        rebuild(log, READ_MODELS)


class Seen:
    """A projection of another package: its title is derived, its note was observed."""

    name = "seen"
    fingerprint = "1"

    def __init__(self) -> None:
        self.table = Table(
            "seen",
            MetaData(),
            Column("track_id", Integer, primary_key=True, autoincrement=False),
            Column("title", Text, nullable=False),
            Column("note", Text, nullable=False, server_default=text("'none'")),
        )
        self.tables = (ProjectedTable(self.table, derived=("title",)),)

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        for each in changes:
            assert isinstance(each.after, Track)
            row = {"track_id": each.after.track_id, "title": each.after.title}
            statement = upsert(connection, into(self.table)).values(row)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["track_id"], set_={"title": row["title"]})
            )


def test_what_was_observed_beside_derived_columns_stays(log: EventLog) -> None:
    seen = Seen()
    seen.table.metadata.create_all(log.database.engine)
    log = EventLog(log.database, projections=[seen])
    for track_id in (1, 2, 3):
        upload(log, track_id)
    table = seen.table
    with log.database.write() as connection:
        connection.execute(update(table).values(note="noted"))
        connection.execute(update(table).where(table.c.track_id == 1).values(title="?"))
        connection.execute(delete(table).where(table.c.track_id == 2))
    rebuild(log, [seen])
    with log.database.read() as connection:
        found = connection.execute(select(table).order_by(table.c.track_id)).all()
    assert [tuple(row) for row in found] == [
        (1, "Track 1", "noted"),
        (2, "Track 2", "none"),
        (3, "Track 3", "noted"),
    ]
