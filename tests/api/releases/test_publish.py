"""Publishing a release: all of it in its order in one unit of work, at its time, once; or nothing, with the reason."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from application import account, subjects
from application.errors import VersionMismatchError
from application.releases import publishing
from eventstore.coordination.restore_detection import log_incarnation
from eventstore.coordination.threads import Threads
from eventstore.jobs import queue
from eventstore.jobs.worker import Worker
from eventstore.sql.schema import stored_event
from outbox.mirror.lanes import change_lane
from outbox.mirror.states import LaneState
from projections import releases
from storage.public.publisher import Publisher
from tests.api.account_deletion.deletion import leave
from tests.api.likes.test_like import make_due
from tests.api.releases.uploads import draft, read, tagged, uploaded
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, upload
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.storage.public.public_rig import Clock

pytestmark = ON_SQLITE
ALBUM = {"title": "Pressings", "description": "Words", "release_date": "2026-11-30", "tags": ["ambient"]}


@pytest.fixture
def release(client, alice):
    made = draft(client, alice, **ALBUM)
    for seed, number in enumerate((3, 1, 2)):
        uploaded(client, alice, made, tagged(seed, title=f"Song {number}", number=str(number)))
    return made


def publish(client, person, release, **fields):
    return client.post(f"/releases/{release['id']}/publish", json=fields, headers=person.headers)


def as_track(client, person, data):
    files = {"file": ("x.mp3", data)}
    return client.post("/tracks", data={"title": "x"}, files=files, headers=person.headers).json()


def published(world, client, person, release):
    """Publish now, and return the release and its tracks."""
    assert publish(client, person, release).status_code == 200
    world.carry()
    made = read(client, person, release)
    return made, [client.get(f"/tracks/{each}").json() for each in made["track_ids"]]


@ON_BOTH
def test_tracks_and_album_are_made_in_order_in_one_unit(world, client, alice, release):
    with world.database.read() as connection:
        before = connection.execute(select(stored_event.c.position)).all()[-1].position
    made, tracks = published(world, client, alice, release)
    assert (made["state"], made["expires_at"]) == ("published", None)
    assert [track["title"] for track in tracks] == ["Song 1", "Song 2", "Song 3"]
    assert {(track["album"], *track["tags"], track["artist"]) for track in tracks} == {
        ("Pressings", "ambient", "Alice")
    }
    for name in ("created_at", "atproto_record_uri", "id"):
        values = [track[name] for track in tracks]
        assert values == sorted(set(values))
    album = client.get(f"/albums/{made['album_id']}").json()
    assert {name: album[name] for name in ("title", "description", "release_date")} == {
        name: ALBUM[name] for name in ("title", "description", "release_date")
    }
    assert [entry["track_id"] for entry in album["tracks"]] == made["track_ids"]
    event = stored_event.c
    times = world.scalars(select(event.recorded_at).distinct().where(event.position > before))
    assert len(times) == 2  # scheduled, and all the rest


def test_each_track_of_a_long_release_finds_its_key_at_once(world, client, alice, release, monkeypatch):
    asked, is_taken = [], subjects.is_taken

    def counted(connection, key):
        asked.append(key)
        return is_taken(connection, key)

    monkeypatch.setattr(subjects, "is_taken", counted)
    made, _ = published(world, client, alice, release)
    assert len(asked) == len(made["track_ids"]) + 1  # and the album


def test_without_a_title_the_tracks_are_in_no_album(world, client, alice):
    release = draft(client, alice, support_gate={"type": "any"}, copy_audio=True, unlisted=True)
    uploaded(client, alice, release, tagged(1, title="Song"))
    made, (track,) = published(world, client, alice, release)
    assert (made["album_id"], track["album"]) == (None, None)
    assert (track["support_gate"], track["unlisted"]) == ({"type": "any"}, True)


def test_the_album_of_an_unlisted_release_is_shown_to_its_artist_alone_until_a_track_is_listed(
    world, client, alice, release
):
    client.patch(f"/releases/{release['id']}", json={"unlisted": True}, headers=alice.headers)
    made, tracks = published(world, client, alice, release)
    album = f"/albums/{made['album_id']}"
    slug = client.get(album, headers=alice.headers).json()["slug"]
    ways = (album, f"/@alice.test/albums/{slug}/feed.xml", f"/plyr/albums/alice.test/{slug}")

    def shown_to(**headers):
        items = client.get("/artists/alice.test/albums", headers=headers).json()["items"]
        named = client.get(f"/plyr/tracks/{tracks[0]['id']}", headers=headers).json()["album"]
        statuses = (client.get(way, headers=headers).status_code for way in ways)
        return len(items), named is not None, *statuses

    assert (shown_to(**alice.headers), shown_to()) == ((1, True, 200, 404, 200), (0, False, 404, 404, 404))
    client.patch(f"/tracks/{tracks[1]['id']}", json={"unlisted": False}, headers=alice.headers)
    assert shown_to() == (1, True, 200, 200, 200)


@ON_BOTH
def test_an_album_that_others_are_not_shown_takes_no_place_in_their_pages(world, client, alice, release):
    shown = client.post("/albums", json={"title": "Shown"}, headers=alice.headers).json()
    client.patch(f"/releases/{release['id']}", json={"unlisted": True}, headers=alice.headers)
    made, _ = published(world, client, alice, release)

    def page(path="/artists/alice.test/albums", **headers):
        return client.get(path, params={"limit": 1}, headers=headers).json()

    assert [each["id"] for each in page(**alice.headers)["items"]] == [made["album_id"]]
    assert [each["id"] for each in page()["items"]] == [shown["id"]]
    assert page()["cursor"] is None


def test_a_second_publish_answers_as_the_first(world, client, alice, release):
    first = publish(client, alice, release).json()
    assert publish(client, alice, release, at="2030-01-01T00:00:00Z").json() == first
    world.carry()
    made = read(client, alice, release)
    assert publish(client, alice, release).json() == made
    world.carry()
    assert read(client, alice, release) == made


@pytest.mark.parametrize("point", ["register_track", "create_list", "_make_tracks", "after the unit"])
def test_what_ends_on_the_way_leaves_nothing_twice_and_nothing_lost(world, client, alice, release, point):
    publish(client, alice, release)
    with pytest.MonkeyPatch.context() as patch:
        if point == "after the unit":
            whole = publishing.Publishing._publish  # noqa: SLF001 - the step of its work

            def dies_after(*arguments):
                whole(*arguments)
                raise RuntimeError("killed")

            patch.setattr(publishing.Publishing, "_publish", dies_after)
        else:
            patch.setattr(publishing, point, dies)
        world.carry()
    make_due(world)
    world.carry()
    made = read(client, alice, release)
    assert (made["state"], len(made["track_ids"])) == ("published", 3)
    found = client.get("/tracks").json()["items"]
    assert sorted(each["title"] for each in found) == ["Song 1", "Song 2", "Song 3"]
    assert len(client.get("/artists/alice.test/albums").json()["items"]) == 1


def fails(world, client, person, release, monkeypatch, *, times):
    """Publish now, and let as many attempts fail."""
    publish(client, person, release)
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_make_tracks", dies)
        for attempt in range(times):
            assert read(client, person, release)["state"] == "publishing", attempt
            make_due(world)
            world.carry()


def test_a_release_that_fails_at_each_attempt_says_so_and_can_be_published_again(
    world, client, alice, release, monkeypatch
):
    fails(world, client, alice, release, monkeypatch, times=publishing.MAX_ATTEMPTS + 1)
    made = read(client, alice, release)
    assert (made["state"], made["reasons"]) == ("failed", [publishing.GIVEN_UP])
    assert published(world, client, alice, release)[0]["state"] == "published"


def test_a_release_that_was_taken_back_after_attempts_is_published_at_once(
    world, client, alice, release, monkeypatch
):
    fails(world, client, alice, release, monkeypatch, times=publishing.MAX_ATTEMPTS)
    client.post(f"/releases/{release['id']}/unschedule", headers=alice.headers)
    assert published(world, client, alice, release)[0]["state"] == "published"


@ON_BOTH
def test_a_release_that_changes_while_it_is_published_is_published_as_it_is_then(
    world, client, alice, release, monkeypatch
):
    publish(client, alice, release)
    whole, refused = publishing.Publishing._publish, []  # noqa: SLF001 - the step of its work
    url = f"/releases/{release['id']}"

    def overtaken(*arguments):
        monkeypatch.setattr(publishing.Publishing, "_publish", whole)
        assert client.post(f"{url}/unschedule", headers=alice.headers).json()["state"] == "draft"
        first = read(client, alice, release)["files"][0]["upload_id"]
        client.delete(f"{url}/uploads/{first}", headers=alice.headers)
        publish(client, alice, release)
        try:
            whole(*arguments)
        except VersionMismatchError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(publishing.Publishing, "_publish", overtaken)
    world.carry()
    assert (len(read(client, alice, release)["track_ids"]), len(refused)) == (2, 1)


def dies(*_arguments, **_named):
    raise RuntimeError("killed")


def test_a_scheduled_release_waits_for_its_time_and_can_be_taken_back(world, client, alice, release):
    answer = publish(client, alice, release, at="2100-12-05T09:00:00+01:00").json()
    assert (answer["state"], answer["publish_at"]) == ("scheduled", "2100-12-05T08:00:00Z")
    world.carry()
    assert read(client, alice, release)["state"] == "scheduled"
    answer = client.patch(f"/releases/{release['id']}", json={"title": "x"}, headers=alice.headers)
    assert refusal(answer) == (409, "bad_state")
    for _ in range(2):
        answer = client.post(f"/releases/{release['id']}/unschedule", headers=alice.headers)
        assert (answer.json()["state"], answer.json()["publish_at"]) == ("draft", None)
    assert published(world, client, alice, release)[0]["state"] == "published"


@ON_BOTH
def test_a_release_is_published_at_its_time(world, client, alice, release):
    soon = world.now() + timedelta(milliseconds=300)
    publish(client, alice, release, at=soon.isoformat())
    while read(client, alice, release)["state"] != "published":
        world.carry()
    (at,) = world.scalars(
        select(stored_event.c.recorded_at).where(stored_event.c.topic == "release.published.v1")
    )
    assert at >= soon


@ON_BOTH
def test_an_account_that_its_pds_has_taken_down_publishes_nothing(world, client, alice, release):
    publish(client, alice, release)
    for state, shown in ((LaneState.INACTIVE, "publishing"), (LaneState.READY, "published")):
        with world.database.write() as connection:
            change_lane(connection, alice.did, state=state)
        world.carry()
        assert read(client, alice, release)["state"] == shown


def test_an_account_that_is_leaving_publishes_nothing(world, client, alice, release, monkeypatch):
    publish(client, alice, release)
    monkeypatch.setattr(account, "delete_subjects", lambda *_: None)  # which comes later than the job here
    leave(client, alice)
    world.carry()
    topics = world.scalars(select(stored_event.c.topic))
    assert not [each for each in topics if each.startswith(("track.", "list.", "release.published"))]


@ON_BOTH
def test_releases_that_may_not_run_keep_no_other_waiting_and_are_requested_once(
    world, client, alice, release, monkeypatch
):
    monkeypatch.setattr(releases, "MAX_REQUESTED", 1)
    bob = world.sign_in("bob")
    publish(client, alice, release)
    with world.database.write() as connection:
        change_lane(connection, alice.did, state=LaneState.INACTIVE)
    world.carry()
    other = draft(client, bob)
    uploaded(client, bob, other, tagged(1, title="Song"))
    assert published(world, client, bob, other)[0]["state"] == "published"
    assert read(client, alice, release)["state"] == "publishing"
    monkeypatch.setattr(queue, "request", dies)
    world.carry()


def test_a_release_that_is_published_now_has_its_job_in_the_same_transaction(
    client, world, alice, release, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(queue, "request", dies)
        assert publish(client, alice, release).status_code == 500
    assert read(client, alice, release)["state"] == "draft"
    publish(client, alice, release)
    with world.database.read() as connection:
        assert queue.job_of(connection, publishing.PUBLISH, str(release["id"]), alice.did) is not None


def test_a_time_without_a_zone_is_refused_and_one_in_the_past_is_now(client, alice, release):
    assert refusal(publish(client, alice, release, at="2026-12-05T09:00:00")) == (400, "invalid_field")
    answer = publish(client, alice, release, at="2020-12-05T09:00:00Z").json()
    assert answer["publish_at"] == answer["changed_at"]


def test_a_release_that_cannot_be_published_says_why_and_can_be_mended(world, client, alice, release):
    publish(client, alice, release)
    track = upload(client, alice, seed=99)
    file = read(client, alice, release)["files"][0]
    double = as_track(client, alice, tagged(1, title="Song 1", number="1"))
    world.carry()
    made = read(client, alice, release)
    assert (made["state"], made["track_ids"]) == ("failed", [])
    assert f"{file['name']} has exactly the audio of track {double['id']}" in made["reasons"][0]
    assert {each["id"] for each in client.get("/tracks").json()["items"]} == {
        track["id"],
        double["id"],
    }
    url = f"/releases/{release['id']}/uploads/{file['upload_id']}"
    assert client.delete(url, headers=alice.headers).status_code == 204
    assert read(client, alice, release)["state"] == "draft"
    assert len(published(world, client, alice, release)[1]) == 2


def test_an_album_with_the_title_is_a_reason(world, client, alice, release):
    client.post("/albums", json={"title": "Pressings"}, headers=alice.headers)
    made, _ = published(world, client, alice, release)
    assert (made["state"], "has this title" in made["reasons"][0]) == ("failed", True)
    assert client.get("/tracks").json()["items"] == []


def test_a_service_that_waits_for_recovered_publishes_nothing(world, client, alice, release):
    publish(client, alice, release)
    for reason in ("restored", None):
        with world.database.write() as connection:
            if not connection.execute(update(log_incarnation).values(restored_because=reason)).rowcount:
                row = {"id": 1, "identity": "this", "restored_because": reason}
                connection.execute(insert(log_incarnation).values(row))
        world.carry()
        assert read(client, alice, release)["state"] == ("publishing" if reason else "published")


def test_a_release_is_published_though_its_public_copies_take_long(
    world, client, alice, release, monkeypatch
):
    clock = Clock()
    monkeypatch.setattr(world.database, "_clock", clock)

    class SlowCopies:
        def publish(self, *_copy):
            clock.ahead += timedelta(seconds=200)

    publish(client, alice, release)
    carry_with(world, SlowCopies())
    assert read(client, alice, release)["state"] == "published"


def test_bytes_that_an_operator_takes_down_before_the_time_get_no_public_copy(
    world, client, alice, admin, release
):
    made = []

    class Copies:
        def publish(self, *copy):
            made.append(copy)

    publish(client, alice, release)
    files = {"file": ("x.mp3", tagged(2, title="Song 2", number="2"))}
    track = client.post("/tracks", data={"title": "x"}, files=files, headers=alice.headers).json()
    decide(client, admin, track, bytes=True)
    carry_with(world, Copies())
    assert (read(client, alice, release)["state"], made) == ("failed", [])


def carry_with(world, copies):
    """Run what is due where the store has public copies."""
    made = world.made
    publisher = Publisher(made.media, copies, owner="test")
    parts = (world.log, made.accounts, made.kinds, made.media, publisher, Threads("publishing", 1))
    kind = publishing.Publishing(*parts).kind()
    asyncio.run(Worker(world.database, [kind], owner="test", lease=timedelta(hours=1)).run_once())


def test_an_upload_to_a_release_that_is_scheduled_is_refused_when_it_is_whole(client, alice, release):
    publish(client, alice, release, at="2100-12-05T09:00:00Z")
    assert refusal(
        client.post(f"/releases/{release['id']}/uploads", headers={**alice.headers, "Upload-Complete": "?0"})
    ) == (409, "bad_state")
