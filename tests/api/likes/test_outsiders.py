"""What people without an account here say of a track is shown and counted beside what those here say."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from application import outsiders
from application.comments import MAX_COMMENTS
from application.outsiders import OutsiderReactions
from application.subjects import utc_text
from eventstore.change import Envelope
from eventstore.streams.ids import next_subject_id
from outbox.pds.client import RecordKey, Remote
from projections.reaction_queries import comments_at_tracks_of
from projections.reactions import outsider_reaction, reaction
from projections.rebuild.rebuild import rebuild
from tests.api.account_deletion.deletion import is_deleted
from tests.api.comments.test_comments import change, say, shown, turn
from tests.api.likes.test_like import like, read, seen
from tests.api.world import did_of, refusal, upload
from tests.fake_pds.scripted_pds import HOST
from tests.servers.databases import ON_SQLITE

CAROL = did_of("carol")
OTHER_HOST = "https://other.example.com"


@pytest.fixture
def track(client, world, alice):
    """A track of alice's on which people may comment."""
    turn(client, alice, True)
    track = upload(client, alice)
    world.deliver()
    return read(client, None, f"/tracks/{track['id']}")


@pytest.fixture
def people(alice, bob, admin):
    return SimpleNamespace(alice=alice, bob=bob, admin=admin)


@pytest.fixture
def carol(world, track):
    """She has an account on the PDS of the others, and none here."""
    index = OutsiderReactions(world.database, world.services.kinds)

    def key_of(kind, rkey):
        return RecordKey(CAROL, world.services.kinds[kind].collection, rkey)

    def says(kind, rkey="1", of=track, host=HOST, **fields):
        key = key_of(kind, rkey)
        subject = {"uri": of["atproto_record_uri"], "cid": of["atproto_record_cid"]}
        record = {"$type": key.collection, "subject": subject, "createdAt": "2026-11-30T12:00:00Z", **fields}
        world.pds.records[key.uri] = record
        index.put(host, key, asyncio.run(world.services.pds.get(HOST, key)))
        return key

    return SimpleNamespace(
        did=CAROL,
        index=index,
        likes=lambda **more: says(Like.TOPIC, **more),
        comments=lambda rkey="1", **more: says(
            Comment.TOPIC, rkey, **{"text": "Yes!", "timestampMs": 1500, **more}
        ),
    )


def test_a_like_is_shown_and_counted(client, world, bob, track, carol):
    like(client, bob, track)
    world.carry()
    carol.likes()
    rows = read(client, None, f"/tracks/{track['id']}/likes")["items"]
    assert {each["did"]: each["handle"] for each in rows} == {bob.did: bob.handle, CAROL: "handle.invalid"}
    assert seen(client, bob, track) == (True, 2, 0)


def test_a_comment_is_shown_with_its_place_and_counted(client, world, bob, track, carol):
    before = say(client, bob, track).json()
    world.carry()
    key = carol.comments()
    after = say(client, bob, track).json()
    world.carry()
    rows = shown(client, None, track)
    assert [each["did"] for each in rows] == [bob.did, CAROL, bob.did]
    row = rows[1]
    assert (row["uri"], row["text"], row["timestamp_ms"], row["version"]) == (key.uri, "Yes!", 1500, 1)
    assert seen(client, bob, track) == (False, 0, 3)
    page = read(client, None, f"/tracks/{track['id']}/comments?limit=2")
    last = read(client, None, f"/tracks/{track['id']}/comments?limit=2&cursor={page['cursor']}")
    assert [each["id"] for each in (*page["items"], *last["items"])] == [after["id"], row["id"], before["id"]]


def test_while_comments_are_off_operators_alone_see_it(client, alice, admin, track, carol):
    carol.comments()
    turn(client, alice, False, track)
    assert [len(shown(client, who, track)) for who in (None, alice, admin)] == [0, 0, 1]
    assert seen(client, alice, track) == (False, 0, 0)


