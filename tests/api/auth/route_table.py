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
    "POST /tracks/{track_id}/restore-record": TRACK,
    "POST /tracks/{track_id}/migrate-to-pds": TRACK,
    "POST /tracks/{track_id}/migrate-namespace": TRACK,
    "GET /tracks/{track_id}/mirror": TRACK,
    "GET /tracks/{track_id}/mirror/compare": TRACK,
    "POST /tracks/{track_id}/mirror/retry": TRACK,
    "POST /tracks/{track_id}/mirror/resolve": Row(Who.TRACK, {"json": {"keep": "ours"}}),
    "GET /tracks/{track_id}/history": TRACK,
    **dict.fromkeys(WITH_KEY, TRACK),
    "GET /tracks/{track_id}/diff": Row(Who.TRACK, {"params": {"from": 0}}),
    "GET /tracks/{track_id}/likes": OPEN,
    "PUT /tracks/{track_id}/like": OWN,
    "DELETE /tracks/{track_id}/like": THING,
    "GET /likes/{like_id}/mirror": THING,
    "GET /likes/{like_id}/mirror/compare": THING,
    "POST /likes/{like_id}/mirror/retry": THING,
    "POST /likes/{like_id}/mirror/resolve": Row(Who.THING, {"json": {"keep": "ours"}}),
    "GET /likes/{like_id}/history": THING,
    "GET /tracks/{track_id}/comments": OPEN,
    "POST /tracks/{track_id}/comments": Row(Who.OWN, {"json": {"text": "x", "timestamp_ms": 1}}),
    "PATCH /comments/{comment_id}": Row(Who.TRACK, {"json": {"text": "x"}}),
    "DELETE /comments/{comment_id}": TRACK,
    "POST /likes/{like_id}/restore-record": THING,
    "POST /comments/{comment_id}/restore-record": TRACK,
    "PUT /comments/{comment_id}/hidden": TRACK,
    "DELETE /comments/{comment_id}/hidden": TRACK,
    "GET /comments/{comment_id}/mirror": TRACK,
    "GET /comments/{comment_id}/mirror/compare": TRACK,
    "POST /comments/{comment_id}/mirror/retry": TRACK,
    "POST /comments/{comment_id}/mirror/resolve": Row(Who.TRACK, {"json": {"keep": "ours"}}),
    "GET /comments/{comment_id}/history": TRACK,
    "PUT /me/avatar": Row(Who.OWN, {"files": {"image": samples.png()}}),
    "DELETE /me/avatar": THING,
    **{
        f"{method} /{one}{end}": row
        for one in ("profiles/{profile_id}", "liked/{liked_id}")
        for method, end, row in (
            ("POST", "/restore-record", TRACK),
            ("GET", "/mirror", TRACK),
            ("GET", "/mirror/compare", TRACK),
            ("POST", "/mirror/retry", TRACK),
            ("POST", "/mirror/resolve", Row(Who.TRACK, {"json": {"keep": "ours"}})),
            ("GET", "/history", TRACK),
        )
    },
    "POST /albums": Row(Who.OWN, {"json": {"title": "x"}}),
    "GET /albums/{album_id}": OPEN,
    "PATCH /albums/{album_id}": Row(Who.TRACK, {"json": {"title": "x"}}),
    "DELETE /albums/{album_id}": TRACK,
    "POST /albums/{album_id}/undelete": TRACK,
    "POST /albums/{album_id}/revert": Row(Who.TRACK, {"json": {"to_version": 1}}),
    "POST /albums/{album_id}/restore-record": TRACK,
    "POST /albums/{album_id}/migrate-namespace": TRACK,
    "PUT /albums/{album_id}/tracks": Row(Who.TRACK, {"json": {"tracks": []}}),
    "POST /albums/{album_id}/tracks": Row(Who.TRACK, {"json": {"track_id": 1}}),
    "PATCH /albums/{album_id}/tracks": Row(Who.TRACK, {"json": {"track_id": 1, "before": None}}),
    "DELETE /albums/{album_id}/tracks": Row(Who.TRACK, {"params": {"track_id": 1}}),
    "GET /albums/{album_id}/mirror": TRACK,
    "GET /albums/{album_id}/mirror/compare": TRACK,
    "POST /albums/{album_id}/mirror/retry": TRACK,
    "POST /albums/{album_id}/mirror/resolve": Row(Who.TRACK, {"json": {"keep": "ours"}}),
    "GET /albums/{album_id}/history": TRACK,
    "GET /albums/{album_id}/diff": Row(Who.TRACK, {"params": {"from": 0}}),
    "GET /artists/{artist}/albums": OPEN,
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
    "POST /playlists": Row(Who.OWN, {"json": {"name": "x"}}),
    "GET /playlists/{playlist_id}": OPEN,
    "PATCH /playlists/{playlist_id}": Row(Who.TRACK, {"json": {"name": "x"}}),
    "DELETE /playlists/{playlist_id}": TRACK,
    "POST /playlists/{playlist_id}/undelete": TRACK,
    "POST /playlists/{playlist_id}/revert": Row(Who.TRACK, {"json": {"to_version": 1}}),
    "POST /playlists/{playlist_id}/restore-record": TRACK,
    "POST /playlists/{playlist_id}/migrate-namespace": TRACK,
    "PUT /playlists/{playlist_id}/tracks": Row(Who.TRACK, {"json": {"tracks": []}}),
    "POST /playlists/{playlist_id}/tracks": Row(Who.TRACK, {"json": {"track_id": 1}}),
    "PATCH /playlists/{playlist_id}/tracks": Row(Who.TRACK, {"json": {"track_id": 1, "before": None}}),
    "DELETE /playlists/{playlist_id}/tracks": Row(Who.TRACK, {"params": {"track_id": 1}}),
    "GET /playlists/{playlist_id}/mirror": TRACK,
    "GET /playlists/{playlist_id}/mirror/compare": TRACK,
    "POST /playlists/{playlist_id}/mirror/retry": TRACK,
    "POST /playlists/{playlist_id}/mirror/resolve": Row(Who.TRACK, {"json": {"keep": "ours"}}),
    "GET /playlists/{playlist_id}/history": TRACK,
    "GET /playlists/{playlist_id}/diff": Row(Who.TRACK, {"params": {"from": 0}}),
    "GET /artists/{artist}/playlists": OPEN,
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
    "GET /me/leaving": OWN,
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
        for word in ("comment", "track", "album", "playlist", "profile")
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
}

READS_THOUGH_POST: frozenset[str] = frozenset()
"""Routes whose method is POST, for want of a better one, and that a token of scope `read` may use."""


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
