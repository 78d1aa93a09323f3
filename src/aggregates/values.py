"""Values of tracks and lists, with the limits of their lexicons (lexicons/fm.plyr.track.json, fm.plyr.list.json).

A lexicon counts `maxLength` in bytes of UTF-8, so we do too. Every `checked_*` returns the value as it is
stored, or raises InvalidFieldError with the field and the limit.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.states import State

TITLE_BYTES: Final = 256
ARTIST_BYTES: Final = 256
ALBUM_BYTES: Final = 256
BIO_BYTES: Final = 2560
BIO_GRAPHEMES: Final = 256
COMMENT_BYTES: Final = 1000
MAX_TIMESTAMP_MS: Final = 2**31 - 1
"""24 days: an integer of PostgreSQL holds no more."""
DESCRIPTION_BYTES: Final = 5000
MAX_FEATURES: Final = 10
MAX_TAGS: Final = 10
TAG_CHARACTERS: Final = 50
MAX_SELF_LABELS: Final = 10
SELF_LABEL_BYTES: Final = 128
GATE_TYPES: Final = ("any",)
INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Mn", "Zl", "Zp", "Zs"})
BLANK_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
JOINER: Final = "\N{ZERO WIDTH JOINER}"
SUPPORT_URL_BYTES: Final = 1024
NAME_GRAPHEMES: Final = 64
MAX_ITEMS: Final = 500


@dataclass(frozen=True)
class Audio:
    """The bytes of a track: their CID, size in bytes, MIME type, file type and duration in whole seconds."""

    cid: str
    size: int
    mime: str
    file_type: str
    duration: int | None


@dataclass(frozen=True)
class Artwork:
    """The cover and its thumbnail, both named by CID; `size` in bytes is the cover's."""

    cid: str
    mime: str
    size: int
    thumbnail_cid: str

    @property
    def cids(self) -> tuple[str, str]:
        return self.cid, self.thumbnail_cid


def cids_in(artwork: Artwork | None) -> tuple[str, ...]:
    return artwork.cids if artwork is not None else ()


@dataclass(frozen=True)
class Feature:
    """A featured artist, with the handle as it was when the track named them; another client may name the DID alone."""

    did: str
    handle: str | None


@dataclass(frozen=True)
class SupportGate:
    """Who may play the track: `any` supporter of the artist."""

    type: str


class Downloads(StrEnum):
    """Who may download the audio as a file, of those who may play the track; the owner always may."""

    OPEN = "open"
    ASK = "ask"
    """All of them; a page asks for support first."""
    SUPPORTERS = "supporters"
    OFF = "off"


@dataclass(frozen=True)
class ListItem:
    """A record that a list refers to; without a CID it is not written: its PDS has no such record yet, or no longer."""

    uri: str
    cid: str | None


class ListType(StrEnum):
    """The kinds of lists, as their records name them."""

    ALBUM = "album"
    PLAYLIST = "playlist"
    LIKED = "liked"


class Visibility(StrEnum):
    """Whether a list has a record, and is shown to all."""

    PUBLIC = "public"
    PRIVATE = "private"


class ReleaseState(State):
    """States of a release; `publishing` is shown, and never stored."""

    DRAFT = "draft", "its owner fills it; nothing of it is public"
    SCHEDULED = "scheduled", "is published at the time that its owner has set"
    PUBLISHING = "publishing", "that time has come, and the worker publishes it"
    PUBLISHED = "published", "its tracks were made, and their album where it has a title"
    FAILED = "failed", "nothing of it could be published; its owner changes it, or publishes it again"


@dataclass(frozen=True)
class ReleaseFile:
    """An uploaded file that is to be a track of a release; artist, album, disc, number and year are what its tags say."""

    upload_id: str
    name: str
    audio: Audio
    title: str
    artist: str | None = None
    album: str | None = None
    number: int | None = None
    year: int | None = None
    artwork: Artwork | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    """None has those of the release."""
    disc: int | None = None

    @property
    def cids(self) -> tuple[str, ...]:
        return (self.audio.cid, *cids_in(self.artwork))

    def arranged(self, fields: Mapping[str, Any]) -> "ReleaseFile":
        """Return it with these fields, of which `upload_id` names it."""
        tags = fields.get("tags", self.tags)
        return replace(self, **{**fields, "tags": None if tags is None else tuple(tags)})


