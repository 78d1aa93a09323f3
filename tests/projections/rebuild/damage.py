"""A log with many kinds of events, and damage to the rows made from it."""

from collections.abc import Callable, Iterable

from sqlalchemy import delete, insert, select, text, update

from eventstore.event_log import EventLog
from projections.history import history
from projections.media_references import media_references
from projections.rebuild.difference import Difference, DifferenceKind
from projections.tracks.table import track_tags, tracks
from service.schema.tables import READ_MODELS
from tests.dsl import ALICE, BOB, some_artwork, some_audio, some_blob, some_feature, some_time
from tests.projections.track_log import Rows, change, live_rows, upload

Touched = set[tuple[str, str]]
TABLES = [table.live for projection in READ_MODELS for table in projection.tables]

DAMAGE = {
    ("tracks", DifferenceKind.CHANGED, "1"): {"title", "audio_cid"},
    ("tracks", DifferenceKind.CHANGED, "2"): {"rkey", "audio_cid"},
    ("tracks", DifferenceKind.CHANGED, "3"): {"rkey", "audio_cid"},
    ("track_tags", DifferenceKind.MISSING, "4 a"): set(),
    ("track_tags", DifferenceKind.MISSING, "4 t4"): set(),
    ("track_tags", DifferenceKind.SURPLUS, "5 z"): set(),
    ("history", DifferenceKind.CHANGED, "7"): {"changes"},
    ("history", DifferenceKind.MISSING, "8"): set(),
    ("media_references", DifferenceKind.SURPLUS, "77 x"): set(),
}


def record_a_story(log: EventLog) -> Rows:
    """Six tracks and changes of many kinds; return the live rows."""
    for track_id in range(1, 6):
        upload(log, track_id, tags=("a", f"t{track_id}"), features=(some_feature(),), album="x")
    upload(log, 6, did=BOB, artwork=some_artwork(6))
    change(log, 1, lambda t: t.edit({"title": "new", "tags": ("b",)}, at=some_time(50)))
    change(log, 2, lambda t: t.set_artwork(some_artwork(2), at=some_time(51)))
    change(log, 2, lambda t: t.set_artwork(None, at=some_time(52)))
    change(log, 3, lambda t: t.record_blob(some_blob(some_audio(3)), at=some_time(53)))
    change(log, 4, lambda t: t.delete(at=some_time(54)))
    change(log, 5, lambda t: t.record_missing(observed_at=some_time(55)))
    change(log, 6, lambda t: t.set_unlisted(True, at=some_time(56)), did=BOB)
    change(log, 4, lambda t: t.undelete(at=some_time(57)))
    return live_rows(log)


def vandalise(log: EventLog) -> None:
    """Change, remove and invent rows; tracks 1, 2 and 3 pass their unique values around. See DAMAGE."""
    with log.database.write() as connection:
        third = connection.scalars(select(tracks.c.rkey).where(tracks.c.track_id == 3)).one()
        for track_id, values in (
            (1, {"title": "?", "audio_cid": "away"}),
            (3, {"rkey": "away", "audio_cid": some_audio(1).cid}),
            (2, {"rkey": third, "audio_cid": some_audio(3).cid}),
        ):
            connection.execute(update(tracks).where(tracks.c.track_id == track_id).values(values))
        connection.execute(delete(track_tags).where(track_tags.c.track_id == 4))
        connection.execute(insert(track_tags).values(track_id=5, tag="z", did=ALICE))
        connection.execute(update(history).where(history.c.position == 7).values(changes=[]))
        connection.execute(delete(history).where(history.c.position == 8))
        connection.execute(insert(media_references).values(track_id=77, cid="x", did=BOB))


def named(found: Iterable[Difference]) -> dict[tuple[str, DifferenceKind, str], set[str]]:
    """Bring differences into the form of DAMAGE."""
    return {
        (each.table, each.kind, " ".join(map(str, each.key.values()))): set(each.columns) for each in found
    }


def touched_by(log: EventLog, act: Callable[[], object]) -> Touched:
    """Name the rows that are written, even with equal values, and still there."""
    return (_by_trigger if log.database.is_sqlite else _by_xmin)(log, act)


def _by_xmin(log: EventLog, act: Callable[[], object]) -> Touched:
    def stamps() -> set[tuple[str, str, str]]:
        with log.database.read() as connection:
            return {
                (table.name, " ".join(map(str, row[:-1])), row[-1])
                for table in TABLES
                for row in connection.execute(
                    select(*table.primary_key.columns, text(f"{table.name}.xmin::text"))
                )
            }

    before = stamps()
    act()
    return {(name, key) for name, key, _ in stamps() - before}


def _by_trigger(log: EventLog, act: Callable[[], object]) -> Touched:
    with log.database.write() as connection:
        connection.execute(text("create table touched (name text, key text)"))
        for table in TABLES:
            key = " || ' ' || ".join(f"new.{column.name}" for column in table.primary_key.columns)
            for verb in ("insert", "update"):
                connection.execute(
                    text(
                        f"create trigger {table.name}_{verb} after {verb} on {table.name} "  # noqa: S608
                        f"begin insert into touched values ('{table.name}', {key}); end"
                    )
                )
    act()
    with log.database.read() as connection:
        return {(row.name, row.key) for row in connection.execute(text("select * from touched"))}
