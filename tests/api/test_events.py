"""Server-sent events, resumed after the last event that the client received."""

import asyncio
import json

import pytest

from tests.api.world import Person, refusal, upload
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async


@pytest.fixture
def tracks(client, alice, bob):
    """A track of alice's, retitled once, and one of bob's."""
    made = [upload(client, alice, seed=1), upload(client, bob, seed=2)]
    client.patch(f"/tracks/{made[0]['id']}", json={"title": "new"}, headers=alice.headers)
    return made


def follow(client, person, last=None, **params):
    """What is there already, from an event on."""
    since = {} if last is None else {"Last-Event-ID": str(last)}
    return client.get("/events", params=params, headers={**person.headers, "Prefer": "wait=0", **since})


def frames(text):
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


def events(answer):
    """The events of a stream, without the hints."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = frames(answer.text)
    assert lines[0] == {"retry": "1000"}
    return [each for each in lines[1:] if each["event"] != "mirror"]


class Stream:
    """An open stream of a person, as it is received."""

    def __init__(self, world, person, query=""):
        self._app, self._person, self._query = world.app, person, query
        self._requested = self.has_ended = False
        self.text = ""

    async def run(self):
        headers = [(name.lower().encode(), value.encode()) for name, value in self._person.headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": "/events", "raw_path": b"/events", "root_path": "",
            "query_string": self._query.encode(), "headers": [(b"host", b"test"), *headers],
            "client": ("127.0.0.1", 1), "server": ("test", 80),
        }  # fmt: skip
        await self._app(scope, self._receive, self._send)
        self.has_ended = True

    @property
    def received(self):
        return [each["event"] for each in frames(self.text) if "event" in each]

    async def _receive(self):
        if self._requested:
            await asyncio.Event().wait()
        self._requested = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message):
        self.text += message.get("body", b"").decode()


def types(answer):
    return [each["event"] for each in events(answer) if each["event"] in {"Created", "MetadataUpdated"}]


@pytest.mark.usefixtures("tracks")
def test_events_after_the_last_one_come_oldest_first_as_in_the_audit(client, alice):
    told = events(follow(client, alice, last=0))
    rows = client.get("/audit", headers=alice.headers).json()["items"]
    assert [json.loads(each["data"]) for each in told] == rows[::-1]
    assert [each["event"] for each in told] == [row["type"] for row in rows[::-1]]
    assert not any(each["id"].isdigit() for each in told)
    assert [each["id"] for each in events(follow(client, alice, last=told[-2]["id"]))] == [told[-1]["id"]]


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_without_a_last_event_it_begins_with_what_comes_next(client, alice):
    assert events(follow(client, alice)) == []


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_only_an_admin_follows_others(client, alice, bob, admin):
    assert types(follow(client, alice, last=0)) == ["Created", "MetadataUpdated"]
    assert types(follow(client, admin, last=0)) == ["Created", "Created", "MetadataUpdated"]
    assert types(follow(client, admin, last=0, did=bob.did)) == ["Created"]
    assert refusal(follow(client, alice, last=0, did=bob.did)) == (403, "not_owner")


@ON_SQLITE
def test_a_last_event_that_is_none_of_ours_is_refused(client, alice):
    assert refusal(follow(client, alice, last="x")) == (400, "invalid_field")


@pytest.fixture
def people(alice, bob, admin):
    return alice, bob, admin


async def streaming(world, happens, *streams):
    """Run the streams while something happens; afterwards the process ends them."""
    running = [asyncio.create_task(stream.run()) for stream in streams]
    try:
        await until_async(lambda: all("mirror" in stream.received for stream in streams))
        await happens()
    finally:
        world.services.event_poller.stop()
        await asyncio.gather(*running)


def test_a_stream_hints_at_changes_of_the_mirror_to_the_owner_and_operators_alone(
    world, client, people, tracks
):
    alice, bob, admin = people
    world.deliver()
    own, operators, others = (
        Stream(world, person, query)
        for person, query in ((alice, ""), (admin, f"did={alice.did}"), (bob, ""))
    )

    async def delivered():
        client.patch(f"/tracks/{tracks[0]['id']}", json={"title": "newer"}, headers=alice.headers)
        await world.relay.run_once()
        await until_async(lambda: own.received.count("mirror") > 1 and operators.received.count("mirror") > 1)

    asyncio.run(streaming(world, delivered, own, operators, others))
    assert others.received == ["mirror"]
    for hint in frames(own.text)[1:]:
        if hint["event"] == "mirror":
            assert ("id" in hint, json.loads(hint["data"])) == (False, {"did": alice.did})


@ON_SQLITE
def test_a_stream_ends_with_its_token_and_the_others_of_its_account_go_on(world, client, alice, tracks):
    made = client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers).json()
    program = Person(alice.did, alice.handle, made["token"])
    stolen, own = Stream(world, program), Stream(world, alice)

    async def ended():
        client.delete(f"/auth/tokens/{made['id']}", headers=alice.headers)
        client.patch(f"/tracks/{tracks[0]['id']}", json={"title": "newer"}, headers=alice.headers)
        await until_async(lambda: "MetadataUpdated" in own.received and stolen.has_ended)

    asyncio.run(streaming(world, ended, stolen, own))
    assert set(stolen.received) == {"mirror"}


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_an_admins_stream_of_another_account_ends_with_the_admins_session(world, client, alice, admin):
    stream = Stream(world, admin, f"did={alice.did}")

    async def ended():
        client.post("/auth/logout", headers=admin.headers)
        client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers)
        await until_async(lambda: stream.has_ended)

    asyncio.run(streaming(world, ended, stream))
    assert set(stream.received) == {"mirror"}


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_a_stream_of_all_accounts_has_no_hints(client, admin):
    told = frames(follow(client, admin, last=0).text)[1:]
    assert told
    assert all("id" in each for each in told)


@ON_SQLITE
def test_many_changes_of_the_mirror_are_one_hint(world, client, alice, monkeypatch, tracks):
    monkeypatch.setattr("api.routers.records.audit.HINT_SECONDS", 60)
    stream = Stream(world, alice)

    async def changes():
        await world.relay.run_once()
        client.patch(f"/tracks/{tracks[0]['id']}", json={"title": "newer"}, headers=alice.headers)
        await until_async(lambda: "MetadataUpdated" in stream.received)

    asyncio.run(streaming(world, changes, stream))
    assert stream.received.count("mirror") == 1


@ON_SQLITE
@pytest.mark.usefixtures("tracks")
def test_a_stream_is_woken_with_the_requests_that_wait_for_the_pds(world, alice, monkeypatch):
    monkeypatch.setattr("api.routers.records.audit.HINT_SECONDS", 0)
    poller = world.services.event_poller._poller  # noqa: SLF001
    monkeypatch.setattr(poller, "_every_seconds", 60)
    stream = Stream(world, alice)

    async def settled():
        await until_async(lambda: poller.is_awaited(alice.did))
        await world.relay.run_once()
        world.services.waits.wake()
        await until_async(lambda: stream.received.count("mirror") > 1)

    asyncio.run(streaming(world, settled, stream))
