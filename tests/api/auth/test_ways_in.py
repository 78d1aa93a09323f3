"""History and audit name the way in of every change: a browser, a token by its name, an operator."""

import asyncio

import pytest

from tests.api.ops.requests import read
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(client, alice):
    return upload(client, alice)


@pytest.fixture
def laptop(client, alice):
    made = client.post("/auth/tokens", json={"name": "laptop: sync"}, headers=alice.headers).json()
    return {"id": made["id"], "headers": {"Authorization": f"Bearer {made['token']}"}}


def edit(client, track, title, headers):
    answer = client.patch(f"/tracks/{track['id']}", json={"title": title}, headers=headers)
    assert answer.status_code == 200, answer.text


def history(client, alice, track):
    items = read(client, alice, f"/tracks/{track['id']}/history")["items"]
    return [(row["type"], row["via"]) for row in items]


def test_history_tells_a_browser_from_a_token_by_its_name(client, alice, track, laptop):
    edit(client, track, "In a browser", {"Cookie": f"mastertape_session={alice.token}"})
    edit(client, track, "By a program", laptop["headers"])
    assert history(client, alice, track)[:2] == [
        ("MetadataUpdated", "token:laptop: sync"),
        ("MetadataUpdated", "browser"),
    ]
    changes = read(client, alice, "/audit", type="MetadataUpdated")["items"]
    assert [row["via"] for row in changes] == ["token:laptop: sync", "browser"]


def test_an_owner_sees_that_an_operator_acted_and_not_with_which_token(client, alice, track, admin):
    answer = client.post(
        f"/ops/tracks/{track['id']}/takedown", json={"reason": "a claim"}, headers=admin.headers
    )
    assert answer.status_code == 200, answer.text
    assert {row["via"] for row in read(client, alice, "/audit", actor=admin.did)["items"]} == {"operator"}


def test_a_programs_name_ends_with_its_request(client, world, alice, track):
    path, cookie = f"/tracks/{track['id']}", {"Cookie": f"mastertape_session={alice.token}"}

    async def in_one_task():
        async with world.async_client() as caller:
            await caller.patch(path, json={"title": "By a program"}, headers=alice.headers)
            await caller.patch(path, json={"title": "In a browser"}, headers=cookie)

    asyncio.run(in_one_task())
    assert [via for _, via in history(client, alice, track)[:2]] == ["browser", "token:t"]
