"""An example value for each name in requests and responses, so that all examples in the OpenAPI document are of one track."""

import json
from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

ARTIST: Final = "did:plc:abcdefghijklmnopqrstuvwx"
FRIEND: Final = "did:plc:bcdefghijklmnopqrstuvwxy"
AUDIO_CID: Final = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
RECORD_CID: Final = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae"
RECORD_URI: Final = f"at://{ARTIST}/fm.plyr.track/3mxyzabcdef2k"
SERVICE: Final = "https://tape.example.com"
PDS: Final = "https://pds.example.com"
TIME: Final = "2026-03-01T12:00:00.123456Z"
DIGEST: Final = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
ON_ITS_WAY: Final = "The request is recorded; the PDS has not confirmed it yet. See `mirror`."
TOKEN_ID: Final = "9f86d081884c7d65"  # noqa: S105 - it opens nothing

_REPAIR: Final = {
    "state": "planned",
    "by": FRIEND,
    "ended_at": None,
    "records": 612,
    "steps": 50,
    "points": 150,
    "seconds": 5.0,
}
EXAMPLES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("acked_generation", "by_generation", "gen", "generation", "position"), 41),
    **dict.fromkeys(("actor", "artist_did", "did"), ARTIST),
    **dict.fromkeys(("actor_handle", "artist_handle", "handle", "identifier"), "ada.example.com"),
    "after": "Second Thoughts",
    "album": "Pressings",
    "artist": "Ada Lovelace",
    "display_name": "Ada Lovelace",
    **dict.fromkeys(("atproto_record_cid", "cid", "expected_cid", "request_cid"), RECORD_CID),
    **dict.fromkeys(("atproto_record_uri", "migrated_uri", "record_uri", "restored_uri", "uri"), RECORD_URI),
    "audio_storage": "service",
    "audio_kept": True,
    "success": True,
    "audio_kept_until": None,
    "audio_url": f"{SERVICE}/audio/{AUDIO_CID}.mp3",
    "before": "First Take",
    "title": "First Take",
    "breaker": "closed",
    "cursor": "40",
    "description": "Recorded in one go.",
    "downloads": "open",
    "did_you_mean": "title",
    "field": "title",
    "bio": "Plays the engine.",
    "drains_in": 0.0,
    "duration": 182,
    **dict.fromkeys(("created_at", "ended_at", "expires_at"), TIME),
    "message": "ended",
    "expires_in": 2592000,
    "expires_in_days": 30,
    "features": [FRIEND],
    "fields": ["title"],
    "file": "the bytes of an audio file",
    "file_id": AUDIO_CID,
    "file_type": "mp3",
    "from_version": 1,
    "host": PDS,
    "pds_url": PDS,
    **dict.fromkeys(("id", "repair_id", "track_id"), 7),
    "image": "the bytes of an image",
    "image_url": f"{SERVICE}/artwork/{AUDIO_CID}",
    "thumbnail_url": f"{SERVICE}/artwork/{AUDIO_CID}",
    "kind": "api",
    "limit": 104857600,
    "look_at": "/me",
    "name": "laptop",
    "old_collection": "app.example.track",
    "op": "put",
    "password": "abcd-efgh-ijkl-mnop",
    "request_id": "4f2c9a17d0b84f5c8a3e6b1d7c905e2a",
    "rev": "3mxyzabcdeg2k",
    "scope": "write",
    "self_labels": ["explicit"],
    "state": "delivered",
    "status": "delivered",
    "tags": ["demo"],
    "to_version": 2,
    "version": 2,
    "token": "mt_example",
    "type": "MetadataUpdated",
    "unasked": 3,
    "via": "token:laptop",
    "token_id": TOKEN_ID,
    # whole bodies
    "GET /healthz": {"status": "ok"},
    "GET /readyz": {"status": "ready"},
    "GET /jwks.json": {"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256"}]},
    "GET /oauth-client-metadata.json": {"client_id": f"{SERVICE}/oauth-client-metadata.json"},
}
_FEATURES: Final = [{"did": FRIEND, "handle": "drummer.example.com"}]
IN: Final[Mapping[str, Mapping[str, Any]]] = {
    "AdoptionBody": {"state": "done"},
    "VerifiedBody": {"unjudged": [RECORD_URI]},
    "AdoptionProblemBody": {
        "error": "artwork_unavailable",
        "message": "The address of the cover does not answer.",
    },
    "AttemptBody": {"outcome": "done", "status": 200},
    "ComparisonBody": {
        "fields": [
            {
                "field": "title",
                "own": True,
                "wanted": "Second Thoughts",
                "confirmed": "First Take",
                "present": "First Take",
                "differs": True,
            }
        ]
    },
    "ConflictBody": {"value": {"title": "Third Wind"}},
    "DeletedBody": {"message": "track deleted successfully"},
    "DifferenceBody": {"kept_because": None},
    "DisconnectedBody": {"message": "disconnected: nothing more is written until you sign in"},
    "DriftBody": {"kind": "missing"},
    "FailedBody": {"reason": "BlobTooLarge"},
    "FirehoseBody": {"enabled": True, "streams": {"followed": 1}},
    "FailureRow": {"state": "rejected", "cause": "5ef3a9c1d2b40768"},
    "HostRowPage": {"cursor": PDS},
    "IssuedBody": {"id": TOKEN_ID},
    "JobCountRow": {"kind": "adoption", "state": "running"},
    "JobRow": {
        "account": ARTIST,
        "began_by": "5f0c2a9d41b7e836.4211.881203.1b9e77d2",
        "kind": "adoption",
        "progress": {"found": 240, "known": 0, "adopted": 41, "refused": 0},
        "state": "running",
        "subject": ARTIST,
    },
    "LoginBody": {"kind": "oauth", "state": "expired"},
    "ReleaseBody": {"version": "0.1.0"},
    "LaneRowPage": {"cursor": ARTIST},
    "CauseRow": {
        "id": "5ef3a9c1d2b40768",
        "error": "InvalidRecord",
        "kind": "rejected",
        "phase": "write",
        "status": 400,
        "trend": [0] * 23 + [3],
    },
    "SampleBody": {"error": "InvalidRecord: the record is not valid"},
    "RepairBody": {
        **_REPAIR,
        "groups": [{"repair": "restore", "because": "missing", "records": 50, "points": 150}],
        "digest": DIGEST,
        "skips": [],
    },
    "RepairStepBody": {"repair": "restore", "because": "missing", "found_cid": None},
    "MigratedBody": {"message": "track audio migrated to PDS successfully", "pds_blob_cid": AUDIO_CID},
    "MigratingBody": {"message": ON_ITS_WAY, "success": False},
    "MigrationBody": {"failures": []},
    "MovingBody": {"message": ON_ITS_WAY, "migrated_uri": None, "success": False},
    "ReadModelRow": {"name": "tracks", "state": "current"},
    "RecordMirrorBody": {"left": []},
    "RestoringBody": {"message": ON_ITS_WAY, "restored_uri": None, "success": False},
    "ScanBody": {"interval_seconds": 3600.0},
    "StreamRow": {"state": "followed"},
    "SupportGateBody": {"type": "any"},
    "TokenBody": {"id": TOKEN_ID},
    "MyTrackBody": {
        "audio_copy": "unasked",
        "audio_size": 4_200_000,
        "features": _FEATURES,
    },
    "MyTracksBody": {"counts": {"delivered": 1}},
    "TrackBody": {"features": _FEATURES},
    "UnreadRepoRow": {"problem": "too_slow: the list of its records took more than a minute"},
    "UploadFailureRow": {"cause": "5ef3a9c1d2b40768", "error": "InvalidMimeType", "status": 400},
    "WaitRow": {"state": "rejected", "reason": None, "records": 3, "accounts": 1, "since": TIME},
    "WorkBody": {"head": 41},
    "request": {
        "reason": "reported as stolen",
        "type": "any",
        "POST /tracks/{track_id}/mirror/resolve": {"keep": "ours"},
        "POST /ops/accounts/{did}/tokens/end": {"reason": "the laptop was stolen", "expected": 2},
        "POST /ops/failures": {"action": "redrive", "cause": "5ef3a9c1d2b40768", "expected": 3},
        "POST /ops/hosts": {"action": "pause", "host": PDS, "reason": "its operator asked for it"},
        "POST /ops/lanes": {"action": "probe", "did": ARTIST},
        "POST /ops/repairs": {"did": ARTIST, "reason": "its PDS was restored from a backup"},
        "POST /ops/repairs/{repair_id}": {"action": "apply", "digest": DIGEST, "reason": "as planned"},
    },
    "count_changed": {"current": 3},
    "invalid_field": {"limit": "at most 256 bytes"},
    "invalid_media": {"reason": "BlobTooLarge"},
    "RepairRow": _REPAIR,
    **{key: {"state": "ready"} for key in ("LaneBody", "LaneOfAccountBody", "LaneRow")},
    **{key: {"state": "pending"} for key in ("LeftBody", "PendingRemovals")},
}
"""Those of names that mean something else in a model, in a request or in an error."""

BY_KIND: Final = {"boolean": False, "integer": 0, "object": {}, "date-time": TIME}
"""Examples of what has none by its name."""


def example_of(schema: Schema, models: Mapping[str, Schema], owner: str, name: str) -> Any:
    """Return an example of the schema, which is `name` in `owner`; None, which no text accepts, where a name has none."""
    if "contentSchema" in schema:
        return json.dumps(example_of(schema["contentSchema"], models, owner, name))
    named = {**EXAMPLES, **IN.get(owner, {})}
    if name in named:
        return named[name]
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return example_of(models[model], models, model, "")
    if "properties" in schema:
        return {field: example_of(each, models, owner, field) for field, each in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], models, owner, "")]
    kind = schema.get("format", schema.get("type", "enum"))
    return schema.get("default", schema.get("enum", [BY_KIND.get(kind)])[0])
