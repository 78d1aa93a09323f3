"""Nobody's tracks make a stranger's read dearer: each route that needs no sign-in costs with very many tracks what it costs with 500."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from itertools import count
from typing import Any

from fastapi.routing import APIRoute
from sqlalchemy import Engine, event

from tests.api.client import TestClient
from tests.api.many_tracks import COMMON_TAG, COMMON_WORD, fill
from tests.api.no_sign_in import without_sign_in
from tests.api.world import did_of, ids_of, upload_with_all
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

IS_LONG = bool(os.environ.get("TEST_DEEP"))
"""Whether CPU time is measured, too, which a busy machine disturbs: what the database does is the same each time."""
FEW, MANY = 500, 50_000 if IS_LONG else 10_000
MAX_GROWTH = 1.5
REQUEST_STEPS = 120_000
"""As much CPU as a page takes beside its statements, in steps of SQLite's virtual machine: 5 ms."""
STEPS_AT_ONCE = 100
MEASURABLE_SECONDS = 0.002
"""Less cannot be told from noise."""
ATTEMPTS = 10
"""The least of so many is taken, and only as many are made as it takes to be satisfied."""
SIGNS_IN = {"signed_in", "ask_as_owner", "ask_as_operator"}
ALICE = did_of("alice")
SEARCHES = (f"q={COMMON_WORD}", f"q={COMMON_WORD[:2]}", "q=zz", "q=none", "q=list", "q=tag")
WAYS = {
    "/tracks": (
        "",
        f"tag={COMMON_TAG}",
        "tag=none",
        "album=none",
        f"artist={ALICE}",
        f"artist={ALICE}&album=none",
        f"artist={ALICE}&tag={COMMON_TAG}",
        f"artist={ALICE}&q={COMMON_WORD}",
        f"q={COMMON_WORD}&tag=none",
        f"q={COMMON_WORD}&tag={COMMON_TAG}",
        f"album=none&tag={COMMON_TAG}",
        f"album=none&q={COMMON_WORD}",
        *SEARCHES,
    ),
    "/search": SEARCHES,
    "/plyr/search": SEARCHES,
    "/plyr/tracks": ("", f"tags={COMMON_TAG}", "tags=none", f"tags={COMMON_TAG}&tags=tag 2"),
    "/plyr/tracks/tags": ("", "q=tag", "q=none"),
    "/plyr/tracks/top": ("", "period=month", "period=day"),
    "/artists": (f"did={ALICE}",),
    "/oembed": ("url=http://127.0.0.1:8000/@alice.test/{track_id}",),
    "/plyr/tracks/by-uri": ("uri={uri}",),
    "/plyr/lists/by-uri": ("uri={list_uri}",),
    "/qr.svg": ("of=/@alice.test",),
}
"""The queries of routes that take some: what is common, what is rare, and both."""


@contextmanager
def counted_steps(engine: Engine) -> Iterator[Callable[[], int]]:
    """Yield what returns how many steps the virtual machines of SQLite have made, in hundreds."""
    made = count()

    def begin(driver: Any, *_pooled: Any) -> None:
        driver.set_progress_handler(lambda: next(made) and None, STEPS_AT_ONCE)

    event.listen(engine, "checkout", begin)
    try:
        yield lambda: next(copy(made)) * STEPS_AT_ONCE
    finally:
        event.remove(engine, "checkout", begin)


def names_of(route: APIRoute) -> set[str]:
    found, left = set(), [route.dependant]
    while left:
        dependant = left.pop()
        found.add(getattr(dependant.call, "__name__", ""))
        left += dependant.dependencies
    return found


def addresses(app, names) -> Iterator[tuple[str, str]]:
    """Yield what strangers may ask for: addresses, each with what is accepted."""
    for route in app.routes:
        is_read = isinstance(route, APIRoute) and "GET" in route.methods
        if is_read and not names_of(route) & SIGNS_IN:
            accepts = "application/json" if route.path.startswith("/plyr") else "text/html, */*"
            for query in WAYS.get(route.path.rstrip("/"), ("",)):
                path = f"{route.path}?{query}".replace(":path", "").format_map(
                    defaultdict(lambda: "x", names)
                )
                yield path, accepts if type(route).__name__ == "PageRoute" else "application/json"


@ON_SQLITE
def test_no_read_of_a_stranger_costs_more_with_more_tracks_of_others(world, alice):
    others = [world.sign_in(f"artist{number}").did for number in range(9)]
    with world.serve() as client:
        track = upload_with_all(client, alice, tags=["first"], image=samples.png())
        client.patch(f"/tracks/{track['id']}", json={"album": "A"}, headers=alice.headers)
        world.carry()
        world.deliver()
    places = {"artist": "alice.test", "name": "alice.test", "did": alice.did, "slug": "a", "tag": COMMON_TAG}
    media = {"cid": track["file_id"], "file_id": track["file_id"], "extension": track["file_type"]}
    lists = [track["album_id"], track["playlist_id"]]
    uri = track["atproto_record_uri"]
    uris = {
        "uri": uri,
        "list_uri": f"at://{alice.did}/{uri.split('/')[3].replace('track', 'list')}/{track['rkey']}",
    }
    names = {**ids_of(track), **places, **media, **uris, "list_id": lists[1]}
    app = without_sign_in(world).app
    with (
        counted_steps(world.database.engine) as steps,
        TestClient(app, raise_server_exceptions=False) as client,
    ):

        def cost(path, accepts, enough=0.0):
            """Return the steps of a request; in the long version the least CPU time of some, until it is enough."""
            least = float("inf")
            for _ in range(ATTEMPTS):
                before, began = steps(), time.process_time()
                answer = client.get(path, headers={"Accept": accepts}, follow_redirects=False)
                assert answer.status_code != 500, path
                if not IS_LONG:
                    return REQUEST_STEPS + steps() - before
                least = min(least, time.process_time() - began)
                if least <= enough:
                    break
            return least

        fill(world.database, track["id"], lists, [alice.did, *others], range(FEW))
        few = {each: cost(*each) for each in addresses(app, names)}
        fill(world.database, track["id"], lists, [alice.did, *others], range(FEW, MANY))
        limits = {each: MAX_GROWTH * was + MEASURABLE_SECONDS * IS_LONG for each, was in few.items()}
        many = {each: cost(*each, limit) for each, limit in limits.items()}
    dearer = {each[0]: (few[each], many[each]) for each, limit in limits.items() if many[each] > limit}
    assert not dearer
