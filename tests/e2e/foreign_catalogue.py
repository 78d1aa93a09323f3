"""Records that another service wrote to a real PDS."""

import base64
from collections.abc import Sequence
from typing import Any

from aggregates.values import tid_of
from devpds.server import DevPds
from tests.dsl import COLLECTION, OLD_COLLECTION, some_time
from tests.media_samples import samples

WRITES_AT_ONCE = 50
OTHERS_FIELDS: dict[str, Any] = {
    "copyright": {"holder": "somebody", "year": 1999},
    "rights": [{"$type": "x.y#z", "share": 50}, None, True],
    "waveform": {"$bytes": base64.b64encode(bytes(range(64))).decode().rstrip("=")},
}
"""What this service knows nothing of."""


def rkey(number: int) -> str:
    return tid_of(some_time(number))


def a_record(number: int, collection: str, **fields: Any) -> dict[str, Any]:
    """A record as another client wrote it, with its own format of createdAt."""
    return {
        "$type": collection,
        "title": f"Song {number}",
        "artist": "The Artist",
        "fileType": "mp3",
        "duration": 2,
        "createdAt": f"2019-05-04T12:{number % 60:02}:07.5+02:00",
        **OTHERS_FIELDS,
        **fields,
    }


def publish(pds: DevPds, did: str, records: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """Write them as collection, key and value, many at once."""
    for start in range(0, len(records), WRITES_AT_ONCE):
        writes = [
            {"$type": "com.atproto.repo.applyWrites#create", "collection": where, "rkey": key, "value": value}
            for where, key, value in records[start : start + WRITES_AT_ONCE]
        ]
        body = {"repo": did, "validate": False, "writes": writes}
        pds.procedure("com.atproto.repo.applyWrites", body, by=did)


def catalogue(pds: DevPds, did: str, size: int, *, first: int = 0) -> list[tuple[str, str, dict[str, Any]]]:
    """Publish so many records with audio of their own, every third in the old collection, and give them."""
    records = []
    for number in range(first, first + size):
        collection = OLD_COLLECTION if number % 3 == 0 else COLLECTION
        blob = pds.upload_blob(did, samples.mp3(1_000_000 + number), "audio/mpeg")
        records.append((collection, rkey(number), a_record(number, collection, audioBlob=blob)))
    publish(pds, did, records)
    return records


def rev(pds: DevPds, did: str) -> str:
    """The revision of the repo: it rises with every write."""
    return str(pds.query("com.atproto.sync.getLatestCommit", did=did)["rev"])


def value_of(pds: DevPds, did: str, collection: str, key: str) -> dict[str, Any] | None:
    found = pds.get_record(did, collection, key)
    return found["value"] if found is not None else None
