"""Reads a record that a PDS holds already as the fields of a track."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from aggregates.tracks.track import Track
from aggregates.values import Audio, BlobRef, SupportGate, checked_artist, checked_support_gate
from eventstore.untrusted import clean, is_storable
from outbox.pds.client import RecordKey, Remote
from outbox.record.dag_cbor import Record, UnencodableError, record_cid
from outbox.record.kind import FORMATS, RKEY, LexiconError, RecordKind, blob_reference
from outbox.tracks.record import ADOPTABLE

OUR_NAMES: Final = {name: field for name, (field, _) in ADOPTABLE.items()} | {
    "artist": "artist",
    "createdAt": "created_at",
    "supportGate": "support_gate",
    "imageUrl": "image_url",
}
MAX_DURATION_SECONDS: Final = 2**31 - 1
"""An integer of PostgreSQL holds no more."""
SAMPLE_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class AdoptableRecord:
    """A record as the fields of its track, with the blobs and addresses of its bytes."""

    key: RecordKey
    cid: str
    fields: dict[str, Any]
    audio_blob: Record | None
    audio_url: str | None
    image_blob: Record | None
    image_url: str | None
    duration: int | None

    @property
    def audio_cid(self) -> str | None:
        return self.audio_blob["ref"]["$link"] if self.audio_blob is not None else None

    def completed(self, audio: Audio) -> Audio:
        """Return the audio, with the duration of the record where the bytes have none."""
        return replace(audio, duration=self.duration) if audio.duration is None else audio

    def adopted(self, track_id: int, audio: Audio, at: datetime, **others: Any) -> Track:
        """Make the track; it keeps the record's blob if that has the audio."""
        of_audio = self.audio_blob if self.audio_cid == audio.cid else None
        blob = BlobRef(audio.cid, of_audio) if of_audio else None
        read = {"tags": (), "unlisted": False, **self.fields, "uri": self.key.uri, "cid": self.cid}
        return Track.adopt(
            at=at, track_id=track_id, audio=audio, blob=blob, **vars(self.key), **read, **others
        )


def read_record(key: RecordKey, remote: Remote, records: RecordKind) -> AdoptableRecord:
    """Read a record; raises InvalidFieldError with the first field that a track, or a record of ours, cannot have."""
    body = proven_body(key, remote)
    fields: dict[str, Any] = {field: read(body.get(name)) for name, (field, read) in ADOPTABLE.items()}
    fields["artist"] = checked_artist(_text("artist", body.get("artist")))
    fields["created_at"] = created_at = _text("created_at", body.get("createdAt"))
    if not FORMATS["datetime"](created_at):
        raise InvalidFieldError("created_at", "must be a time as in RFC 3339")
    fields["support_gate"] = _gate(body.get("supportGate"))
    found = AdoptableRecord(
        key=key,
        cid=remote.cid or "",
        fields=fields,
        audio_blob=_blob("audioBlob", body.get("audioBlob")),
        audio_url=_url("audioUrl", body.get("audioUrl")),
        image_blob=_blob("imageBlob", body.get("imageBlob")),
        image_url=_url("imageUrl", body.get("imageUrl")),
        duration=_duration(body.get("duration")),
    )
    if not is_storable(found.image_url):
        raise InvalidFieldError("image_url", "no NUL character")
    any_audio = Audio(found.audio_cid or "bafkrei", size=1, mime="audio/mpeg", file_type="mp3", duration=1)
    track = found.adopted(1, any_audio, SAMPLE_TIME, artwork=None, image_url=found.image_url)
    require_writable(records, track, body, OUR_NAMES)
    return found


def proven_body(key: RecordKey, remote: Remote) -> Record:
    """Return the record; raises InvalidFieldError where its key is none, or its CID is that of another."""
    body = remote.body or {}
    if not RKEY.fullmatch(key.rkey):
        raise InvalidFieldError("rkey", "must be a record key of ATProto")
    try:
        if record_cid(body) != remote.cid:
            raise InvalidFieldError("record", "must match its CID")
    except UnencodableError as error:
        raise InvalidFieldError("record", str(error)) from None
    return body


def require_writable(kind: RecordKind, subject: Published, body: Record, names: Mapping[str, str]) -> None:
    """Check that a record of ours would be valid over this one; an error gives a field the name that it has here."""
    try:
        record = kind.merged(kind.record_of(subject, 1), body)
        record_cid(record)
        kind.lexicon.check(record)
    except LexiconError as error:
        name = error.path.strip("/").split("/")[0]
        raise InvalidFieldError(names.get(name, name), str(error)) from None
    except UnencodableError as error:
        raise InvalidFieldError("record", str(error)) from None


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidFieldError(field, "must be a text")
    return value


def _gate(value: Any) -> SupportGate | None:
    match value:
        case None:
            return None
        case {"type": str(kind)}:
            return checked_support_gate(kind)
    raise InvalidFieldError("support_gate", "must be an object with a `type`")


def _url(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise InvalidFieldError(OUR_NAMES.get(name, "audio_url"), "must be a text")


def _duration(value: Any) -> int | None:
    match value:
        case bool():
            return None
        case int(seconds) if seconds > MAX_DURATION_SECONDS:
            raise InvalidFieldError("duration", f"at most {MAX_DURATION_SECONDS} seconds")
        case int(seconds) if seconds > 0:
            return seconds
    return None


def _blob(name: str, value: Any) -> Record | None:
    if value is None:
        return None
    if (blob := blob_reference(value)) is None:
        raise InvalidFieldError(name, "must be a blob reference")
    return blob


MAX_NAMED_PROBLEMS: Final = 500
"""More are counted and not named."""

MAX_PROBLEM_LENGTH: Final = 500
"""A message may quote a value of the record."""
MAX_URI_LENGTH: Final = 600
"""More than a URI with a valid key has."""

Problem = dict[str, Any]


@dataclass
class Progress:
    """Of the records `found` at the PDS, how many were known here before, were adopted, or were refused."""

    found: int = 0
    known: int = 0
    adopted: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.known + self.adopted + self.refused

    def add_problem(self, problem: Problem) -> None:
        if len(self.problems) < MAX_NAMED_PROBLEMS:
            self.problems.append(problem)

    def refuse(self, problem: Problem) -> None:
        self.refused += 1
        self.add_problem(problem)


def name_of(key: RecordKey) -> str:
    """Return the record's URI, cut: a PDS may list keys of any length."""
    return clean(key.uri, MAX_URI_LENGTH)


def problem_of(key: RecordKey, error: str, message: str, *, adopted: bool = False, **more: Any) -> Problem:
    """Describe a problem of a record; `adopted` says whether the record became a track nevertheless."""
    message = clean(message, MAX_PROBLEM_LENGTH)
    return {"uri": name_of(key), "error": error, "message": message, "adopted": adopted, **more}
