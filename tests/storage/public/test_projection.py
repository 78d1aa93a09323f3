"""The desired state of public audio is derived from the log; the known state of copies survives a rebuild."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from aggregates.tracks.track import Track
from projections.rebuild.rebuild import differences, rebuild
from storage.public.copies import public_audio, public_copy
from storage.public.projection import PublicAudio
from tests.dsl import BOB, some_time
from tests.servers.databases import ON_SQLITE
from tests.storage.public.public_rig import Rig, delete, gate, undelete, ungate

pytestmark = ON_SQLITE


def rows(rig: Rig, table: Any) -> list[dict[str, Any]]:
    with rig.database.read() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def record_a_story(rig: Rig) -> None:
    """Each way to become public or cease to be."""
    for track_id in range(1, 5):
        rig.upload(track_id, number=track_id, gated=track_id == 4)
    rig.upload(5, number=1, did=BOB)
    rig.change(gate, track_id=1)
    rig.change(delete, undelete, delete, track_id=2)
    first, second = rig.audio(8), rig.audio(9)
    for audio in (first, second, first):
        rig.change(partial(Track.replace_audio, audio=audio, at=some_time(30)), track_id=3)
    rig.change(ungate, gate, ungate, track_id=4)


def test_every_audio_that_a_track_had_is_a_row_and_only_the_open_one_is_wanted(rig: Rig) -> None:
    record_a_story(rig)
    cid = {number: rig.audio(number).cid for number in (1, 2, 3, 4, 8, 9)}
    assert {(row["track_id"], row["cid"]): row["wanted"] for row in rows(rig, public_audio)} == {
        (1, cid[1]): False,
        (2, cid[2]): False,
        (3, cid[3]): False,
        (3, cid[8]): True,
        (3, cid[9]): False,
        (4, cid[4]): True,
        (5, cid[1]): True,
    }


@pytest.mark.parametrize("page", [1, 500])
def test_a_rebuild_in_pages_of_any_size_finds_nothing_to_do(rig: Rig, page: int) -> None:
    record_a_story(rig)
    assert differences(rig.log, [PublicAudio()], page=page) == []


def test_a_rebuild_leaves_alone_what_is_known_of_the_copies(rig: Rig) -> None:
    record_a_story(rig)
    rig.publish_due()
    audio_rows, copies = rows(rig, public_audio), rows(rig, public_copy)
    with rig.database.write() as connection:
        connection.execute(update(public_audio).values(wanted=True))
        connection.execute(public_audio.delete().where(public_audio.c.track_id == 3))
    rebuild(rig.log, [PublicAudio()])
    assert rows(rig, public_audio) == audio_rows
    assert rows(rig, public_copy) == copies