def test_the_artist_hides_a_comment_and_shows_it_again(client, world, people, track, carol):
    alice, bob, admin = people.alice, people.bob, people.admin
    carol.comments()
    [comment] = shown(client, None, track)
    assert refusal(change(client, bob, comment, "PUT", "/hidden")) == (403, "not_owner")
    assert change(client, alice, comment, "PUT", "/hidden").json()["hidden"] is True
    assert [len(shown(client, who, track)) for who in (None, alice, admin)] == [0, 0, 1]
    world.carry()
    carol.comments(text="No!")
    assert (shown(client, None, track), seen(client, alice, track)) == ([], (False, 0, 0))
    rebuild(world.log, world.log.projections)
    assert seen(client, alice, track) == (False, 0, 0)
    change(client, alice, comment, "DELETE", "/hidden")
    world.carry()
    assert ([each["text"] for each in shown(client, None, track)], seen(client, alice, track)) == (
        ["No!"],
        (False, 0, 1),
    )


def test_an_operator_takes_a_comment_down_and_shows_it_again(client, world, people, track, carol):
    alice, admin = people.alice, people.admin
    carol.comments()
    [comment] = shown(client, None, track)

    def decide(**fields):
        where = f"/ops/comments/{comment['id']}/takedown"
        said = client.post(where, json={"reason": "a threat", **fields}, headers=admin.headers).json()
        return said["affected"], said["taken_down_at"] is not None

    def at_all_own_tracks():
        with world.database.read() as connection:
            return len(comments_at_tracks_of(connection, alice.did, None, 2))

    assert [decide(dry_run=True), decide(lift=True)] == [(1, False), (0, False)]
    assert [decide(), decide()] == [(1, True), (0, True)]
    carol.comments(text="No!")
    rebuild(world.log, world.log.projections)
    assert [len(shown(client, who, track)) for who in (None, alice, admin)] == [0, 0, 1]
    assert (seen(client, alice, track), at_all_own_tracks()) == ((False, 0, 0), 0)
    [row] = shown(client, admin, track)
    assert (row["text"], row["hidden_by"], row["reason"]) == ("No!", "operator", "a threat")
    assert refusal(change(client, alice, comment, "PUT", "/hidden")) == (404, "comment_not_found")
    assert decide(lift=True) == (1, False)
    assert [len(shown(client, who, track)) for who in (None, alice)] == [1, 1]
    assert (seen(client, alice, track), at_all_own_tracks()) == ((False, 0, 1), 1)
    acts = read(client, alice, "/audit?type=OperatorActed")["items"]
    told = [{each["field"]: each["after"] for each in act["changes"]} for act in acts]
    assert [(each["action"], each["affected"], each["reason"]) for each in told] == [
        ("lift_takedown", 1, "a threat"),
        ("takedown", 0, "a threat"),
        ("takedown", 1, "a threat"),
        ("lift_takedown", 0, "a threat"),
    ]


def test_an_operator_takes_a_like_down_which_stays_so_whatever_its_author_does(
    *, client, world, bob, admin, track, carol
):
    like(client, bob, track)
    world.carry()
    first = carol.likes()
    [of_carol, of_bob] = likes(client, None, track)
    assert (of_carol["did"], of_carol["outsider"], of_bob["outsider"]) == (CAROL, True, False)

    assert decide_like(client, admin, of_carol, dry_run=True) == (1, False)
    assert decide_like(client, admin, of_carol) == (1, True)
    assert decide_like(client, admin, of_carol) == (0, True)
    carol.likes()
    carol.index.remove(HOST, CAROL, [first])
    carol.likes(rkey="2")
    rebuild(world.log, world.log.projections)
    assert (decides(client, admin, "unfollow"), decides(client, admin, "follow")) == (1, 1)
    carol.likes(rkey="3")
    assert [each["did"] for each in likes(client, None, track)] == [bob.did]
    assert seen(client, bob, track) == (True, 1, 0)
    [hidden, _] = likes(client, admin, track)
    assert (hidden["id"], hidden["taken_down_at"] is not None) == (of_carol["id"], True)
    assert hidden["reason"] == "bought"

    assert decide_like(client, admin, of_carol, lift=True) == (1, False)
    assert seen(client, bob, track) == (True, 2, 0)
    assert carol.index.next_to_read(HOST) == first
    carol.index.remove(HOST, CAROL, [first])
    assert seen(client, bob, track) == (True, 1, 0)


