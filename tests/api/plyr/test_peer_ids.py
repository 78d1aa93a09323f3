"""Ids that tracks had at the service they come from: which a file may give, and how a track is known by one."""

import pytest

from eventstore.change import Envelope, Via
from replay.adoption.peer_ids import assign, read_peer_ids, reserve
from replay.errors import PeerIdsError
from tests.api.world import did_of, upload

HEADER = "id,title,atproto_record_uri"
OF_ALICE = f"at://{did_of('alice')}/fm.plyr.track"
OPERATOR = Envelope(actor="op", via=Via.CLI, request_id="")


def read(*lines, name="alice"):
    return read_peer_ids([HEADER, *lines], did_of(name))


def in_log(world, work, ids):
    return world.log.transact(None, OPERATOR, lambda unit: work(unit.connection, ids))


def adopted(world, track, peer_id):
    ids = read(f"{peer_id},t,{track['atproto_record_uri']}")
    in_log(world, reserve, ids)
    return in_log(world, assign, ids)


WRONG = {
    "id,uri": "the first line must name the columns atproto_record_uri",
    f"{HEADER}\n0,t,": "line 2: an id is a number from 1 to 2147483648, not '0'",
    f"{HEADER}\n2147483649,t,": "line 2: an id is a number",
    f"{HEADER}\n1,t,\n1,u,": "line 3: the id 1 is there twice",
    f"{HEADER}\n1,t,{OF_ALICE}/a\n2,t,{OF_ALICE}/a": "line 3: the record has two ids, 1 and 2",
    f"{HEADER}\n1,t,https://x": "line 2: not the AT-URI of a record",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_file_that_is_not_clear_is_refused_by_its_line(text):
    with pytest.raises(PeerIdsError) as refused:
        read_peer_ids(text.splitlines(), did_of("alice"))
    assert WRONG[text] in str(refused.value)


def test_a_file_may_name_other_accounts_and_tracks_without_a_record():
    ids = read(f"7,t,{OF_ALICE}/a", f"9,t,at://{did_of('bob')}/fm.plyr.track/a", "12,t,")
    assert (ids.largest, dict(ids.of_records)) == (12, {("fm.plyr.track", "a"): 7})


def test_a_track_is_known_by_the_id_of_the_file_alone_and_new_ones_come_after_it(client, world, alice):
    old = upload(client, alice, seed=1)
    assert adopted(world, old, 4711)["tracks"] == 1
    assert client.get("/plyr/tracks/4711").json()["title"] == old["title"]
    assert client.get(f"/plyr/tracks/{old['id']}").status_code == 404
    new = upload(client, alice, seed=2)["id"]
    assert new > 4711
    assert client.get(f"/plyr/tracks/{new}").json()["id"] == new
    assert [track["id"] for track in client.get("/plyr/tracks/").json()["tracks"]] == [new, 4711]
    sizes = client.get("/plyr/tracks/me/file-sizes", headers=alice.headers).json()["sizes"]
    assert set(sizes) == {"4711", str(new)}
    again = read(f"4711,t,{old['atproto_record_uri']}", f"12,t,{OF_ALICE}/unknown")
    in_log(world, reserve, again)
    assert in_log(world, assign, again) == {"tracks": 1, "missing": 1}


def test_ids_that_other_tracks_have_are_refused_by_name_deleted_ones_included(client, world, alice, bob):
    mine, other, gone, numbered = (
        upload(client, who, seed=n) for n, who in enumerate((alice, bob, bob, alice), 1)
    )
    client.delete(f"/tracks/{gone['id']}", headers=bob.headers)
    adopted(world, numbered, 900)
    for wanted in (other["id"], gone["id"], 900):
        with pytest.raises(
            PeerIdsError, match=f"these ids, or their tracks have others: {wanted}. Nothing was adopted"
        ):
            in_log(world, reserve, read(f"{wanted},t,{mine['atproto_record_uri']}"))
    with pytest.raises(PeerIdsError, match=": 901"):
        in_log(world, reserve, read(f"901,t,{numbered['atproto_record_uri']}"))
    in_log(world, reserve, read(f"{mine['id']},t,{mine['atproto_record_uri']}"))  # its own is free for it
