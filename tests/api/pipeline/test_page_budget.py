"""Every page of a list ends at a number of bytes, since callers choose how large a row is; the next one goes on there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.dependencies.utils import get_flat_params

from api.requests.parameters import StrictRoute
from outbox.mirror.tables import pds_host
from projections import pages
from projections.history import history
from replay.repair.jobs import repair
from tests.api.ops.requests import rejected
from tests.api.world import ids_of, upload, upload_with_all
from tests.servers.databases import ON_SQLITE

WHOLE = {"/audit.ndjson"}
"""A stream, of which each line is read in such pages."""
OTHER_WAYS = {
    "/ops/failures": ({"by": "account"}, {"by": "cause"}, {"undelivered": "true"}),
    "/me/tracks": ({"deleted": "true"},),
}
"""What lists other rows at the same address."""


def paged_routes(app) -> Iterator[str]:
    """The addresses of lists, those of pages aside, which ask the same readers."""
    for route in app.routes:
        is_read = isinstance(route, StrictRoute) and "GET" in route.methods and route.path not in WHOLE
        if is_read and any(each.alias == "cursor" for each in get_flat_params(route.dependant)):
            yield route.path


@pytest.fixture
def ids(world, client, alice, bob):
    """The ids of a track and all beside it, with two rows at least in each list."""
    track = upload_with_all(client, alice, tags=["t"])
    client.patch(f"/tracks/{track['id']}", json={"album": "A"}, headers=alice.headers)
    other = upload(client, alice, seed=2, tags=["t"], album="C")
    for path, body in {"albums": {"title": "B"}, "playlists": {"name": "B"}, "releases": {}}.items():
        client.post(f"/{path}", json=body, headers=alice.headers)
    client.put(f"/tracks/{other['id']}/like", headers=alice.headers)
    client.put(f"/tracks/{track['id']}/like", headers=bob.headers)
    said = {"text": "B", "timestamp_ms": 2}
    client.post(f"/tracks/{track['id']}/comments", json=said, headers=alice.headers)
    for seed in (3, 4):
        client.delete(f"/tracks/{upload(client, alice, seed=seed)['id']}", headers=alice.headers)
    world.carry()
    world.deliver()
    rejected(world, client, alice, 5)
    rejected(world, client, bob, 6, error="SomethingElse")
    now = datetime.now(UTC)
    ended = {"state": "done", "actor": "a", "via": "b", "request_id": "c", "counts": [], "skips": []}
    with world.database.write() as connection:
        connection.execute(sa.insert(pds_host).values(host="https://other.test"))
        for _ in range(2):
            ended |= {"did": alice.did, "requested_at": now, "ended_at": now}
            connection.execute(sa.insert(repair).values(**ended))
        columns = [each for each in history.c if each.name != "bucket"]
        rows = connection.execute(sa.select(*columns)).mappings().all()
        again = [{**row, "position": row["position"] + 10**9} for row in rows]
        connection.execute(sa.insert(history), again)
    return {**ids_of(track), "tag": "t", "artist": alice.handle}


def read(client, person, path, **wanted) -> tuple[list[Any], str | None]:
    answer = client.get(path, params=wanted, headers=person.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    lists = [value for value in body.values() if isinstance(value, list)]
    return next(filter(None, lists), []), body.get("cursor", body.get("next_cursor"))


@ON_SQLITE
def test_every_list_ends_a_page_at_its_bytes_and_goes_on_after_it(
    *, subtests, world, client, alice, operator, ids, monkeypatch
):
    for route in paged_routes(world.app):
        person = operator if route.startswith("/ops/") else alice
        for which in ({}, *OTHER_WAYS.get(route, ())):
            with subtests.test(f"{route} {which}"), monkeypatch.context() as patch:
                path = route.format(**ids)
                whole, _ = read(client, person, path, **which)
                assert len(whole) > 1, "the fixture `ids` has to make two rows of this list"
                patch.setattr(pages, "PAGE_BYTES", 1)
                found: list[Any] = []
                wanted = dict(which)
                while len(found) < 2:
                    page, cursor = read(client, person, path, **wanted)
                    assert len(page) <= 1  # of albums without tracks none is shown
                    found, wanted = found + page, {**which, "cursor": cursor}
                assert found[0] != found[1]
                assert all(each in whole for each in found)