def test_a_like_of_an_account_here_is_not_taken_down(*, client, world, bob, admin, track):
    like(client, bob, track)
    world.carry()
    [found] = likes(client, admin, track)
    path = f"/ops/likes/{found['id']}/takedown"
    answer = client.post(path, json={"reason": "r"}, headers=admin.headers)
    assert refusal(answer) == (404, "not_found")
    assert seen(client, bob, track) == (True, 1, 0)


def likes(client, who, track):
    return read(client, who, f"/tracks/{track['id']}/likes")["items"]


def decide_like(client, admin, found, **fields):
    path = f"/ops/likes/{found['id']}/takedown"
    said = client.post(path, json={"reason": "bought", **fields}, headers=admin.headers).json()
    return said["affected"], said["taken_down_at"] is not None


def test_a_person_has_so_many_comments_at_a_track_as_one_who_is_here(client, alice, track, carol):
    for rkey in range(MAX_COMMENTS + 1):
        carol.comments(str(rkey))
    assert seen(client, alice, track)[2] == MAX_COMMENTS == 20
    carol.comments("0", text="No!")
    assert [each["text"] for each in shown(client, None, track)].count("No!") == 1
    carol.index.remove(HOST, CAROL, [carol.comments("1")])
    carol.comments("another")
    assert seen(client, alice, track)[2] == MAX_COMMENTS


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [
        ("2999-01-01T00:00:00Z", None),
        ("2019-05-04T01:03:07+02:00", "2019-05-03T23:03:07.000000Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00.000000Z"),
    ],
    ids=["later", "zone", "year 0"],
)
def test_none_is_newer_than_it_is_known(*, client, world, carol, claimed, kept):
    carol.likes(createdAt=claimed)
    carol.comments(createdAt=claimed)
    now = utc_text(world.now())
    times = world.rows(select(outsider_reaction.c.created_at)) + world.rows(select(reaction.c.created_at))
    assert {at for (at,) in times} == {kept} if kept else all("2020" < at <= now for (at,) in times)
    top = client.get("/plyr/tracks/top?period=day").json()
    assert len(top) == (0 if kept else 1)


def test_the_artist_finds_a_comment_among_those_at_all_own_tracks(*, client, world, alice, bob, track, carol):
    before = say(client, bob, track, text="Before").json()
    carol.comments()
    after = say(client, bob, track, text="After").json()
    with world.database.read() as connection:
        rows = comments_at_tracks_of(connection, alice.did, None, 2)
        older = comments_at_tracks_of(connection, alice.did, rows[-1].comment_id, 2)
        assert comments_at_tracks_of(connection, bob.did, None, 2) == []
    assert [row.comment_id for row in (rows[0], *older)] == [after["id"], before["id"]]
    assert (rows[1].did, rows[1].text, rows[1].is_hidden) == (CAROL, "Yes!", False)


def test_one_like_of_a_person_counts(client, alice, track, carol):
    first, second = carol.likes(), carol.likes(rkey="2")
    assert seen(client, alice, track) == (False, 1, 0)
    carol.index.remove(HOST, CAROL, [second])
    assert seen(client, alice, track) == (False, 1, 0)
    carol.index.remove(HOST, CAROL, [first])
    assert seen(client, alice, track) == (False, 0, 0)


def test_a_record_that_names_another_track_moves_there(client, world, alice, track, carol):
    second = upload(client, alice, seed=2)
    world.deliver()
    second = read(client, None, f"/tracks/{second['id']}")
    carol.comments()
    carol.comments(of=second)
    assert [len(shown(client, None, each)) for each in (track, second)] == [0, 1]
    assert [seen(client, alice, each)[2] for each in (track, second)] == [0, 1]


WRONG = [
    {"text": ""},
    {"text": "x" * 1001},
    {"timestampMs": -1},
    {"timestampMs": "1"},
    {"createdAt": "yesterday"},
    {"createdAt": f"2026-11-30T12:00:00.{'0' * 100}Z"},
    {"subject": "at://did:plc:a/b/c"},
    {"subject": {"uri": "at://alice.test/fm.plyr.track/1", "cid": "bafkrei"}},
    {"subject": {"uri": f"at://{CAROL}/fm.plyr.track/none", "cid": "bafkrei22"}},
]


