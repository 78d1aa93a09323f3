"""A rebuild makes the live rows what the log says, and touches no others."""

import pytest
from sqlalchemy import (
    delete,
    insert,
    select,
    update,
)

from eventstore.errors import NestedUnitError, OutdatedProjectionError
from eventstore.event_log import EventLog
from eventstore.sql.schema import projection_state
from projections.rebuild.difference import DifferenceKind
from projections.rebuild.rebuild import differences, rebuild, run_under_way
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


def test_an_empty_log_makes_empty_tables(log: EventLog) -> None:
    with log.database.write() as connection:
        connection.execute(insert(TABLES[-1]).values(track_id=77, cid="x", did=BOB))
    rebuild(log, READ_MODELS)
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
    none = dict.fromkeys(record_a_story(log), 0)
    vandalise(log)
    differed = {"tracks": 3, "track_tags": 3, "history": 2, "media_references": 1}
    assert rebuild(log, READ_MODELS) == none | differed
    assert rebuild(log, READ_MODELS) == none


def test_a_rebuild_repairs_every_subject_however_many_rows_of_the_first_ones_differ(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.rebuild.difference.MAX_SUBJECTS", 2)
    for track_id in (1, 2):
        upload(log, track_id, tags=("a", "b", "c"))
    rows = live_rows(log)
    with log.database.write() as connection:
        connection.execute(delete(track_tags))
    assert rebuild(log, READ_MODELS)["track_tags"] == 6
    assert live_rows(log) == rows


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


def test_a_rebuild_does_not_make_edits_wait_for_its_progress_after_each_page(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.rebuild.rebuild.SAYING_SECONDS", 3600)
    record_a_story(log)
    said = []

    def progress(_done: int, _total: int) -> None:
        with log.database.read_committed() as connection:
            run = run_under_way(connection)
        said.append(run.position if run is not None else None)

    rebuild(log, READ_MODELS, page=1, progress=progress)
    assert len(said) > 3
    assert set(said) == {said[0]}


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