@dataclass(frozen=True)
class BlobRef:
    """The blob reference that the PDS returned for an audio CID; the PDS may name another MIME type."""

    audio_cid: str
    ref: dict[str, Any]


def _checked_text(
    field: str,
    value: str,
    maximum: int | None,
    *,
    minimum: int = 0,
    characters: int | None = None,
    is_seen: bool = False,
) -> str:
    """Check bytes, characters, and where it is shown as a name whether there is something to see."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidFieldError(field, "no lone surrogates") from None
    if "\0" in value:
        raise InvalidFieldError(field, "no NUL character")
    if size < minimum:
        raise InvalidFieldError(field, "must not be empty")
    if maximum is not None and size > maximum:
        raise InvalidFieldError(field, f"at most {maximum} bytes of UTF-8")
    if is_seen and value and not is_visible(value):
        raise InvalidFieldError(field, "must have a character that can be seen")
    if characters is not None and graphemes(value) > characters:
        raise InvalidFieldError(field, f"at most {characters} characters")
    return value


def _checked_optional(field: str, value: str | None, maximum: int, **more: Any) -> str | None:
    return _checked_text(field, value or "", maximum, **more) or None  # empty is none


checked_title: Final = partial(_checked_text, "title", maximum=TITLE_BYTES, minimum=1)
checked_artist: Final = partial(_checked_text, "artist", maximum=ARTIST_BYTES, minimum=1)
checked_album: Final = partial(_checked_optional, "album", maximum=ALBUM_BYTES)
checked_audio_name: Final = partial(_checked_optional, "audio_name", maximum=ALBUM_BYTES)
checked_description: Final = partial(_checked_optional, "description", maximum=DESCRIPTION_BYTES)
checked_bio: Final = partial(_checked_optional, "bio", maximum=BIO_BYTES, characters=BIO_GRAPHEMES)


def checked_listening_key(value: str | None) -> str | None:
    """At least 22 characters, as many as 16 random bytes have in base64; empty is none."""
    if value and not _LISTENING_KEY.fullmatch(value):
        raise InvalidFieldError("listening_key", "22 to 100 letters, digits, - and _")
    return value or None


_LISTENING_KEY: Final = re.compile(r"[A-Za-z0-9_-]{22,100}")


def checked_support_url(value: str | None) -> str | None:
    """An address on the web, by https; empty is none."""
    url = _checked_text("support_url", (value or "").strip(), SUPPORT_URL_BYTES)
    if url and not _SUPPORT_URL.fullmatch(url):
        raise InvalidFieldError("support_url", "must begin with https:// and the name of a host")
    return url or None


_SUPPORT_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^\s<>\"\\]*)?")


def checked_comment(value: Any) -> str:
    """At most 1000 bytes, with something to see."""
    text = value if isinstance(value, str) else ""
    return _checked_text("text", text, COMMENT_BYTES, minimum=1, is_seen=True)


def checked_timestamp_ms(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TIMESTAMP_MS:
        raise InvalidFieldError("timestamp_ms", f"must be a whole number from 0 to {MAX_TIMESTAMP_MS}")
    return value


def checked_list_name(value: str, *, field: str = "name") -> str:
    """At most 256 bytes and 64 graphemes, with something to see."""
    name = value.strip()
    return _checked_text(field, name, ALBUM_BYTES, minimum=1, characters=NAME_GRAPHEMES, is_seen=True)


def graphemes(text: str) -> int:
    """Count what readers take for characters: marks, joined parts and the second half of a flag belong to the one before them."""
    count, before, is_half_a_flag = 0, "", False
    for each in text:
        is_flag = "\U0001f1e6" <= each <= "\U0001f1ff"
        is_mark = unicodedata.category(each) in {"Mn", "Mc", "Me"} or "\U0001f3fb" <= each <= "\U0001f3ff"
        belongs = is_mark or JOINER in (each, before) or (is_flag and is_half_a_flag)
        count += not (belongs and before)
        before, is_half_a_flag = each, is_flag and not is_half_a_flag
    return count


def checked_release_date(value: str | None) -> str | None:
    """A date as 2026-11-30; empty is none."""
    if not value:
        return None
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise InvalidFieldError("release_date", "must be a date, as 2026-11-30") from None


def checked_slug(value: str) -> str:
    """Letters and digits of any script in lower case, with single hyphens between."""
    slug = _checked_text("slug", value, ALBUM_BYTES, minimum=1)
    if slug != slug_of(slug):
        raise InvalidFieldError("slug", "lower-case letters and digits, with single hyphens between")
    return slug


def slug_of(name: str) -> str:
    """Return what names a list in addresses: letters and digits of its name, with hyphens between."""
    slug = _NOT_IN_SLUGS.sub("-", unicodedata.normalize("NFKC", name).casefold())
    return slug.strip("-_") or "album"


_NOT_IN_SLUGS: Final = re.compile(r"[^\w]+")


def checked_display_name(value: str | None) -> str | None:
    """At most 256 bytes, as the record's artist, with something to see; empty is none."""
    return _checked_optional("display_name", (value or "").strip(), ARTIST_BYTES, is_seen=True)