@ON_SQLITE
def test_what_is_invalid_or_about_no_track_here_is_shown_no_longer(subtests, client, alice, track, carol):
    for wrong in WRONG:
        with subtests.test(str(wrong)[:80]):
            carol.comments()
            assert seen(client, alice, track) == (False, 0, 1)
            carol.comments(**wrong)
            assert (shown(client, None, track), seen(client, alice, track)) == ([], (False, 0, 0))


@ON_SQLITE
def test_a_record_that_does_not_match_its_cid_is_not_shown(client, world, track, carol):
    key = carol.comments()
    carol.index.remove(HOST, CAROL, [key])
    carol.index.put(HOST, key, Remote("bafyreianother", world.pds.records[key.uri]))
    assert shown(client, None, track) == []


def test_a_host_removes_what_it_has_shown_alone(client, alice, track, carol):
    key = carol.likes()
    carol.comments()
    carol.index.remove(OTHER_HOST, CAROL, [key])
    carol.index.move(OTHER_HOST, CAROL, None)
    assert seen(client, alice, track) == (False, 1, 1)
    carol.index.remove(HOST, CAROL, [key])
    assert seen(client, alice, track) == (False, 0, 1)


def test_a_person_who_comes_here_counts_once(client, world, alice, track, carol):
    carol.likes()
    signed_in = world.sign_in("carol")
    say(client, signed_in, track)
    world.carry()
    assert seen(client, signed_in, track) == (False, 1, 1)
    like(client, signed_in, track)
    world.carry()
    assert seen(client, signed_in, track) == (True, 1, 1)
    carol.likes(rkey="2")
    assert (seen(client, alice, track), world.rows(select(outsider_reaction))) == ((False, 1, 1), [])
    client.delete(f"/tracks/{track['id']}/like", headers=signed_in.headers)
    world.carry()
    assert seen(client, signed_in, track) == (False, 0, 1)


def test_an_account_that_moves_host_is_shown_by_the_new_one(client, alice, track, carol):
    key = carol.likes()
    carol.likes(host=OTHER_HOST)
    carol.index.remove(HOST, CAROL, [key])
    assert seen(client, alice, track) == (False, 1, 0)
    carol.index.move(OTHER_HOST, CAROL, HOST)
    assert (seen(client, alice, track), carol.index.next_to_read(HOST)) == ((False, 1, 0), key)
    carol.index.move(HOST, CAROL, OTHER_HOST)  # of no account here
    assert seen(client, alice, track) == (False, 0, 0)


def test_each_record_of_a_host_is_read_again_after_a_week_or_when_asked(world, carol):
    def age(key, days):
        which = outsider_reaction.c.rkey == key.rkey
        at = world.now() - timedelta(days=days)
        world.execute(outsider_reaction.update().where(which).values(read_at=at))

    def due(host=HOST):
        return [carol.index.next_to_read(host) for _ in range(3)]

    first, second = carol.comments("1"), carol.comments("2")
    assert due() == [None, None, None]
    age(first, 8)
    age(second, 9)
    assert (due(OTHER_HOST), due()) == ([None, None, None], [second, first, None])
    age(first, 6)
    assert due() == [None, None, None]
    carol.index.reverify(OTHER_HOST)
    carol.index.reverify(HOST, "did:plc:another")
    assert due() == [None, None, None]
    carol.index.reverify(HOST, CAROL)
    assert set(due()) == {first, second, None}
    carol.index.reverify(HOST)
    assert set(due()) == {first, second, None}


def test_a_comment_that_is_adopted_is_shown_once(client, world, alice, track, carol):
    key = carol.comments()
    world.sign_in("carol")

    def adopt(unit):
        number = next_subject_id(unit.connection, CAROL)
        said = {"text": "Yes!", "timestamp_ms": 1500, "created_at": "2026-11-30T12:00:00Z"}
        about = {"track_id": track["id"], "track_uri": track["atproto_record_uri"]}
        where = {"did": CAROL, "collection": key.collection, "rkey": key.rkey}
        of_record = {"track_cid": track["atproto_record_cid"], "cid": "bafy", **where}
        unit.save(Comment.adopt(at=datetime.now(UTC), comment_id=number, **said, **about, **of_record))

    world.log.transact(CAROL, Envelope(CAROL, "test", "test"), adopt)
    world.carry()
    [row] = shown(client, None, track)
    assert (row["did"], row["handle"], seen(client, alice, track)) == (CAROL, "carol.test", (False, 0, 1))


