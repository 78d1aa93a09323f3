"""Lists that a PDS has already are adopted as they are; nothing is written to it."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from aggregates.values import ListItem
from application.likes import unlike_track
from application.lists.liked import LIKED_LIST
from application.lists.texts import album_texts_kind, bring_together
from application.reactions import reaction_kind
from application.subjects import On
from eventstore.coordination.threads import Threads
from eventstore.jobs.queue import claim
from eventstore.jobs.table import job
from eventstore.jobs.worker import Worker
from outbox.lists.items import request_album_texts
from outbox.mirror.tables import mirror_target
from outbox.record.dag_cbor import record_cid
from outbox.views.status import mirrors
from projections.lists import track_list
from tests.dsl import A_RECORD, ALICE, COLLECTION, NO_INDEX_HOLDS, a_list
from tests.e2e.foreign_catalogue import rkey
from tests.outbox.rigs.relay_rig import ARTIST
from tests.replay.adoption.rig import AdoptRig, rig
from tests.replay.adoption.test_adopt import counts
from tests.servers.databases import ON_POSTGRES, ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]

LISTS = "fm.plyr.list"
CREATED = "2019-05-04T12:03:07.5+02:00"


def there(rig: AdoptRig, key: str, *subjects: Any, **fields: Any) -> None:
    """The PDS has a list."""
    record = {
        "$type": LISTS,
        "items": [{"subject": each} for each in subjects],
        "createdAt": CREATED,
        **fields,
    }
    rig.internet.records[LISTS, key] = record


def song(rig: AdoptRig, number: int, **fields: Any) -> dict[str, str]:
    """The PDS has a track; a list refers to it so."""
    uri = rig.internet.record(number, **fields)
    return {"uri": uri, "cid": record_cid(rig.internet.records[COLLECTION, rkey(number)])}


def lists(rig: AdoptRig) -> dict[str, TrackList]:
    rows = rig.rows(sa.select(track_list.c.list_id).where(track_list.c.deleted_at.is_(None)))
    with rig.log.unit_of_work(ALICE, ARTIST) as unit:
        found = unit.load_all(TrackList, [TrackList.create_id(row.list_id) for row in rows])
    return {each.rkey: each for each in found}


@ON_POSTGRES
async def test_a_list_with_an_item_that_no_index_can_hold_is_refused_and_all_else_is_adopted(
    rig: AdoptRig,
) -> None:
    first = song(rig, 1)
    there(rig, "long", first, {**A_RECORD, "uri": NO_INDEX_HOLDS}, listType="playlist")
    there(rig, "playlist", first, listType="playlist")
    progress = await rig.adopts()
    assert (counts(progress), progress.problems[0]["field"]) == ((3, 0, 2, 1), "items")
    assert [*lists(rig)] == ["playlist"]


async def test_albums_and_playlists_keep_order_name_and_time_and_unknown_fields(rig: AdoptRig) -> None:
    first, second = song(rig, 1), song(rig, 2)
    there(rig, "album", second, first, name="Album", listType="album", mood="blue")
    there(rig, "playlist", first, A_RECORD, first, listType="playlist")
    assert counts(await rig.adopts()) == (4, 0, 4, 0)
    found = lists(rig)
    album, playlist = found["album"], found["playlist"]
    assert (album.list_type, album.name, album.slug, album.created_at) == ("album", "Album", "album", CREATED)
    assert [item.uri for item in album.items] == [second["uri"], first["uri"]]
    assert (playlist.name, [item.cid for item in playlist.items]) == (
        None,
        [first["cid"], A_RECORD["cid"], first["cid"]],
    )
    with rig.database.read() as connection:
        ids = [each.list_id for each in found.values()]
        states = {each.state for each in mirrors(connection, ALICE, "list", ids).values()}
    assert states == {"delivered"}
    assert not rig.rows(
        sa.select(mirror_target).where(mirror_target.c.desired_gen > mirror_target.c.acked_gen)
    )
    assert counts(await rig.adopts()) == (4, 4, 0, 0)


async def test_an_album_that_texts_have_made_takes_the_record_of_its_title(rig: AdoptRig) -> None:
    first, second = song(rig, 1), song(rig, 2)
    await rig.adopts()
    items = (ListItem(first["uri"], first["cid"]), ListItem(second["uri"], second["cid"]))
    made = a_list(7, did=ALICE, name="Album", items=items, record_requested=False)
    with rig.log.unit_of_work(ALICE, ARTIST) as unit:
        unit.save(made)
    there(rig, "album", second, name="Album", listType="album")
    assert counts(await rig.adopts()) == (3, 2, 1, 0)
    [album] = lists(rig).values()
    assert (album.list_id, album.rkey, album.created_at, album.wants_record) == (7, "album", CREATED, True)
    assert [item.uri for item in album.items] == [second["uri"], first["uri"]]
    assert not rig.rows(
        sa.select(mirror_target).where(mirror_target.c.desired_gen > mirror_target.c.acked_gen)
    )

    there(rig, "again", first, name="Album", listType="album")
    progress = await rig.adopts()
    assert (counts(progress), progress.problems[0]["field"]) == ((4, 3, 0, 1), "name")


async def test_the_list_of_likes_is_found_once_and_stays_as_it_is_until_a_like_changes(rig: AdoptRig) -> None:
    first = song(rig, 1)
    await rig.adopts()
    there(rig, "likes", A_RECORD, first, name="Liked Tracks", listType="liked")
    rig.internet.records["fm.plyr.like", "like"] = {
        "$type": "fm.plyr.like", "subject": first, "createdAt": CREATED,
    }  # fmt: skip
    assert counts(await rig.adopts()) == (3, 1, 2, 0)
    kinds = [reaction_kind(rig.log, Threads("reactions", 1))]
    worker = Worker(rig.database, kinds, owner="w", lease=timedelta(minutes=1))
    await worker.run_once()
    [found] = lists(rig).values()
    assert (found.list_type, found.version) == ("liked", 1)
    assert [item.uri for item in found.items] == [A_RECORD["uri"], first["uri"]]
    assert not rig.rows(sa.select(job.c.kind))

    [track] = rig.tracks().values()
    rig.log.transact(ALICE, ARTIST, lambda unit: unlike_track(unit, On(Track, track.track_id)))
    await worker.run_once()
    assert [row.kind for row in rig.rows(sa.select(job.c.kind))] == [LIKED_LIST]

    there(rig, "again", listType="liked")
    progress = await rig.adopts()
    assert (counts(progress), progress.problems[0]["field"]) == ((4, 3, 0, 1), "listType")


def make_albums(rig: AdoptRig) -> None:
    """Do what an adoption requests at its end."""
    with rig.database.write() as connection:
        request_album_texts(connection, ALICE, rig.clock())
    kind = album_texts_kind(rig.log, Threads("texts", 1))
    claimed = claim(rig.database, kind, owner="w", lease=timedelta(minutes=1))
    assert claimed is not None
    bring_together(rig.log, claimed)


async def test_texts_that_name_another_album_and_the_record_of_that_stay_as_they_are(rig: AdoptRig) -> None:
    inside = song(rig, 1, album="Other")
    song(rig, 2, album="Album")
    there(rig, "album", inside, name="Album", listType="album")
    await rig.adopts()
    make_albums(rig)
    assert [rig.tracks()[f"Song {number}"].album for number in (1, 2)] == ["Other", "Album"]
    assert [item.uri for item in lists(rig)["album"].items] == [inside["uri"]]
    assert not rig.rows(
        sa.select(mirror_target).where(mirror_target.c.desired_gen > mirror_target.c.acked_gen)
    )


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("listType", {"listType": ["album"]}),
        ("listType", {}),
        ("name", {"listType": "album", "name": "x" * 65}),
        ("items", {"listType": "album", "items": [{"subject": {"uri": "https://x.test"}}]}),
        ("items", {"listType": "album", "items": [{"subject": A_RECORD}] * 501}),
        ("createdAt", {"listType": "album", "createdAt": 1}),
        ("createdAt", {"listType": "album", "createdAt": "yesterday"}),
    ],
)
async def test_a_list_that_none_here_can_be_is_refused(
    rig: AdoptRig, field: str, fields: dict[str, Any]
) -> None:
    there(rig, "list", **fields)
    progress = await rig.adopts()
    assert (counts(progress), progress.problems[0]["field"]) == ((1, 0, 0, 1), field)
