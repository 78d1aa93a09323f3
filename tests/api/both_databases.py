"""Random requests, and a service on a database that answers them: ids, times and whatever else no two services share are named by their order.

A request names a thing by its number among those that were made, so that each service finds its own.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any, Final

from sqlalchemy import update

from eventstore.jobs.table import PAST, job
from identity.accounts.credentials import Scope
from tests.api.auth.route_table import ROUTES, THINGS
from tests.api.world import World, form
from tests.media_samples import samples

DATABASES: Final = ("sqlite", "postgres")
PEOPLE: Final = ("alice", "bob", "carol")
WORDS: Final = (
    *("Song", "song", "SONG 2", "a%b", "a_b", "a\\b", "it's", '"quoted"', "Ünïcode", "ünïcode", "UNICODE"),
    *(
        "straße",
        "STRASSE",
        "ΣΊΣΥΦΟΣ",
        "Σίσυφος",
        "İstanbul",
        "istanbul",
        "e\u0301te\u0301",
        "été",
        "日本",
        "ﬁre",
        "👩‍👩‍👧",
        "x" * 60,
    ),
)
"""Texts that databases fold, sort and match differently."""
FEW_WORDS: Final = ("Song", "song", "a%b", "Ünïcode", "ünïcode", "été")
"""For what is found by its whole text."""
MADE: Final = {"tracks": "track", "comments": "comment", "albums": "album", "playlists": "playlist"}
"""Kinds of things, by the collection in whose answers their ids are."""
OWNER: Final = "owner"
"""Of the first thing that a request names."""


@dataclass(frozen=True)
class Thing:
    """The made thing of a kind with this number, counted round."""

    kind: str
    number: int


@dataclass(frozen=True)
class Request:
    """A request of `who`, or of no account; `path` has places for things, by name."""

    who: str | None
    method: str
    path: str
    things: dict[str, Thing] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    """Arguments of the client, with things in the place of their ids."""


UPLOADS: Final = 10


class Requests:
    """The same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._dice: Final = random.Random(seed)  # noqa: S311
        self._kinds: Final[list[Callable[[], Request]]] = [
            *[self._upload] * 2,
            *[self._edit] * 4,
            *[self._act_on_track] * 3,
            *[self._react] * 3,
            *[self._list] * 4,
            *[self._read] * 8,
            *[self._any_route] * 4,
        ]

    def some(self, number: int) -> list[Request]:
        """Return the next requests; the first ones make tracks, of which the others are."""
        return [
            self._dice.choice(self._kinds if made > UPLOADS else [self._upload])() for made in range(number)
        ]

    def _word(self) -> str:
        return self._dice.choice(WORDS)

    def _thing(self, kind: str) -> Thing:
        return Thing(kind, self._dice.randrange(12))

    def _who(self) -> str:
        return self._dice.choice(PEOPLE)

    def _mostly_owner(self) -> str:
        return OWNER if self._dice.random() < 0.85 else self._who()

    def _some(self, fields: dict[str, Any]) -> dict[str, Any]:
        names = self._dice.sample(sorted(fields), self._dice.randint(1, min(3, len(fields))))
        return {name: fields[name] for name in names}

    def _some_filters(self, filters: dict[str, Any]) -> dict[str, Any]:
        """Return one of them mostly: several leave nothing."""
        name = self._dice.choice([*filters])
        return self._some(filters) if self._dice.random() < 0.2 else {name: filters[name]}

    def _of_track(self) -> dict[str, Any]:
        dice = self._dice
        return {
            "title": self._word(),
            "album": dice.choice([None, *FEW_WORDS]),
            "tags": dice.sample(FEW_WORDS, dice.randint(0, 4)),
            "description": dice.choice([None, self._word()]),
            "unlisted": dice.random() < 0.2,
            "features": dice.choice([[], [f"{self._who()}.test"]]),
            "self_labels": dice.choice([[], ["nudity"]]),
        }

    def _upload(self) -> Request:
        fields = self._of_track()
        files = {"file": ("song.mp3", samples.mp3(self._dice.randrange(30)), "audio/mpeg")}
        said = form({name: value for name, value in fields.items() if value is not None})
        return Request(self._who(), "POST", "/tracks", body={"files": files, "data": said})

    def _edit(self) -> Request:
        fields = {**self._of_track(), "comments": self._dice.random() < 0.8}
        headers = {"If-Match": f'"{self._dice.randrange(4)}"'} if self._dice.random() < 0.2 else {}
        things, body = {"track_id": self._thing("track")}, {"json": self._some(fields), "headers": headers}
        return Request(self._mostly_owner(), "PATCH", "/tracks/{track_id}", things, body)

    def _act_on_track(self) -> Request:
        dice = self._dice
        method, path, body = dice.choice([
            ("DELETE", "", {}),
            ("POST", "/undelete", {}),
            ("POST", "/revert", {"json": {"to_version": dice.randrange(5)}}),
            ("PUT", "/audio", {"files": {"file": ("a.mp3", samples.mp3(dice.randrange(30)), "audio/mpeg")}}),
            ("POST", "/restore-record", {"headers": {"Prefer": "wait=0"}}),
            ("POST", "/mirror/retry", {}),
        ])  # fmt: skip
        things = {"track_id": self._thing("track")}
        return Request(self._mostly_owner(), method, f"/tracks/{{track_id}}{path}", things, body)

    def _react(self) -> Request:
        dice, said = self._dice, {"text": self._word(), "timestamp_ms": self._dice.randrange(2000)}
        profile = {"comments": dice.random() < 0.8, "bio": self._word(), "display_name": self._word()}
        method, path, kind, body = dice.choice([
            ("PUT", "/tracks/{track_id}/like", "track", {}),
            ("DELETE", "/tracks/{track_id}/like", "track", {}),
            ("POST", "/tracks/{track_id}/comments", "track", {"json": said}),
            ("PATCH", "/comments/{comment_id}", "comment", {"json": said}),
            ("DELETE", "/comments/{comment_id}", "comment", {}),
            (dice.choice(["PUT", "DELETE"]), "/comments/{comment_id}/hidden", "comment", {}),
            ("PATCH", "/me", "track", {"json": self._some(profile)}),
        ])  # fmt: skip
        who = self._mostly_owner() if kind == "comment" else self._who()
        return Request(who, method, path, {f"{kind}_id": self._thing(kind)}, body)

    def _list(self) -> Request:
        dice, word = self._dice, self._dice.choice(["album", "playlist"])
        name = {"album": "title", "playlist": "name"}[word]
        track, others = self._thing("track"), [self._thing("track") for _ in range(dice.randrange(4))]
        method, path, body = dice.choice([
            ("POST", f"/{word}s", {"json": {name: self._word()}}),
            ("PATCH", f"/{word}s/{{list}}", {"json": {name: self._word()}}),
            ("POST", f"/{word}s/{{list}}/tracks", {"json": {"track_id": track}}),
            ("PUT", f"/{word}s/{{list}}/tracks", {"json": {"tracks": others}}),
            ("DELETE", f"/{word}s/{{list}}/tracks", {"params": {"track_id": track}}),
            ("PATCH", f"/{word}s/{{list}}/tracks", {"json": {"track_id": track, "before": None}}),
            ("DELETE", f"/{word}s/{{list}}", {}),
            ("POST", f"/{word}s/{{list}}/undelete", {}),
            ("POST", f"/{word}s/{{list}}/revert", {"json": {"to_version": dice.randrange(4)}}),
        ])  # fmt: skip
        who = self._who() if path == f"/{word}s" else self._mostly_owner()
        return Request(who, method, path, {"list": self._thing(word)}, body)

    def _read(self) -> Request:
        dice, word = self._dice, self._word()
        which = self._some_filters({
            "q": dice.choice([word, word[:4], word.upper(), word.lower()]),
            "tag": dice.choice(FEW_WORDS),
            "album": dice.choice(FEW_WORDS),
            "artist": f"{self._who()}.test",
            "limit": dice.choice([1, 2, 50]),
        })  # fmt: skip
        path = dice.choice([
            *["/tracks"] * 8,
            *(f"/artists/{self._who()}.test{more}" for more in ("", "/albums", "/playlists")),
            *("/artists", "/me/tracks", "/me/likes", "/audit", "/plyr/tracks/tags", "/plyr/tracks/top"),
            *("/plyr/search", "/plyr/tracks", "/plyr/tracks/liked", "/plyr/lists/playlists"),
            *("/tracks/{track_id}/comments", "/tracks/{track_id}/likes", "/tracks/{track_id}/history", "/tracks/{track_id}/versions"),
        ])  # fmt: skip
        takes = {"/tracks": [*which], "/plyr/search": ["q", "limit"], "/artists": ["q", "limit"]}
        names = takes.get(
            path, ["limit"] if path in {"/me/tracks", "/me/likes", "/audit"} or "{" in path else []
        )
        params = {name: which[name] for name in names if name in which}
        if path == "/plyr/search":
            params["q"] = word
        if dice.random() < 0.2:
            params["cursor"] = Thing(f"cursor of {path}", 0)
        who = dice.choice([None, OWNER, *PEOPLE])
        return Request(who, "GET", path, {"track_id": self._thing("track")}, {"params": params})

    def _any_route(self) -> Request:
        route = self._dice.choice(ANY_ROUTE)
        method, path = route.split(" ")
        names = re.findall(r"{(\w+)}", path)
        things = {name: self._thing(name.removesuffix("_id")) for name in names}
        who = self._dice.choice([None, OWNER, OWNER, *PEOPLE, "admin"])
        return Request(who, method, path, things, ROUTES[route].body)


