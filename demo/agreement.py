"""Compares the record on the PDS with the track in the API, by a mapping of its own rather than the service's."""

from collections.abc import Mapping
from typing import Any


def expected_record(track: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record that the PDS must hold for the body of GET /tracks/{id}."""
    blob = track["pds_blob_cid"]
    fields = {
        "$type": "fm.plyr.track",
        "title": track["title"],
        "artist": track["artist"],
        "fileType": track["file_type"],
        "audioUrl": track["audio_url"],
        "audioBlob": blob,
        "duration": track["duration"],
        "album": track["album"],
        "description": track["description"],
        "features": track["features"],
        "imageUrl": track["image_url"],
        "supportGate": track["support_gate"],
        "labels": track["self_labels"],
        "createdAt": track["created_at"],
        "mastertapeGen": track["mirror"]["generation"],
    }
    return {name: value for name, value in fields.items() if value}


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with blob and labels in the form of the API."""
    values = dict(record)
    if "audioBlob" in values:
        values["audioBlob"] = values["audioBlob"]["ref"]["$link"]
    if "labels" in values:
        values["labels"] = [label["val"] for label in values["labels"]["values"]]
    return values


def differences(track: Mapping[str, Any] | None, record: Mapping[str, Any] | None) -> list[str]:
    """Return the names of the fields that differ; a deleted track (None) must have no record."""
    if track is None or record is None:
        return [] if track is None and record is None else ["the record itself"]
    wanted, found = expected_record(track), plain(record)
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
