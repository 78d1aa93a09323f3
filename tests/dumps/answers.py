"""Every GET route of one seeded world, as each caller gets it: pages as HTML, the rest as JSON."""

import json
import re
from collections.abc import Iterator

from tests.api.client import TestClient
from tests.api.world import Person, World
from tests.dumps.seeded_world import Seeded
from tests.web.pages import AS_BROWSERS

ENDLESS = {"/events"}
NOT_EQUAL = {"/metrics", "/openapi.json", "/static/{version}/{name:path}"}
"""The first has durations; the others are dumps of their own."""
ASKED = {
    "/ops/find": "q=take",
    "/ops/hit": "state=rejected",
    "/ops/progress": "action=pause",
    "/search": "q=take",
    "/tracks/{track_id}/diff": "from=1",
    "/albums/{album_id}/diff": "from=0",
    "/playlists/{playlist_id}/diff": "from=0",
    "/plyr/search": "q=take",
    "/plyr/search/": "q=take",
    "/oembed": "url=http://127.0.0.1:8000/@{artist}/{track_id}",
    "/plyr/lists/by-uri": "uri={list_uri}",
    "/plyr/tracks/by-uri": "uri={track_uri}",
    "/qr.svg": "of=http://127.0.0.1:8000/@{artist}/{track_id}",
    "/studio/tracks/{track_id}/compare": "from=1",
}
NAMED = {"/docs/{name}": {"name": "tracks"}}
"""Where a parameter of one route has another meaning than in the others."""
STATIC = re.compile(r"/static/[0-9a-f]{12}/")
SHOWN = ("content-type", "cache-control", "etag", "location", "link", "content-security-policy")


def paths(world: World) -> list[str]:
    """Return the path of each GET route, in alphabetical order."""
    routes = [(each.path, getattr(each, "methods", None) or ()) for each in world.app.router.routes]
    return sorted({path for path, methods in routes if "GET" in methods} - ENDLESS - NOT_EQUAL)


def answers(world: World, client: TestClient, seeded: Seeded) -> Iterator[tuple[str, str]]:
    """Yield a name and a text for each route, caller and format."""
    for path in paths(world):
        asked = address(path, seeded)
        for caller, person in seeded.people.items():
            for form, accepted in (("html", AS_BROWSERS), ("json", {"Accept": "application/json"})):
                headers = {**accepted, "X-Request-Id": "dump", **as_caller(person, form)}
                answer = client.get(asked, headers=headers, follow_redirects=False)
                yield f"{caller}/{slug(path)}.{form}", text_of(answer)


def address(path: str, seeded: Seeded) -> str:
    """Return the path of a route with a name for each of its parameters, and with its query."""
    names = {**seeded.names, **NAMED.get(path, {})}
    if path == "/artwork/{cid}":
        names["cid"] = names["cover"]
    template = f"{path}?{ASKED[path]}" if path in ASKED else path
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda name: str(names[name[1]]), template)


def as_caller(person: Person | None, form: str) -> dict[str, str]:
    """Return the headers with which browsers, or programs, say who they are."""
    if person is None:
        return {}
    return {"Cookie": f"mastertape_session={person.token}"} if form == "html" else person.headers


def slug(path: str) -> str:
    return re.sub(r"[^\w.@-]+", "_", path).strip("_") or "home"


def text_of(answer) -> str:
    head = [
        f"{answer.status_code}",
        *(f"{name}: {answer.headers[name]}" for name in SHOWN if name in answer.headers),
    ]
    kind = answer.headers.get("content-type", "")
    if kind.startswith("application/json"):
        body = json.dumps(answer.json(), indent=1, ensure_ascii=False, sort_keys=True)
    elif kind.startswith(
        ("text/", "application/rss", "image/svg", "application/x-ndjson", "application/xml")
    ):
        body = answer.text
    else:
        body = f"{len(answer.content)} bytes"
    return STATIC.sub("/static/VERSION/", "\n".join([*head, "", body, ""]))