ELSEWHERE: Final = re.compile(
    r"/(events|metrics|readyz|auth/|ops/(work|jobs|overview)|me/(export|adopt|disconnect)|audit.ndjson|oauth|jwks)"
)
"""Streams, sign-ins, which ask others, ends of sessions, files, and what says how the process and its database are."""
ANY_ROUTE: Final = sorted(
    route
    for route in ROUTES
    if not ELSEWHERE.search(route) and route != "DELETE /me" and "/ops/lanes" not in route
)

ISO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
NAMED_TEXT: Final = re.compile(
    r"(?P<cid>\bbaf[a-z2-7]{20,})|(?P<uuid>\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
    r"|(?P<rkey>\b[2-7a-z]{13}\b)|(?P<id>\b\d{4,16}\b)"
)
NUMBERS: Final = frozenset({"position", "generation", "by_generation", "acked_generation", "gen"})
TEXTS: Final = frozenset({"request_id", "cursor", "token"})
"""Fields whose values are the service's own."""


FIRST_ID: Final = 4096
"""Ids of subjects are no smaller, and are lists of fields of any name."""


class Side:
    """A service on one database, and how its answers read without what is its own."""

    def __init__(self, world: World, client: Any) -> None:
        self._world: Final = world
        self._client: Final = client
        scopes = {"admin": Scope.ADMIN}
        self._people: Final = {
            name: world.sign_in(name, scope=scopes.get(name, Scope.WRITE)) for name in (*PEOPLE, "admin")
        }
        self._made: Final = dict[str, list[Any]]()
        self._owners: Final = dict[Any, str]()
        self._names: Final = dict[tuple[str, Any], str]()

    def answer(self, request: Request) -> tuple[int, Any]:
        """Return the status and the body."""
        things = {name: self._found(each, name) for name, each in request.things.items()}
        first, path = next(iter(things.values()), None), request.path.format(**things)
        who = self._owners.get(first, PEOPLE[0]) if request.who == OWNER else request.who
        person = self._people.get(who or "")
        arguments = self._with_ids(request.body)
        headers = {**(person.headers if person else {}), **arguments.pop("headers", {})}
        answer = self._client.request(request.method, path, headers=headers, **arguments)
        if not answer.content or "json" not in answer.headers.get("content-type", ""):
            return answer.status_code, answer.headers.get("content-type")
        body = answer.json()
        if answer.is_success:
            self._remember(request, body, who)
        return answer.status_code, self._told(body)

    def settle(self) -> None:
        """Have the PDS hold what the log says, and others read what was done."""
        self._world.deliver()
        self._world.execute(update(job).values(due=PAST))
        self._world.carry()

    def histories(self) -> list[Any]:
        """Return what was done to each track and list, and by each person."""
        admin = self._people["admin"].headers
        made = [f"/{kind}s/{number}/history" for kind in MADE.values() for number in self._made.get(kind, ())]
        people = [f"/audit?did={person.did}" for person in self._people.values()]
        return [self._told(self._client.get(path, headers=admin).json()) for path in (*made, *people)]

    def _found(self, thing: Thing, name: str = "") -> Any:
        made = self._made.get(thing.kind, ())
        return made[thing.number % len(made)] if made else THINGS.get(name, 99)

    def _with_ids(self, value: Any) -> Any:
        if isinstance(value, Thing):
            return self._found(value)
        if isinstance(value, dict):
            return {name: self._with_ids(each) for name, each in value.items()}
        return [self._with_ids(each) for each in value] if isinstance(value, list) else value

    def _remember(self, request: Request, body: Any, who: str | None) -> None:
        collection = request.path.rpartition("/")[2]
        if request.method == "POST" and collection in MADE and isinstance(body, dict) and "id" in body:
            self._made.setdefault(MADE[collection], []).append(body["id"])
            self._owners[body["id"]] = who or ""
        if request.method == "GET" and isinstance(body, dict) and body.get("cursor"):
            self._made[f"cursor of {request.path}"] = [body["cursor"]]

    def _told(self, value: Any, name: str = "") -> Any:
        match value:
            case dict():
                return {key: self._told(each, key) for key, each in value.items()}
            case list():
                return [self._told(each, name) for each in value]
            case str():
                told = NAMED_TEXT.sub(self._named_text, ISO_TIME.sub("TIME", value))
                return name if name in TEXTS else told
            case int() if name in NUMBERS:
                return self._named("position", value)
            case int() if name == "id" or name.endswith("_id") or self._is_known_id(value):
                return self._named("id", value)
        return value

    def _is_known_id(self, number: int) -> bool:
        return number >= FIRST_ID and ("id", number) in self._names

    def _named_text(self, found: re.Match[str]) -> str:
        kind = str(found.lastgroup)
        return self._named(kind, int(found[0]) if kind == "id" else found[0])

    def _named(self, kind: str, own: Any) -> str:
        return self._names.setdefault((kind, own), f"{kind} {len(self._names)}")


def difference(answers: Sequence[Any]) -> str:
    """Return the lines in which two answers differ, with those around them."""
    one, other = (json.dumps(each, ensure_ascii=False, indent=1, sort_keys=True) for each in answers)
    return "\n".join(unified_diff(one.splitlines(), other.splitlines(), *DATABASES, lineterm=""))
