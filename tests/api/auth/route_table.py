"""The permissions of every route. A new route needs a row here: `test_every_route.py` calls each as every caller without them.

| a row says | means |
|---|---|
| `OPEN` | anybody; what they are shown may depend on who they are |
| `OWN` | who is signed in, about their own account; a token of scope `write` where it changes something |
| `TRACK` | the owner of the track, or list, alone; operators may read, where the method is GET |
| `OPERATOR` | one of OPERATOR_DIDS or ADMIN_DIDS with a token of scope `operator`, or of the latter with `admin` |
| `ADMIN` | one of ADMIN_DIDS with a token of scope `admin` |
| `THING` | who is signed in, of their own things only: those of others are not found |

`body` is one that would do if the caller were the right one; files are sent where it says so.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.media_samples import samples

OPERATION = {"json": {"action": "pause", "did": "did:plc:" + "a" * 24}}
SONG = {"files": {"file": b"not looked at"}, "data": {"title": "t"}}


class Who(StrEnum):
    OPEN = "open"
    OWN = "own"
    TRACK = "track"
    OPERATOR = "operator"
    ADMIN = "admin"
    THING = "thing"


@dataclass(frozen=True)
class Row:
    who: Who
    body: dict[str, Any] = field(default_factory=dict)


OPEN, OWN, TRACK, OPERATOR, ADMIN, THING = (Row(who) for who in Who)

WITH_KEY = {f"GET /tracks/{{track_id}}/{what}" for what in ("audio", "versions")}
"""Open as well to who has the key that the owner has set."""
OF_RECORDS = {
    "tracks/{track_id}": Who.TRACK,
    "likes/{like_id}": Who.THING,
    "comments/{comment_id}": Who.TRACK,
    "profiles/{profile_id}": Who.TRACK,
    "liked/{liked_id}": Who.TRACK,
    "albums/{album_id}": Who.TRACK,
    "playlists/{playlist_id}": Who.TRACK,
}
"""The kinds with a record, by the address of one; all have the same routes of it."""


def of_record(one: str, who: Who) -> dict[str, Row]:
    row, decision = Row(who), Row(who, {"json": {"keep": "ours"}})
    reads = (f"GET /{one}/{what}" for what in ("history", "mirror", "mirror/compare"))
    writes = (f"POST /{one}/{what}" for what in ("restore-record", "mirror/retry"))
    return {**dict.fromkeys((*reads, *writes), row), f"POST /{one}/mirror/resolve": decision}


def of_list(word: str, name: str) -> dict[str, Row]:
    one = f"/{word}s/{{{word}_id}}"
    return {
        f"POST /{word}s": Row(Who.OWN, {"json": {name: "x"}}),
        f"GET {one}": OPEN,
        f"PATCH {one}": Row(Who.TRACK, {"json": {name: "x"}}),
        f"DELETE {one}": TRACK,
        f"POST {one}/undelete": TRACK,
        f"POST {one}/revert": Row(Who.TRACK, {"json": {"to_version": 1}}),
        f"POST {one}/migrate-namespace": TRACK,
        f"PUT {one}/tracks": Row(Who.TRACK, {"json": {"tracks": []}}),
        f"POST {one}/tracks": Row(Who.TRACK, {"json": {"track_id": 1}}),
        f"PATCH {one}/tracks": Row(Who.TRACK, {"json": {"track_id": 1, "before": None}}),
        f"DELETE {one}/tracks": Row(Who.TRACK, {"params": {"track_id": 1}}),
        f"GET {one}/diff": Row(Who.TRACK, {"params": {"from": 0}}),
        f"GET /artists/{{artist}}/{word}s": OPEN,
    }


ROUTES = {
    "GET /tracks": OPEN,
    "GET /artists": OPEN,
    "GET /artists/{artist}": OPEN,
    "POST /tracks": Row(Who.OWN, SONG),
    "PATCH /tracks": Row(Who.OWN, {"json": {"edits": [{"id": 1, "version": 1, "title": "x"}]}}),
    "GET /tracks/{track_id}": OPEN,
    "PATCH /tracks/{track_id}": Row(Who.TRACK, {"json": {"title": "x"}}),
    "DELETE /tracks/{track_id}": TRACK,
    "PUT /tracks/{track_id}/audio": Row(Who.TRACK, {"files": {"file": b"not looked at"}}),
    "POST /tracks/{track_id}/undelete": TRACK,
    "POST /tracks/{track_id}/revert": Row(Who.TRACK, {"json": {"to_version": 1}}),
    "POST /tracks/{track_id}/migrate-to-pds": TRACK,
    "POST /tracks/{track_id}/migrate-namespace": TRACK,
    **dict.fromkeys(WITH_KEY, TRACK),
    "GET /tracks/{track_id}/diff": Row(Who.TRACK, {"params": {"from": 0}}),
    "GET /tracks/{track_id}/likes": OPEN,
    "PUT /tracks/{track_id}/like": OWN,
    "DELETE /tracks/{track_id}/like": THING,
    "GET /tracks/{track_id}/comments": OPEN,
    "POST /tracks/{track_id}/comments": Row(Who.OWN, {"json": {"text": "x", "timestamp_ms": 1}}),
    "PATCH /comments/{comment_id}": Row(Who.TRACK, {"json": {"text": "x"}}),
    "DELETE /comments/{comment_id}": TRACK,
    "PUT /comments/{comment_id}/hidden": TRACK,
    "DELETE /comments/{comment_id}/hidden": TRACK,
    "PUT /me/avatar": Row(Who.OWN, {"files": {"image": samples.png()}}),
    "DELETE /me/avatar": THING,
    "POST /releases": Row(Who.OWN, {"json": {"title": "x"}}),
    "GET /releases": OWN,
    "GET /releases/{release_id}": THING,
    "PATCH /releases/{release_id}": Row(Who.THING, {"json": {"title": "x"}}),
    "DELETE /releases/{release_id}": THING,
    "PUT /releases/{release_id}/tracks": Row(Who.THING, {"json": {"tracks": []}}),
    "POST /releases/{release_id}/publish": THING,
    "POST /releases/{release_id}/unschedule": THING,
    "POST /releases/{release_id}/preview": THING,
    "DELETE /releases/{release_id}/preview": THING,
    "POST /releases/{release_id}/uploads": THING,
    "HEAD /releases/{release_id}/uploads/{upload_id}": THING,
    "PATCH /releases/{release_id}/uploads/{upload_id}": THING,
    "DELETE /releases/{release_id}/uploads/{upload_id}": THING,
    "GET /audio/{cid}.{extension}": OPEN,
    "GET /audio/{cid}.{extension}/download": OPEN,
    "GET /artwork/{cid}": OPEN,
    "GET /tracks/{track_id}/artwork": OPEN,
    "GET /tracks/{track_id}/waveform": OPEN,
    "GET /audit": OWN,
    "GET /audit.ndjson": OWN,
    "GET /events": OWN,
    "GET /me": OWN,
    "GET /me/tracks": OWN,
    "GET /me/likes": OWN,
    "PUT /me/likes/record": OWN,
    "DELETE /me/likes/record": OWN,
    "PATCH /me": Row(Who.OWN, {"json": {"bio": "x"}}),
    "DELETE /me": OWN,
    "GET /me/mirror": OWN,
    "POST /me/verify": OWN,
    "POST /me/adopt": OWN,
    "GET /me/adopt": OWN,
    "GET /me/export": OWN,
    "POST /me/exports": OWN,
    "GET /me/exports": OWN,
    "GET /me/exports/{export_id}.zip": OWN,
    "POST /me/disconnect": OWN,
    "GET /me/migrate-to-pds": OWN,
    "POST /me/migrate-to-pds": Row(Who.OWN, {"json": {}}),
    "GET /ops/lanes": OPERATOR,
    "POST /ops/lanes": Row(Who.ADMIN, OPERATION),
    "GET /ops/hosts": OPERATOR,
    "POST /ops/hosts": Row(Who.ADMIN, OPERATION),
    "GET /ops/failures": OPERATOR,
    "GET /ops/overview": OPERATOR,
    "GET /ops/work": OPERATOR,
    "GET /ops/jobs": OPERATOR,
    "POST /ops/jobs/{job_id}/retry": Row(Who.ADMIN, {"json": {"reason": "r"}}),
    "GET /ops/progress": Row(Who.OPERATOR, {"params": {"action": "pause"}}),
    "GET /ops/lanes/{did}": OPERATOR,
    "GET /ops/accounts/{did}/tokens": OPERATOR,
    "POST /ops/accounts/{did}/tokens/end": Row(Who.ADMIN, {"json": {"reason": "r"}}),
    "POST /ops/failures": Row(Who.ADMIN, OPERATION),
    "GET /ops/repairs": OPERATOR,
    "GET /ops/repairs/{repair_id}": OPERATOR,
    "POST /ops/repairs": Row(Who.ADMIN, {"json": {"did": OPERATION["json"]["did"], "reason": "r"}}),
    "POST /ops/repairs/{repair_id}": Row(Who.ADMIN, {"json": {"action": "cancel", "reason": "r"}}),
    **{
        f"POST /ops/{word}s/{{{word}_id}}/takedown": Row(Who.ADMIN, {"json": {"reason": "r"}})
        for word in ("comment", "like", "track", "album", "playlist", "profile")
    },
    "GET /auth/tokens": OWN,
    "POST /auth/tokens": Row(Who.OWN, {"json": {"name": "t"}}),
    "DELETE /auth/tokens": OWN,
    "DELETE /auth/tokens/{token_id}": THING,
    "POST /auth/logout": OPEN,
    "GET /auth/accounts": OPEN,
    "POST /auth/switch": OPEN,
    "GET /auth/login": OPEN,
    "GET /auth/callback": OPEN,
    "POST /auth/app-password": OPEN,
    "GET /oauth-client-metadata.json": OPEN,
    "GET /jwks.json": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    **{route: row for one, who in OF_RECORDS.items() for route, row in of_record(one, who).items()},
    **of_list("album", "title"),
    **of_list("playlist", "name"),
}

THINGS = {
    "track_id": 99,
    "like_id": 99,
    "comment_id": 99,
    "profile_id": 99,
    "album_id": 99,
    "playlist_id": 99,
    "liked_id": 99,
    "release_id": 99,
    "upload_id": "nowhere",
    "token_id": "0" * 16,
    "repair_id": 1,
    "job_id": 1,
    "export_id": 1,
    "cid": "bafkreia",
    "extension": "mp3",
    "artist": "alice.test",
}
"""The names of things in the paths of routes; nothing but the artist is there."""


def of(*who: Who) -> list[str]:
    return [route for route, row in ROUTES.items() if row.who in who]
