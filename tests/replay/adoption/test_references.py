"""An adopted list refers to its tracks as its owner left it, until one of them changes here."""

from datetime import timedelta
from typing import Any

import pytest

from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem
from outbox.lists.newest import ReferenceState, status_of
from outbox.lists.references import REFERENCES, lists_left_behind, request
from outbox.pds.client import RecordKey, Remote
from replay.adoption.adopt import adopt_record
from replay.adoption.list import ListIntake
from tests.dsl import COLLECTION, LISTS, a_list
from tests.outbox.conflicts.test_adopted import RKEY, adopts
from tests.outbox.lists.conftest import rig
from tests.outbox.rigs.list_rigs import ReferenceRig, uri_of
from tests.outbox.rigs.relay_rig import ARTIST
from tests.servers.databases import ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]
OLD = "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


def adopts_list(rig: ReferenceRig, *items: ListItem) -> int:
    """Adopt an album that another client wrote; its id."""
    key, others = (
        RecordKey(rig.did, LISTS, "found"),
        {"listType": "album", "createdAt": "2019-05-04T12:03:07Z"},
    )
    subjects = [{"subject": vars(each)} for each in items]
    rig.pds.put_record(*vars(key).values(), {"$type": LISTS, "name": "Found", "items": subjects, **others})
    found: Any = rig.pds.get_record(*vars(key).values())
    remote = Remote(found["cid"], found["value"])
    make = ListIntake(rig.kinds[TrackList.TOPIC]).read(key, remote).made
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        made = adopt_record(unit, key, remote, rig.pds.url, make)
    assert made is not None
    rig.wire.sent.clear()
    return made.subject_id


async def is_left_alone(rig: ReferenceRig, list_id: int) -> bool:
    """Whether a job finds nothing to refresh, no drift is found later, and no state says that it is behind."""
    with rig.database.write() as connection:
        request(connection, REFERENCES, rig.did, rig.clock())
    await rig.work()
    await rig.relay_once()
    made = rig.loaded(list_id)
    with rig.database.read() as connection:
        state = status_of(connection, made).state
        behind = lists_left_behind(connection, rig.did, rig.clock() + timedelta(days=2))
    return state is ReferenceState.CURRENT and not behind and not rig.puts()


@pytest.mark.parametrize("is_of_texts", [False, True])
async def test_one_that_refers_to_an_earlier_record_is_written_when_the_track_changes(
    rig: ReferenceRig, is_of_texts: bool
) -> None:
    track = rig.upload(1)
    await rig.relay_once()
    old = ListItem(uri_of(track), rig.cid(track))
    if is_of_texts:
        rig.saves(a_list(101, did=rig.did, name="Found", items=(old,), record_requested=False))
    rig.edit(title="Edited")
    await rig.relay_once()
    list_id = adopts_list(rig, *([] if is_of_texts else [old]))
    assert await is_left_alone(rig, list_id)
    rig.edit(title="Again")
    await rig.relay_once()
    assert rig.written(rig.loaded(list_id)) == [{"uri": old.uri, "cid": rig.cid(track)}]


async def test_a_track_that_is_adopted_after_its_list_leaves_it_alone_until_it_changes(
    rig: ReferenceRig,
) -> None:
    old = ListItem(f"at://{rig.did}/{COLLECTION}/{RKEY}", OLD)
    list_id = adopts_list(rig, old)
    adopts(rig)
    assert await is_left_alone(rig, list_id)
    track = rig.edit(title="Ours")
    await rig.relay_once()
    assert rig.written(rig.loaded(list_id)) == [{"uri": old.uri, "cid": rig.cid(track)}]