def test_a_rebuild_counts_it_too(client, world, alice, track, carol):
    carol.likes()
    carol.comments()
    world.execute(reaction.delete())
    rebuild(world.log, world.log.projections)
    assert seen(client, alice, track) == (False, 1, 1)


def test_it_goes_with_the_account_of_the_track(client, world, alice, carol):
    carol.likes()
    carol.comments()
    is_deleted(world, client, alice)
    assert world.rows(select(outsider_reaction)) == world.rows(select(reaction)) == []
    carol.likes()
    assert world.rows(select(outsider_reaction)) == []


def test_a_host_shows_so_many_new_ones_of_a_track_on_a_day_and_is_named_once(
    *, client, world, alice, track, carol, monkeypatch, caplog
):
    monkeypatch.setattr(outsiders, "MAX_NEW_OF_A_HOST", 3)
    caplog.set_level("WARNING", "mastertape.outbox")
    first = carol.likes()
    for rkey in range(5):
        carol.comments(str(rkey))
    assert seen(client, alice, track) == (False, 1, 2)
    assert [(each.host, each.track_id) for each in limited(caplog)] == [(HOST, track["id"])]
    carol.comments("0", text="No!")
    assert "No!" in [each["text"] for each in shown(client, None, track)]
    carol.comments("other", host=OTHER_HOST)
    assert seen(client, alice, track) == (False, 1, 3)

    carol.index.remove(HOST, CAROL, [first])
    carol.comments("instead")
    yesterday = world.now() - timedelta(days=1)
    world.execute(outsider_reaction.update().values(shown_at=yesterday))
    carol.comments("later")
    assert seen(client, alice, track) == (False, 0, 5)


def limited(caplog):
    return [each for each in caplog.records if each.msg == "outsiders_limited"]


def test_an_operator_has_a_host_followed_no_longer_which_forgets_what_it_has_shown(
    *, client, world, bob, admin, track, carol
):
    like(client, bob, track)
    world.carry()
    key = carol.likes()
    carol.comments()
    carol.comments("other", host=OTHER_HOST)
    assert seen(client, bob, track) == (True, 2, 2)

    assert decides(client, admin, "unfollow", dry_run=True) == 1
    assert decides(client, admin, "unfollow", expected=1) == 1
    assert decides(client, admin, "unfollow") == 0
    assert seen(client, bob, track) == (True, 1, 1)
    rebuild(world.log, world.log.projections)
    assert seen(client, bob, track) == (True, 1, 1)

    carol.likes()  # which was read before, and is stored after
    carol.comments("other", host=OTHER_HOST)
    carol.index.move(OTHER_HOST, CAROL, HOST)
    assert seen(client, bob, track) == (True, 1, 0)

    (host,) = read(client, admin, f"/ops/hosts?host={HOST}")["items"]
    assert host["followed"] is False
    assert decides(client, admin, "follow") == 1
    carol.index.put(HOST, key, asyncio.run(world.services.pds.get(HOST, key)))
    assert seen(client, bob, track) == (True, 2, 0)
    acts = read(client, admin, f"/audit?did={admin.did}&type=OperatorActed")["items"]
    told = [{each["field"]: each["after"] for each in act["changes"]} for act in acts]
    assert [(each["action"], each["affected"], each["filter"].get("forgotten")) for each in told] == [
        ("follow", 1, None),
        ("unfollow", 0, 0),
        ("unfollow", 1, 2),
    ]


def decides(client, admin, action, **fields):
    wanted = {"action": action, "host": HOST, "reason": "floods", **fields}
    return client.post("/ops/hosts", json=wanted, headers=admin.headers).json()["affected"]


def test_whether_it_is_followed_is_decided_of_a_host_alone(client, alice, admin):
    for named in ({"did": alice.did}, {"did": alice.did, "host": HOST}):
        for more in ({}, {"dry_run": True}):
            wanted = {"action": "unfollow", "reason": "r", **named, **more}
            answer = client.post("/ops/hosts", json=wanted, headers=admin.headers)
            assert refusal(answer) == (400, "invalid_field")
