"""`media_references` keeps the sweep from what is named, or was until lately."""

from datetime import datetime, timedelta

from sqlalchemy import select

from eventstore.event_log import EventLog
from projections.media_references import media_references, named
from tests.dsl import BOB, some_artwork, some_audio, some_time
from tests.projections.track_log import change, upload

MINUTE = timedelta(minutes=1)


def released(log: EventLog, cid: str, track_id: int = 1) -> datetime | None:
    with log.database.read() as connection:
        columns = media_references.c
        query = select(columns.released_at).where(columns.cid == cid, columns.track_id == track_id)
        moment: datetime | None = connection.scalars(query).one()
        return moment


def recorded(log: EventLog, index: int = -1) -> datetime:
    return log.read(after=0, until=log.stable_position(), limit=100)[index].recorded_at


def still_named(log: EventLog, *cids: str, released_after: datetime) -> set[str]:
    with log.database.read() as connection:
        return named(connection, cids, released_after)


def test_back_and_forth_in_one_unit_ends_where_it_ends(log: EventLog) -> None:
    upload(log, artwork=some_artwork(1))
    change(
        log,
        1,
        lambda t: t.set_artwork(None, at=some_time(5)),
        lambda t: t.set_artwork(some_artwork(1), at=some_time(6)),
        lambda t: t.set_artwork(some_artwork(2), at=some_time(7)),
        lambda t: t.set_artwork(some_artwork(1), at=some_time(8)),
    )
    assert released(log, some_artwork(1).cid) is None
    assert released(log, some_artwork(2).cid) == recorded(log)


def test_bytes_stay_named_for_the_grace_period(log: EventLog) -> None:
    upload(log)
    cid = some_audio().cid
    change(log, 1, lambda t: t.delete(at=some_time(5)))
    moment = recorded(log)
    assert still_named(log, cid, released_after=moment - MINUTE) == {cid}
    assert still_named(log, cid, released_after=moment) == set()


def test_bytes_stay_named_while_any_track_names_them(log: EventLog) -> None:
    upload(log, 1, audio=some_audio(7))
    upload(log, 2, audio=some_audio(7), did=BOB)
    change(log, 1, lambda t: t.delete(at=some_time(5)))
    cid = some_audio(7).cid
    assert (released(log, cid, 1), released(log, cid, 2)) == (recorded(log), None)
    assert still_named(log, cid, released_after=recorded(log) + MINUTE) == {cid}


def test_any_number_of_cids_can_be_asked_for_at_once(log: EventLog) -> None:
    upload(log)
    cids = [f"c{number}" for number in range(40_000)]
    assert still_named(log, *cids, some_audio().cid, released_after=some_time()) == {some_audio().cid}
    assert still_named(log, released_after=some_time()) == set()
