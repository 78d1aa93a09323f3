"""An example value for each name in requests and errors, so that all examples in the OpenAPI document are of one track."""

import json
from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

ARTIST: Final = "did:plc:abcdefghijklmnopqrstuvwx"
FRIEND: Final = "did:plc:bcdefghijklmnopqrstuvwxy"
PDS: Final = "https://pds.example.com"
DIGEST: Final = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

EXAMPLES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("actor", "did"), ARTIST),
    **dict.fromkeys(("handle", "identifier"), "ada.example.com"),
    "album": "Pressings",
    "bio": "Plays the engine.",
    "cid": "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae",
    "cursor": "40",
    "description": "Recorded in one go.",
    "did_you_mean": "title",
    "display_name": "Ada Lovelace",
    "downloads": "open",
    "expires_in_days": 30,
    "features": [FRIEND],
    "field": "title",
    "fields": ["title"],
    "file": "the bytes of an audio file",
    "file_type": "mp3",
    "host": PDS,
    **dict.fromkeys(("id", "repair_id", "track_id"), 7),
    "image": "the bytes of an image",
    "kind": "api",
    "limit": 104857600,
    "name": "laptop",
    "old_collection": "app.example.track",
    "password": "abcd-efgh-ijkl-mnop",
    "scope": "write",
    "self_labels": ["explicit"],
    "state": "delivered",
    "tags": ["demo"],
    "title": "First Take",
    "to_version": 2,
    "token_id": "9f86d081884c7d65",
    "type": "MetadataUpdated",
    "uri": f"at://{ARTIST}/fm.plyr.track/3mxyzabcdef2k",
    "version": 2,
}
IN: Final[Mapping[str, Mapping[str, Any]]] = {
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
}
"""Those of names that mean something else in a request or in an error."""

BY_TYPE: Final = {"boolean": False, "integer": 0, "object": {}}
"""Examples of what has none by its name."""


def example_of(schema: Schema, owner: str, name: str) -> Any:
    """Return an example of the schema, which is `name` in `owner`; None, which no text accepts, where a name has none."""
    if "contentSchema" in schema:
        return json.dumps(example_of(schema["contentSchema"], owner, name))
    named = {**EXAMPLES, **IN.get(owner, {})}
    if name in named:
        return named[name]
    if "properties" in schema:
        return {field: example_of(each, owner, field) for field, each in schema["properties"].items()}
    return schema.get("default", schema.get("enum", [BY_TYPE.get(schema.get("type", ""))])[0])
