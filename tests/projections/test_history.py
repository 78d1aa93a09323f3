"""`history` shows actor, time, and each changed field before and after."""

from eventstore.change import Envelope
from eventstore.event_log import EventLog
from projections.history import HistoryEntry, history_page
from tests.dsl import ALICE, some_artwork, some_audio, some_blob, some_feature, some_time
from tests.projections.track_log import change, upload

OPERATOR = Envelope(actor="did:plc:operator", via="cli", request_id="r-9")


def entries(log: EventLog, track_id: int = 1) -> list[HistoryEntry]:
    with log.database.read() as connection:
        return list(history_page(connection, ALICE, track_id, newest_first=False).items)


def shown(entry: HistoryEntry) -> dict[str, tuple[object, object]]:
    return {each["field"]: (each["before"], each["after"]) for each in entry.changes}


def test_a_creation_shows_every_field_that_has_a_value_with_nothing_before_it(log: EventLog) -> None:
    track = upload(log, features=(some_feature(),), artwork=some_artwork())
    changes = shown(entries(log)[0])
    assert {before for before, _ in changes.values()} == {None}
    assert changes["title"] == (None, "Track 1")
    assert changes["features"] == (None, [{"did": "did:plc:carol", "handle": "carol.test"}])
    assert changes["audio"] == (None, vars(some_audio(1)))
    assert changes["artwork"] == (None, vars(some_artwork()))
    assert changes["created_at"] == (None, track.created_at)
    assert changes["rkey"] == (None, track.rkey)
    assert "album" not in changes
    assert "deleted_at" not in changes


def test_what_an_event_changes_besides_is_shown_too(log: EventLog) -> None:
    """The state is compared, not the event read: nothing that ends silently is left out."""
    upload(log)
    change(log, 1, lambda t: t.record_blob(some_blob(), at=some_time(5)), envelope=OPERATOR)
    change(log, 1, lambda t: t.replace_audio(some_audio(2), at=some_time(6)))
    change(log, 1, lambda t: t.record_missing(observed_at=some_time(7)))
    change(log, 1, lambda t: t.delete(at=some_time(8)))
    [_, migrated, replaced, missing, deleted] = entries(log)
    assert shown(migrated) == {"blob": (None, some_audio(1).cid)}
    assert shown(replaced) == {
        "audio": (vars(some_audio(1)), vars(some_audio(2))),
        "blob": (some_audio(1).cid, None),
    }
    assert shown(missing) == {"record_missing_since": (None, some_time(7).isoformat())}
    assert shown(deleted) == {
        "record_missing_since": (some_time(7).isoformat(), None),
        "deleted_at": (None, some_time(8).isoformat()),
    }
