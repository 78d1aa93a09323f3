"""The surface for the peer's clients as the page docs/plyr.md: `python -m service.pages.plyr > docs/plyr.md`."""

import json
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from fastapi.routing import APIRoute
from pydantic.fields import FieldInfo

from api.middleware.plyr_paths import PREFIX
from api.plyr.publishing_fields import (
    ACCESS_OF_VISIBILITY,
    DOWNLOADS,
    GATE_OF_LISTENING,
    UNLISTED_OF_VISIBILITY,
)
from api.plyr.routers.not_offered import NOT_OFFERED
from api.plyr.routers.not_offered import router as not_offered
from api.plyr.surface import ROUTERS
from api.plyr.track import TrackResponse

CLIENT: Final = "plyrfm 0.0.1a25"
OPERATIONS: Final = {
    "me": "GET /auth/me",
    "tracks.list": "GET /tracks/",
    "tracks.get": "GET /tracks/{track_id}",
    "tracks.get_by_uri": "GET /tracks/by-uri",
    "tracks.my": "GET /tracks/me",
    "tracks.upload": "POST /tracks/",
    "tracks.update": "PATCH /tracks/{track_id}",
    "tracks.delete": "DELETE /tracks/{track_id}",
    "tracks.download": "GET /audio/{file_id}/download",
    "tracks.replace_audio": "PUT /tracks/{track_id}/audio",
    "tracks.revisions": "GET /tracks/{track_id}/revisions",
    "tracks.restore_revision": "POST /tracks/{track_id}/revisions/{revision_id}/restore",
    "tags.list": "GET /tracks/tags",
    "tags.tracks": "GET /tracks/tags/{tag}",
    "artists.me": "GET /artists/me",
    "artists.update": "PUT /artists/me",
    "discover.search": "GET /search/",
    "discover.top_tracks": "GET /tracks/top",
}
"""The methods of the client's namespaces, each with its route; both clients and the command line have them."""
NOT_WORKING: Final = ("tracks.like", "tracks.unlike", "tracks.liked", "playlists")
"""Its methods, and its namespace, that raise for 501."""

HEAD: Final = f"""\
# Clients of plyr.fm

Under `/plyr` this service answers as plyr.fm does, so that its clients work unchanged: [ADR 31](adr/0031-the-peers-clients.md).

```sh
PLYR_API_URL=https://tracks.example.org/plyr PLYR_TOKEN=mt_... plyrfm tracks my    # a token of POST /auth/tokens
```

Routes under `/plyr` have the limits, headers and access rules of the routes behind them. A path may end with a slash or not where
the table says so. An error is `{{"detail": text, "error": code}}`: `detail` is what those clients show or compare, `error` is a code of
[http.md](http.md). `detail` of `already_has_record` and `migration_needed` is an object, with `error`, `message` and fields.

Tracks that were adopted with `mastertape adopt DID --peer-ids FILE` are known by the ids of the file ([operations.md](operations.md)), so
that old links keep working; all others by their own.

<!-- generated from src/api/plyr/ by `python -m service.pages.plyr`; tests check that it is current and true -->

## {CLIENT}

These work in the client, in the asynchronous client and on the command line.

| operation | request |
|---|---|
"""
NOT_WORKING_HEAD: Final = """
These raise an error with status 501: {names}.

## Routes

| method and path | does |
|---|---|
"""
FIELDS_HEAD: Final = """
## Fields of a track

A value in the second column is always that: this service has nothing behind the field.

| field | always | what it is |
|---|---|---|
"""
ACCESS_HEAD: Final = """
## Who may find, hear and download a track

`publishing` says all of it, with every part that is absent at its default, the first word; `visibility` is what older clients send with an upload.
Every other word is 400, and so are `attach_rights`, `copyright` and `auto_tag`: nothing of such a request is kept ([ADR
32](adr/0032-access-in-the-peers-words.md)). A profile has a `display_name` and a `bio`; another field with a value is 400.

| field | words |
|---|---|
"""
ACCESS_WORDS: Final[dict[str, Collection[str]]] = {
    "publishing.access.listening": GATE_OF_LISTENING,
    "publishing.access.downloads": DOWNLOADS,
    "publishing.access.visibility": UNLISTED_OF_VISIBILITY,
    "visibility": ACCESS_OF_VISIBILITY,
}
NOT_OFFERED_HEAD: Final = """
## Not offered

These answer 501 `not_offered`, with a sentence.

| what | paths |
|---|---|
"""


def page() -> str:
    """Return the page."""
    return "".join(
        (
            HEAD,
            *(f"| `{name}` | {request} |\n" for name, request in OPERATIONS.items()),
            NOT_WORKING_HEAD.format(names=", ".join(f"`{name}`" for name in NOT_WORKING)),
            *_routes(),
            FIELDS_HEAD,
            *(_field(name, field) for name, field in TrackResponse.model_fields.items()),
            ACCESS_HEAD,
            *(
                f"| `{field}` | {', '.join(f'`{word}`' for word in words)} |\n"
                for field, words in ACCESS_WORDS.items()
            ),
            NOT_OFFERED_HEAD,
            *(f"| {what} | {', '.join(map(_path, paths))} |\n" for what, paths in NOT_OFFERED.items()),
        )
    )


def offered() -> set[str]:
    """Return method and path of every route that is no refusal, without the prefix."""
    return {
        f"{method} {route.path.removeprefix(PREFIX)}"
        for routes in _by_endpoint().values()
        for route in routes
        for method in _methods(route)
    }


def _routes() -> Iterator[str]:
    for endpoint, routes in _by_endpoint().items():
        methods = dict.fromkeys(method for route in routes for method in _methods(route))
        paths = dict.fromkeys(route.path for route in routes)
        does = " ".join((endpoint.__doc__ or "").split())
        yield f"| {', '.join(sorted(methods))} {', '.join(paths)} | {does} |\n"


def _by_endpoint() -> dict[Callable[..., Any], list[APIRoute]]:
    found: dict[Callable[..., Any], list[APIRoute]] = {}
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and router is not not_offered:
                found.setdefault(route.endpoint, []).append(route)
    return found


def _methods(route: APIRoute) -> list[str]:
    return sorted(route.methods or ())


def _path(path: str) -> str:
    return f"`{PREFIX}{path.replace('{rest:path}', '...')}`"


def _field(name: str, field: FieldInfo) -> str:
    always = "" if field.is_required() else f"`{json.dumps(field.get_default())}`"
    return f"| `{name}` | {always} | {field.description or ''} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
