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

EXAMPLES: Final[Mapping[str, Any]] = {
    "acked_generation": 41,
    "actor": ARTIST,
    "actor_handle": "ada.example.com",
    "after": "Second Thoughts",
    "album": "Pressings",
    "artist": "Ada Lovelace",
    "artist_did": ARTIST,
    "artist_handle": "ada.example.com",
    "atproto_record_cid": RECORD_CID,
    "atproto_record_uri": RECORD_URI,
    "audio_storage": "service",
    "audio_kept": True,
    "audio_kept_until": None,
    "audio_url": f"{SERVICE}/audio/{AUDIO_CID}.mp3",
    "before": "First Take",
    "breaker": "closed",
    "by_generation": 41,
    "cid": RECORD_CID,
    "cursor": "40",
    "description": "Recorded in one go.",
    "downloads": "open",
    "did": ARTIST,
    "did_you_mean": "title",
    "display_name": "Ada Lovelace",
    "bio": "Plays the engine.",
    "drains_in": 0.0,
    "duration": 182,
    "ended_at": TIME,
    "expected_cid": RECORD_CID,
    "expires_at": TIME,
    "expires_in": 2592000,
    "expires_in_days": 30,
    "features": [FRIEND],
    "field": "title",
    "fields": ["title"],
    "file": "the bytes of an audio file",
    "file_id": AUDIO_CID,
    "file_type": "mp3",
    "from_version": 1,
    "gen": 41,
    "generation": 41,
    "handle": "ada.example.com",
    "host": PDS,
    "id": 7,
    "identifier": "ada.example.com",
    "image": "the bytes of an image",
    "image_url": f"{SERVICE}/artwork/{AUDIO_CID}",
    "kind": "api",
    "limit": 104857600,
    "look_at": "/me",
    "migrated_uri": RECORD_URI,
    "name": "laptop",
    "old_collection": "app.example.track",
    "op": "put",
    "password": "abcd-efgh-ijkl-mnop",
    "pds_url": PDS,
    "position": 41,
    "record_uri": RECORD_URI,
    "repair_id": 7,
    "request_cid": RECORD_CID,
    "request_id": "4f2c9a17d0b84f5c8a3e6b1d7c905e2a",
    "restored_uri": RECORD_URI,
    "rev": "3mxyzabcdeg2k",
    "scope": "write",
    "self_labels": ["explicit"],
    "state": "delivered",
    "status": "delivered",
    "success": True,
    "tags": ["demo"],
    "thumbnail_url": f"{SERVICE}/artwork/{AUDIO_CID}",
    "title": "First Take",
    "to_version": 2,
    "token": "mt_example",
    "track_id": 7,
    "type": "MetadataUpdated",
    "unasked": 3,
    "uri": RECORD_URI,
    "version": 2,
    "via": "token:laptop",
    # names that mean something else in one place
    "AdoptionBody.state": "done",
    "VerifiedBody.unjudged": [RECORD_URI],
    "AdoptionProblemBody.error": "artwork_unavailable",
    "AdoptionProblemBody.message": "The address of the cover does not answer.",
    "AttemptBody.outcome": "done",
    "AttemptBody.status": 200,
    "ComparisonBody.fields": [
        {
            "field": "title",
            "own": True,
            "wanted": "Second Thoughts",
            "confirmed": "First Take",
            "present": "First Take",
            "differs": True,
        }
    ],
    "ConflictBody.value": {"title": "Third Wind"},
    "DeletedBody.message": "track deleted successfully",
    "DifferenceBody.kept_because": None,
    "DisconnectedBody.message": "disconnected: nothing more is written until you sign in",
    "DriftBody.kind": "missing",
    "EndedBody.message": "ended",
    "FailedBody.reason": "BlobTooLarge",
    "FirehoseBody.enabled": True,
    "FirehoseBody.streams": {"followed": 1},
    "FailureRow.state": "rejected",
    "HostsBody.cursor": PDS,
    "IssuedBody.id": TOKEN_ID,
    "JobCountRow.kind": "adoption",
    "JobCountRow.state": "running",
    "JobRow.account": ARTIST,
    "JobRow.began_by": "5f0c2a9d41b7e836.4211.881203.1b9e77d2",
    "JobRow.kind": "adoption",
    "JobRow.progress": {"found": 240, "known": 0, "adopted": 41, "refused": 0},
    "JobRow.state": "running",
    "JobRow.subject": ARTIST,
    "LaneBody.state": "ready",
    "LaneOfAccountBody.state": "ready",
    "LaneRow.state": "ready",
    "LoginBody.kind": "oauth",
    "LoginBody.state": "expired",
    "ReleaseBody.version": "0.1.0",
    "LanesBody.cursor": ARTIST,
    "CauseRow.id": "5ef3a9c1d2b40768",
    "CauseRow.error": "InvalidRecord",
    "CauseRow.kind": "rejected",
    "CauseRow.phase": "write",
    "CauseRow.status": 400,
    "CauseRow.trend": [0] * 23 + [3],
    "FailureRow.cause": "5ef3a9c1d2b40768",
    "SampleBody.error": "InvalidRecord: the record is not valid",
    "LeftBody.state": "pending",
    **{
        f"{name}.{field}": value
        for name in ("RepairRow", "RepairBody")
        for field, value in {
            "state": "planned",
            "by": FRIEND,
            "ended_at": None,
            "records": 612,
            "steps": 50,
            "points": 150,
            "seconds": 5.0,
        }.items()
    },
    "RepairBody.groups": [{"repair": "restore", "because": "missing", "records": 50, "points": 150}],
    "RepairBody.digest": DIGEST,
    "RepairBody.skips": [],
    "RepairStepBody.repair": "restore",
    "RepairStepBody.because": "missing",
    "RepairStepBody.found_cid": None,
    "MessageBody.message": "ended",
    "MigratedBody.message": "track audio migrated to PDS successfully",
    "MigratedBody.pds_blob_cid": AUDIO_CID,
    "MigratingBody.message": ON_ITS_WAY,
    "MigratingBody.success": False,
    "MigrationBody.failures": [],
    "MovingBody.message": ON_ITS_WAY,
    "MovingBody.migrated_uri": None,
    "MovingBody.success": False,
    "ReadModelRow.name": "tracks",
    "ReadModelRow.state": "current",
    "RecordMirrorBody.left": [],
    "RestoringBody.message": ON_ITS_WAY,
    "RestoringBody.restored_uri": None,
    "RestoringBody.success": False,
    "ScanBody.interval_seconds": 3600.0,
    "StreamRow.state": "followed",
    "SupportGateBody.type": "any",
    "TokenBody.id": TOKEN_ID,
    "MyTrackBody.audio_copy": "unasked",
    "MyTrackBody.audio_size": 4_200_000,
    "MyTrackBody.created_at": TIME,
    "MyTrackBody.features": [{"did": FRIEND, "handle": "drummer.example.com"}],
    "MyTracksBody.counts": {"delivered": 1},
    "TrackBody.created_at": TIME,
    "TrackBody.features": [{"did": FRIEND, "handle": "drummer.example.com"}],
    "UnreadRepoRow.problem": "too_slow: the list of its records took more than a minute",
    "UploadFailureRow.cause": "5ef3a9c1d2b40768",
    "UploadFailureRow.error": "InvalidMimeType",
    "UploadFailureRow.status": 400,
    "WaitRow.state": "rejected",
    "WaitRow.reason": None,
    "WaitRow.records": 3,
    "WaitRow.accounts": 1,
    "WaitRow.since": TIME,
    "WaitingBody.state": "pending",
    "WorkBody.head": 41,
    "request.POST /tracks/{track_id}/mirror/resolve": {"keep": "ours"},
    "request.POST /ops/accounts/{did}/tokens/end": {"reason": "the laptop was stolen", "expected": 2},
    "request.POST /ops/failures": {"action": "redrive", "cause": "5ef3a9c1d2b40768", "expected": 3},
    "request.POST /ops/hosts": {"action": "pause", "host": PDS, "reason": "its operator asked for it"},
    "request.POST /ops/lanes": {"action": "probe", "did": ARTIST},
    "request.POST /ops/repairs": {"did": ARTIST, "reason": "its PDS was restored from a backup"},
    "request.POST /ops/repairs/{repair_id}": {"action": "apply", "digest": DIGEST, "reason": "as planned"},
    "request.reason": "reported as stolen",
    "request.type": "any",
    # fields of errors
    "count_changed.current": 3,
    "invalid_field.limit": "at most 256 bytes",
    "invalid_media.reason": "BlobTooLarge",
    "token_id": TOKEN_ID,
    # whole bodies without a model
    "GET /healthz": {"status": "ok"},
    "GET /readyz": {"status": "ready"},
    "GET /jwks.json": {"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256"}]},
    "GET /oauth-client-metadata.json": {"client_id": f"{SERVICE}/oauth-client-metadata.json"},
}


BY_KIND: Final = {"boolean": False, "integer": 0, "object": {}, "date-time": TIME}
"""Examples of what has none by its name."""


def example_of(schema: Schema, models: Mapping[str, Schema], owner: str, name: str) -> Any:
    """Return an example of the schema, which is `name` in `owner`; None, which no text accepts, where a name has none."""
    if "contentSchema" in schema:
        return json.dumps(example_of(schema["contentSchema"], models, owner, name))
    for key in (f"{owner}.{name}", name):
        if key in EXAMPLES:
            return EXAMPLES[key]
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return example_of(models[model], models, model, "")
    if "properties" in schema:
        return {field: example_of(each, models, owner, field) for field, each in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], models, owner, "")]
    kind = schema.get("format", schema.get("type", "enum"))
    return schema.get("default", schema.get("enum", [BY_KIND.get(kind)])[0])
