"""Compares records without their generation."""

from typing import Any

from demo.story import COLLECTION
from tests.e2e.artist import Artist

Record = dict[str, Any]


def told(record: Record | None) -> Record:
    """What a record that must be there says."""
    assert record is not None
    return {name: value for name, value in record.items() if name != "mastertapeGen"}


def somebody_puts(artist: Artist, record: Record) -> str:
    """Another app of the artist writes this in place of the record; gives its CID."""
    written = artist.pds.put_record(artist.did, COLLECTION, artist.rkey, record)
    return str(written["cid"])


def types(artist: Artist) -> list[str]:
    return [row["type"] for row in artist.client.history(artist.track_id)]