def same_ends(before: Sequence[Any], after: Sequence[Any]) -> tuple[int, int]:
    """Return how much two texts or lists have in common at their beginning and, behind that, at their end."""
    shorter = min(len(before), len(after))
    begin = bisect_left(range(1, shorter + 1), True, key=lambda n: before[:n] != after[:n])
    rest = shorter - begin
    return begin, bisect_left(range(1, rest + 1), True, key=lambda n: before[-n:] != after[-n:])


def is_visible(text: str) -> bool:
    return any(unicodedata.category(each) not in INVISIBLE and each not in BLANK_LETTERS for each in text)


def checked_features(values: Iterable[Feature]) -> tuple[Feature, ...]:
    """At most 10 artists, each once, in the order given."""
    by_did = {_checked_text("features", feature.did, None): feature for feature in values}
    features = tuple(by_did.values())
    for feature in features:
        _checked_text("features", feature.handle or "", None)
    if len(features) > MAX_FEATURES:
        raise InvalidFieldError("features", f"at most {MAX_FEATURES} artists")
    return features


def checked_tags(values: Iterable[str]) -> tuple[str, ...]:
    """At most 10 tags of at most 50 characters: lower case, single spaces, no hyphen at the ends, each once."""
    tags: dict[str, None] = {}
    for value in values:
        tag = tag_as_stored(_checked_text("tags", value, None))
        if len(tag) > TAG_CHARACTERS:  # as stored: lower case may be longer
            raise InvalidFieldError("tags", f"at most {TAG_CHARACTERS} characters a tag")
        if tag:
            tags[tag] = None
    if len(tags) > MAX_TAGS:
        raise InvalidFieldError("tags", f"at most {MAX_TAGS} tags")
    return tuple(tags)


def tag_as_stored(text: str) -> str:
    """Normalize a tag: lower case, single spaces, no hyphen at the ends."""
    return " ".join(text.lower().split()).strip(" -")


def checked_self_labels(values: Iterable[str]) -> tuple[str, ...]:
    """At most 10 labels of 1 to 128 bytes, each once, in the order given."""
    labels = tuple(
        dict.fromkeys(_checked_text("self_labels", value, SELF_LABEL_BYTES, minimum=1) for value in values)
    )
    if len(labels) > MAX_SELF_LABELS:
        raise InvalidFieldError("self_labels", f"at most {MAX_SELF_LABELS} labels")
    return labels


def checked_support_gate(kind: str) -> SupportGate:
    if kind not in GATE_TYPES:
        raise InvalidFieldError("support_gate", f"type must be one of: {', '.join(GATE_TYPES)}")
    return SupportGate(type=kind)


def hash_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


ALPHABET: Final = "234567abcdefghijklmnopqrstuvwxyz"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def tid_of(timestamp: datetime) -> str:
    """Return the TID of a time, 13 characters that sort by time. Integers throughout: a float loses microseconds."""
    number = ((timestamp - EPOCH) // timedelta(microseconds=1)) << 10
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(60, -1, -5))
