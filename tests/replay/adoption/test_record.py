"""A record of the lexicon becomes a track, whichever of its optional fields it lacks."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from outbox.pds.client import RecordKey, Remote
from outbox.record.dag_cbor import record_cid
from outbox.record.kind import LexiconError
from replay.adoption.record import SAMPLE_TIME, read_record
from tests.dsl import ALICE, COLLECTION, some_audio
from tests.outbox.rigs.relay_rig import RECORDS

FULL: dict[str, Any] = {
    "$type": COLLECTION,
    "title": "Theirs",
    "artist": "The Artist",
    "audioUrl": "https://elsewhere.test/song.mp3",
    "fileType": "mp3",
    "duration": 3,
    "album": "One",
    "description": "Notes",
    "features": [{"did": "did:plc:carol", "handle": "carol.test", "displayName": "Carol"}],
    "imageUrl": "https://elsewhere.test/cover.png",
    "supportGate": {"type": "any"},
    "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "nudity"}]},
    "createdAt": "2019-05-04T12:00:07.5+02:00",
}
OF_THE_TRACK = ("title", "artist", "album", "description", "features", "labels", "supportGate", "createdAt")
"""The fields that do not depend on where the audio is kept."""


def records_without_a_field(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the record without each of its fields, nested ones too, where the lexicon takes it."""
    items = record.items() if isinstance(record, dict) else enumerate(record)
    for name, value in items:
        if isinstance(record, dict):
            yield f"{path}/{name}", {each: kept for each, kept in record.items() if each != name}
        if isinstance(value, dict | list):
            for place, changed in records_without_a_field(value, f"{path}/{name}"):
                whole = deepcopy(record)
                whole[name] = changed
                yield place, whole


def is_valid(record: dict[str, Any]) -> bool:
    try:
        RECORDS.lexicon.check(record)
    except LexiconError:
        return False
    return True


def content(record: dict[str, Any]) -> dict[str, Any]:
    ours = RECORDS.own_part(record)
    return {**{name: ours.get(name) for name in OF_THE_TRACK}, "labels": ours.get("labels", {}).get("values")}


VALID = {place: record for place, record in records_without_a_field(FULL) if is_valid(record)}


def test_some_nested_fields_are_optional() -> None:
    assert {"/album", "/features/0/handle", "/features/0/displayName"} <= VALID.keys()


@pytest.mark.parametrize("without", VALID)
def test_a_record_without_an_optional_field_becomes_a_track_with_what_it_has(without: str) -> None:
    record = VALID[without]
    key = RecordKey(ALICE, COLLECTION, "3n32ltnlh6222")
    read = read_record(key, Remote(record_cid(record), record), RECORDS)
    track = read.adopted(1, some_audio(), SAMPLE_TIME, artwork=None, image_url=read.image_url)
    assert content(RECORDS.record_of(track, 1)) == content(record)
