"""Idempotency-Key: the same request twice is one command."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import insert, select, update

from aggregates.reactions.like import Like
from api.pipeline import idempotent_request
from eventstore.idempotency import idempotency, running_request
from projections import outsiders
from projections.reactions import outsider_reaction
from tests.api.auth.route_table import ROUTES, Who, of
from tests.api.ops.requests import cannot_be_made, read
from tests.api.world import refusal, upload, upload_with_all
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

KEY = {"Idempotency-Key": "k-1"}


def rows(world):
    return world.rows(select(idempotency))


def running(world):
    return world.rows(select(running_request))


async def uploaded(client):
    files = {"file": ("a.mp3", samples.mp3(), "audio/mpeg")}
    return (await client.post("/tracks", data={"title": "t"}, files=files)).json()


def post(client, person, *, seed=1, image=None):
    files = {"file": ("a.mp3", samples.mp3(seed), "audio/mpeg")}
    if image:
        files["image"] = image
    return client.post("/tracks", data={"title": "t"}, files=files, headers={**person.headers, **KEY})


@ON_SQLITE
def test_another_file_under_the_same_key_is_refused(client, world, alice):
    post(client, alice)
    before = world.state()
    for change in ({"seed": 2}, {"image": samples.png()}):
        assert refusal(post(client, alice, **change)) == (422, "idempotency_mismatch")
    assert world.state() == before


@ON_SQLITE
def test_another_query_under_the_same_key_is_refused(client, world, alice):
    one, two = (upload(client, alice, seed=seed)["id"] for seed in (1, 2))
    entries = [{"track_id": one}, {"track_id": two}]
    made = client.post("/playlists", json={"name": "p", "tracks": entries}, headers=alice.headers).json()
    path, headers = f"/playlists/{made['id']}/tracks", {**alice.headers, **KEY}
    first = client.delete(path, params={"track_id": one}, headers=headers)
    assert client.delete(path, params={"track_id": one}, headers=headers).json() == first.json()
    before = world.state()
    other = client.delete(path, params={"track_id": two}, headers=headers)
    assert refusal(other) == (422, "idempotency_mismatch")
    assert world.state() == before


@ON_SQLITE
def test_a_repeated_command_is_answered_as_before_whatever_came_since(client, world, alice):
    track = upload(client, alice)
    path, headers = f"/tracks/{track['id']}", {**alice.headers, **KEY, "If-Match": f'"{track["version"]}"'}
    first = client.patch(path, json={"title": "a"}, headers=headers)
    client.patch(path, json={"title": "b"}, headers=alice.headers)
    second = client.patch(path, json={"title": "a"}, headers=headers)
    assert (second.status_code, second.json()) == (200, first.json())
    deleted = client.delete(path, headers={**alice.headers, **KEY})
    assert client.delete(path, headers={**alice.headers, **KEY}).json() == deleted.json()
    assert world.events(track["id"]) == ["Created", "MetadataUpdated", "MetadataUpdated", "Deleted"]


@ON_SQLITE
def test_a_key_belongs_to_its_account_method_and_route(client, alice, bob):
    one, two = upload(client, alice, seed=1), upload(client, bob, seed=2)
    three = upload(client, alice, seed=3)
    for person, track in ((alice, one), (bob, two), (alice, three)):
        headers = {**person.headers, **KEY}
        edited = client.patch(f"/tracks/{track['id']}", json={"title": person.did}, headers=headers)
        assert (edited.json()["id"], edited.json()["title"]) == (track["id"], person.did)
    assert client.delete(f"/tracks/{one['id']}", headers={**alice.headers, **KEY}).status_code == 200


@ON_SQLITE
def test_a_refused_command_keeps_no_answer(client, world, alice):
    track = upload(client, alice)
    headers = {**alice.headers, **KEY}
    path = f"/tracks/{track['id']}"
    assert refusal(client.patch(path, json={"title": ""}, headers=headers)) == (400, "invalid_field")
    mismatch = client.patch(path, json={"title": "a"}, headers={**headers, "If-Match": '"99"'})
    assert refusal(mismatch) == (412, "version_mismatch")
    assert rows(world) == []
    assert client.patch(path, json={"title": "a"}, headers=headers).status_code == 200


def test_after_a_day_the_key_is_free_and_its_row_is_gone(client, world, alice):
    track = upload(client, alice)
    headers, path = {**alice.headers, **KEY}, f"/tracks/{track['id']}"
    client.patch(path, json={"title": "a"}, headers=headers)
    with world.database.write() as connection:
        old = world.database.now(connection) - timedelta(hours=24, seconds=1)
        connection.execute(update(idempotency).values(created_at=old))
    assert client.patch(path, json={"title": "b"}, headers=headers).json()["title"] == "b"
    assert len(rows(world)) == 1


@ON_SQLITE
def test_a_key_that_is_none_is_refused(client, alice):
    for key in ("", "a b", "ä", "x" * 256):
        headers = {**alice.headers, "Idempotency-Key": key.encode()}
        assert refusal(client.delete("/tracks/1", headers=headers)) == (422, "unparsable"), key


def test_a_path_that_no_database_could_keep_is_refused_for_what_it_names(client, alice):
    headers = {**alice.headers, **KEY}
    assert refusal(client.post(f"/tracks/{3**8000}/undelete", headers=headers)) == (404, "track_not_found")
    assert refusal(client.delete("/auth/tokens/a%00b", headers=headers)) == (404, "not_found")


@pytest.mark.anyio
async def test_of_many_at_once_one_runs_and_the_others_are_told_or_given_its_answer(world, alice):
    files = {"file": ("a.mp3", samples.mp3(), "audio/mpeg")}
    async with world.async_client(alice) as client:
        answers = await asyncio.gather(
            *(client.post("/tracks", data={"title": "t"}, files=files, headers=KEY) for _ in range(8))
        )
    done = [answer.json() for answer in answers if answer.status_code == 201]
    assert done
    assert all(each == done[0] for each in done)
    told = {refusal(answer) for answer in answers if answer.status_code != 201}
    assert told <= {(409, "in_progress")}
    assert world.events(done[0]["id"]) == ["Created"]
    assert len(world.rows(select(idempotency))) == 1


def slowly_resolved(world):
    """Hold up name resolution: yields an event that is set once a name is asked for, and one that lets it continue."""
    resolving, go_on = asyncio.Event(), asyncio.Event()
    did_of = world.names.did_of

    async def slowly(identifier):
        resolving.set()
        await go_on.wait()
        return await did_of(identifier)

    world.names.did_of = slowly
    return resolving, go_on


@asynccontextmanager
async def slow_edit(world, alice):
    """Of two applications, which share nothing but the database, the first edits a track until it may go on."""
    one = world.async_client(alice)
    world.serve()
    two = world.async_client(alice)
    async with one, two:
        track = await uploaded(one)
        resolving, go_on = slowly_resolved(world)
        edit = partial(two.patch, f"/tracks/{track['id']}", json={"features": ["bob.test"]}, headers=KEY)
        first = asyncio.create_task(one.patch(*edit.args, **edit.keywords))
        await resolving.wait()
        yield track, first, go_on, edit


@pytest.mark.anyio
async def test_another_process_is_told_to_come_again_before_it_takes_the_body(world, alice):
    async with slow_edit(world, alice) as (_, first, go_on, edit):
        told = await edit(json=None, content=b"{", headers={**KEY, "Content-Type": "application/json"})
        assert (refusal(told), told.headers["retry-after"]) == ((409, "in_progress"), "1")
        go_on.set()
        done = (await first).json()
        assert (await edit()).json() == done
        assert running(world) == []


@pytest.mark.anyio
async def test_of_two_processes_that_run_all_the_same_the_second_gives_the_answer_of_the_first(world, alice):
    """The lease of the first is over: it was stopped for so long."""
    async with slow_edit(world, alice) as (track, first, go_on, edit):
        with world.database.write() as connection:
            connection.execute(update(running_request).values(lease_until=world.database.now(connection)))
        (of_the_first,) = running(world)
        second = asyncio.create_task(edit())
        await until_async(lambda: [each.run for each in running(world)] != [of_the_first.run])
        go_on.set()
        assert (await first).json() == (await second).json()
        assert world.events(track["id"]) == ["Created", "MetadataUpdated"]
        assert (len(rows(world)), running(world)) == (1, [])


def test_what_a_crash_left_running_ends_with_its_lease(client, world, alice):
    track = upload(client, alice)
    path, headers = f"/tracks/{track['id']}", {**alice.headers, **KEY}
    row = {"did": alice.did, "method": "PATCH", "route": path, "key": KEY["Idempotency-Key"], "run": "dead"}
    with world.database.write() as connection:
        now = world.database.now(connection)
        connection.execute(insert(running_request).values(**row, lease_until=now + timedelta(minutes=1)))
    assert refusal(client.patch(path, json={"title": "a"}, headers=headers)) == (409, "in_progress")
    world.execute(update(running_request).values(lease_until=now))
    assert client.patch(path, json={"title": "a"}, headers=headers).status_code == 200
    assert running(world) == []


@pytest.mark.anyio
async def test_one_that_takes_long_holds_its_key_all_the_while(world, alice, monkeypatch):
    monkeypatch.setattr("eventstore.idempotency.RENEWAL_SECONDS", 0.01)
    async with world.async_client(alice) as client:
        track = await uploaded(client)
        resolving, go_on = slowly_resolved(world)
        path, fields = f"/tracks/{track['id']}", {"features": ["bob.test"]}
        first = asyncio.create_task(client.patch(path, json=fields, headers=KEY))
        await resolving.wait()
        (begun,) = running(world)
        await until_async(lambda: running(world)[0].lease_until > begun.lease_until)
        go_on.set()
        assert (await first).status_code == 200


@ON_SQLITE
@pytest.mark.anyio
async def test_a_waiting_commands_kept_answer_is_the_one_before_the_wait(world, alice):
    async with world.async_client(alice) as client:
        files = {"file": ("a.mp3", samples.mp3(), "audio/mpeg")}
        first = asyncio.create_task(
            client.post("/tracks", data={"title": "t"}, files=files, headers={**KEY, "Prefer": "wait=20"})
        )
        await until_async(lambda: rows(world))
        second = await client.post("/tracks", data={"title": "t"}, files=files, headers=KEY)
        assert second.json()["mirror"]["state"] == "pending"
        await world.relay.run_once()
        assert (await first).json()["mirror"]["state"] == "delivered"
        third = await client.post("/tracks", data={"title": "t"}, files=files, headers=KEY)
        assert third.json() == second.json()


KEYED = [route for route in of(Who.OWN, Who.ADMIN) if not route.startswith("GET ") and route != "DELETE /me"]

OTHER_BODIES = {
    "/auth/tokens": {"name": "other"},
    "/albums": {"title": "other"},
    "/playlists": {"name": "other"},
    "/releases": {"title": "other"},
    "/me/migrate-to-pds": {"retry_failed": True},
    "PATCH /me": {"bio": "other"},
    "/tracks/{track_id}/comments": {"text": "other", "timestamp_ms": 1},
    **{
        path: {"reason": "other"}
        for path in (
            "/ops/lanes",
            "/ops/hosts",
            "/ops/failures",
            *(
                f"/ops/{word}s/{{{word}_id}}/takedown"
                for word in ("track", "comment", "like", "album", "playlist", "profile")
            ),
            "/ops/accounts/{did}/tokens/end",
            "/ops/repairs",
            "/ops/repairs/{repair_id}",
            "/ops/jobs/{job_id}/retry",
        )
    },
}
OF_AN_ACCOUNT = ("/ops/lanes", "/ops/hosts", "/ops/failures", "/ops/repairs")
"""Their bodies name it."""
BESIDE = ("/comments", "{comment_id}", "{album_id}", "{playlist_id}", "{profile_id}")
"""What has to be there beside the track for the routes about it."""


def liked_from_outside(world, owner, track):
    of = {"author": "did:plc:outsider", "host": "h", "collection": "c", "rkey": "1", "created_at": "2026"}
    like = {
        "did": owner.did,
        "kind": Like.TOPIC,
        "track_id": track["id"],
        "text": None,
        "timestamp_ms": None,
        **of,
        "shown_at": world.now(),
    }
    with world.database.write() as connection:
        outsiders.put(connection, like, max_comments=1, max_of_host=1)
    [row] = world.rows(select(outsider_reaction))
    return row.subject_id


def said(answer):
    return answer.status_code, answer.json(), answer.headers.get("location"), answer.headers.get("etag")


@ON_SQLITE
@pytest.mark.parametrize("route", KEYED)
def test_commands_without_a_track_happen_once_too(client, world, route, admin):
    method, path = route.split(" ")
    make = upload_with_all if any(each in path for each in BESIDE) else upload
    track = make(client, admin, seed=3)
    names = {**track, "track_id": track["id"], "did": world.sign_in("bob").did}
    if "{like_id}" in path:
        names["like_id"] = liked_from_outside(world, admin, track)
    if "{repair_id}" in path:
        started = {"did": admin.did, "reason": "r"}
        names["repair_id"] = client.post("/ops/repairs", json=started, headers=admin.headers).json()["id"]
    if "{job_id}" in path:
        cannot_be_made(world, "bafy")
        names["job_id"] = read(client, admin, "/ops/jobs")["items"][0]["id"]
    if route == "DELETE /me/likes/record":
        client.put(path, headers=admin.headers)
    asked = {"headers": {**admin.headers, **KEY}, **ROUTES[route].body}

    def ask(**more):
        return client.request(method, path.format(**names), **{**asked, **more})

    if path in OF_AN_ACCOUNT:
        asked["json"] = {**asked["json"], "did": admin.did}
    version = read(client, admin, f"/tracks/{track['id']}")["version"]
    edits = [{"id": track["id"], "version": version, "title": title} for title in ("x", "other")]
    if route == "PATCH /tracks":
        asked["json"] = {"edits": edits[:1]}
    if route == "POST /tracks":
        asked["files"] = {"file": samples.mp3(4)}
    world.pds.away = True
    first, before = ask(), world.state()
    assert first.is_success, first.text
    again = ask()
    if path == "/auth/tokens" and method == "POST":
        assert refusal(again) == (409, "token_shown_once")
        assert again.json()["detail"]["token_id"] == first.json()["id"]
        assert first.json()["token"] not in repr(rows(world))
    else:
        assert said(again) == said(first)
    assert world.state() == before
    other = (
        ask(files={"image": samples.png(color="red")})
        if path == "/me/avatar"
        else ask(data={"title": "other"})
        if "files" in asked
        else ask(json=OTHER_BODIES.get(path if method == "POST" else route, {"edits": edits[1:]}))
    )
    has_fields = "json" in asked or "files" in asked
    assert refusal(other) == ((422, "idempotency_mismatch") if has_fields else (400, "unknown_field"))
    assert world.state() == before


@ON_SQLITE
def test_an_action_that_was_refused_keeps_no_answer(client, world, admin):
    headers = {**admin.headers, **KEY}
    assert refusal(client.post("/ops/hosts", json={"action": "dance"}, headers=headers))[0] == 400
    assert (rows(world), running(world)) == ([], [])
    redrive = {"action": "redrive", "did": admin.did}
    assert client.post("/ops/hosts", json=redrive, headers=headers).status_code == 200


@ON_SQLITE
def test_leaving_is_asked_for_once(client, world, alice):
    upload(client, alice)
    world.deliver()
    world.pds.away = True
    headers = {**alice.headers, **KEY}
    first = client.delete("/me", headers=headers)
    before = world.state()
    assert first.status_code == 202
    again = client.delete("/me", headers=headers)
    assert said(again) == said(first)
    assert world.state() == before


@ON_SQLITE
def test_ending_a_token_again_under_its_key_is_no_error(client, alice):
    made = client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers).json()
    ended = [
        client.delete(f"/auth/tokens/{made['id']}", headers={**alice.headers, **KEY}).status_code
        for _ in range(2)
    ]
    assert ended == [200, 200]


@ON_SQLITE
def test_a_long_result_of_work_that_may_be_done_twice_is_not_kept(client, world, alice, monkeypatch):
    headers = {**alice.headers, **KEY}
    short = client.post("/me/verify", headers=headers).json()
    assert len(rows(world)) == 1
    monkeypatch.setattr(idempotent_request, "MAX_KEPT_CHARACTERS", 1)
    headers["Idempotency-Key"] = "k-2"
    for _ in range(2):
        assert client.post("/me/verify", headers=headers).json() == short
    assert (len(rows(world)), running(world)) == (1, [])
