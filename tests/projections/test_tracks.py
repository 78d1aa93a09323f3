"""`tracks` and `track_tags` say what each track is now, and find it."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from aggregates.tracks.track import Track
from aggregates.values import SupportGate
from eventstore.event_log import EventLog
from projections.tracks import queries
from projections.tracks.queries import (
    TrackFilter,
    live_tracks_naming,
    live_tracks_with_audio,
    tags_by_use,
    track_page,
)
from projections.tracks.table import TrackView, tracks
from tests.dsl import (
    ALICE,
    BOB,
    a_track,
    some_artwork,
    some_audio,
    some_time,
)
from tests.projections.track_log import ENVELOPE, change, upload


def found(log: EventLog, wanted: TrackFilter, **page: int) -> list[int]:
    with log.database.read() as connection:
        return [track.track_id for track in track_page(connection, wanted, **page).items]


def test_a_deleted_track_keeps_its_row_and_leaves_every_list(log: EventLog) -> None:
    upload(log, tags=("a",))
    track = change(log, 1, lambda t: t.delete(at=some_time(5)))
    with log.database.read() as connection:
        assert TrackView.from_row(connection.execute(select(tracks)).one()) == TrackView.of(track)
        assert live_tracks_with_audio(connection, ALICE, [some_audio(1).cid]) == {}
        assert live_tracks_naming(connection, some_audio(1).cid) == ()
    assert found(log, TrackFilter()) == found(log, TrackFilter(tags=("a",))) == []


def test_an_artist_has_the_same_audio_live_once(log: EventLog) -> None:
    upload(log, 1, audio=some_audio(1))
    with pytest.raises(IntegrityError):
        upload(log, 2, audio=some_audio(1))
    upload(log, 3, audio=some_audio(1), did=BOB)
    change(log, 1, lambda t: t.delete(at=some_time(5)))
    upload(log, 4, audio=some_audio(1))
    with pytest.raises(IntegrityError):
        change(log, 1, lambda t: t.undelete(at=some_time(6)))
    with log.database.read() as connection:
        assert [track.track_id for track in live_tracks_naming(connection, some_audio(1).cid)] == [3, 4]


def test_audio_may_pass_from_one_track_to_the_next_in_one_unit(log: EventLog) -> None:
    upload(log, 1, audio=some_audio(1))
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        first = unit.load(Track, Track.create_id(1))
        first.replace_audio(some_audio(9), at=some_time(5))
        unit.save(first, a_track(2, audio=some_audio(1)))
    with log.database.read() as connection:
        found = live_tracks_with_audio(connection, ALICE, [some_audio(1).cid, some_audio(9).cid])
    assert found == {some_audio(1).cid: 2, some_audio(9).cid: 1}


def test_a_record_key_is_given_once_even_when_its_track_is_deleted(log: EventLog) -> None:
    rkey = upload(log, 1).rkey
    change(log, 1, lambda t: t.delete(at=some_time(5)))
    with pytest.raises(IntegrityError):
        upload(log, 2, rkey=rkey)


def test_bytes_are_found_by_any_of_their_names(log: EventLog) -> None:
    upload(log, artwork=some_artwork(7))
    with log.database.read() as connection:
        for cid in (some_audio(1).cid, some_artwork(7).cid, some_artwork(7).thumbnail_cid):
            assert [track.track_id for track in live_tracks_naming(connection, cid)] == [1]
        assert live_tracks_naming(connection, some_artwork(8).cid) == ()


def test_of_many_tracks_of_an_artist_with_the_same_bytes_the_most_open_one_is_found(log: EventLog) -> None:
    shared = some_artwork(7)
    upload(log, 1, artwork=shared, support_gate=SupportGate("any"))
    upload(log, 2, artwork=shared, audio=some_audio(2))
    upload(log, 3, artwork=shared, audio=some_audio(3))
    upload(log, 4, artwork=shared, support_gate=SupportGate("any"), did=BOB)
    with log.database.read() as connection:
        assert [track.track_id for track in live_tracks_naming(connection, shared.cid)] == [2, 4]


def test_a_search_knows_no_case(log: EventLog) -> None:
    upload(log, 1, title="Première Étude", album="Straße")
    upload(log, 2, title="Other", artist="Carol", did=BOB)
    for q in ("ÉTUDE", "étude", "E\u0301tude", "lice", "straße", "STRASSE"):
        assert found(log, TrackFilter(q=q)) == [1], q


def test_a_search_takes_every_character_for_itself_and_finds_any_part_of_a_text(log: EventLog) -> None:
    short = ("%", "_", "/", "\\", "'", '"', "/%")
    indexed = ("100%", "a_b", "ine", "pine cone", "東京タワー", "タワー", 'says "no', "-pine", "pine*")
    titles = ["plain ab 1000", *(f"has {q} in it" for q in (*short, *indexed))]
    for number, title in enumerate(titles, start=1):
        upload(log, number, title=title, artist="two")
    for q in (*short, *indexed):
        expected = [number for number, title in enumerate(titles, start=1) if q in title]
        assert found(log, TrackFilter(q=q)) == expected[::-1], q


def test_a_page_for_a_short_term_looks_at_a_limited_number_of_tracks_and_the_next_one_continues(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_SCANNED_TRACKS", 2)
    for number, title in enumerate(("Xy", "Other", "Other", "Other", "Xy"), start=1):
        upload(log, number, title=title)
    pages = []
    cursor = None
    while not pages or cursor is not None:
        with log.database.read() as connection:
            page = track_page(connection, TrackFilter(q="xy"), cursor=cursor)
        pages.append([track.track_id for track in page.items])
        cursor = page.cursor
    assert pages == [[5], [], [1]]
    assert found(log, TrackFilter(q="other")) == [4, 3, 2]
    assert found(log, TrackFilter(q="xy", artist=ALICE)) == [5, 1]


def test_tags_are_counted_over_a_limited_number_of_the_newest_tracks(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_SCANNED_TRACKS", 2)
    for number, tags in enumerate((("old", "tape"), ("tape",), ("tape", "new")), start=1):
        upload(log, number, tags=tags)
    with log.database.read() as connection:
        counted = [tuple(row) for row in tags_by_use(connection, None, limit=10)]
    assert counted == [("tape", 2), ("new", 1)]


def test_a_search_follows_a_track_through_its_edits(log: EventLog) -> None:
    upload(log, 1, title="Before")
    change(log, 1, lambda t: t.edit({"tags": ("b",)}, at=some_time(4)))
    change(log, 1, lambda t: t.edit({"title": "After"}, at=some_time(5)))
    assert [found(log, TrackFilter(q=q)) for q in ("before", "after")] == [[], [1]]


def test_text_that_no_track_can_hold_matches_none(log: EventLog) -> None:
    upload(log)
    for text in ("\0", "a\0b", "\ud800"):
        for field, value in {"artist": text, "tags": (text,), "album": text, "q": text}.items():
            assert found(log, TrackFilter(**{field: value})) == []
