"""Every place that lists the fields of a track lists them all: a forgotten one fails here, and names the place."""

import re
from pathlib import Path
from typing import Any

import pytest

from aggregates.tracks.track import METADATA, Track
from aggregates.tracks.track_events import NOT_IN_RECORD
from aggregates.values import Downloads, SupportGate
from api.requests.fields import TrackFields
from api.responses.track import TrackBody
from application.tracks.revert import FIELDS
from outbox.tracks.record import OWN_FIELDS, RecordUrls, TrackRecords
from tests.dsl import a_track, some_artwork, some_audio, some_blob, some_feature
from web.pages.studio import track as form
from web.state_words import WORDS

FORM = (Path(form.__file__).parents[2] / "templates/studio/track.html").read_text()
RECORDS = TrackRecords(RecordUrls("http://127.0.0.1:8000"))
FULL = {
    "album": "Album",
    "description": "Words",
    "features": (some_feature(),),
    "tags": ("a",),
    "self_labels": ("porn",),
    "artwork": some_artwork(),
}


@pytest.mark.parametrize(
    ("place", "listed"),
    [
        ("Track.SHOWN in aggregates/tracks/track.py", set(Track.SHOWN)),
        ("TrackBody in api/responses/track.py", set(TrackBody.model_fields)),
        ("TrackFields in api/requests/fields.py", set(TrackFields.model_fields)),
        ("fields in web/words.toml", set(WORDS.fields)),
        ("FIELDS in web/pages/studio/track.py", set(form.FIELDS)),
    ],
)
def test_every_editable_field_is_listed(place: str, listed: set[str]) -> None:
    assert not set(METADATA) - listed, f"add it to {place}"


def test_what_a_page_sends_is_in_its_form() -> None:
    """A field without an input would be cleared by each save."""
    assert not set(form.FIELDS) - set(re.findall(r'(?: name=|\b(?:line|area|select|flag)\()"(\w+)"', FORM))


def test_own_fields_are_those_that_a_record_can_have() -> None:
    """A field that is missing in OWN_FIELDS stays on the PDS for ever once it is cleared."""
    open_track = a_track(**FULL)
    open_track.request_blob_migration(at=open_track.updated_at)
    open_track.record_blob(some_blob(some_audio(1)), at=open_track.updated_at)
    gated_track = a_track(2, support_gate=SupportGate("any"))
    written = {field for track in (open_track, gated_track) for field in RECORDS.record_of(track, 7)}
    assert written == OWN_FIELDS


def test_the_fields_that_are_said_to_stay_out_of_the_record_are_those_that_do() -> None:
    """Pages tell artists of these fields that they are kept here alone."""
    others: dict[str, Any] = {
        **FULL,
        "title": "Other",
        "audio": some_audio(2),
        "support_gate": SupportGate("any"),
        "unlisted": True,
    }
    changed = {field: a_track(**{field: value}) for field, value in others.items()}
    changed["downloads"] = a_track()
    changed["downloads"].set_downloads(Downloads.OFF, at=changed["downloads"].updated_at)
    changed["comments"] = a_track()
    changed["comments"].set_comments(True, at=changed["comments"].updated_at)
    assert set(changed) == set(FIELDS)
    records = {field: RECORDS.record_of(track, 7) for field, track in changed.items()}
    plain = RECORDS.record_of(a_track(), 7)
    assert {field for field, record in records.items() if record == plain} == NOT_IN_RECORD
