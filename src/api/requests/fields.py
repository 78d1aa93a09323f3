"""Parses and checks the fields of a track, and of an account: its profile, and its API tokens."""

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.values import (
    ALBUM_BYTES,
    ARTIST_BYTES,
    BIO_BYTES,
    DESCRIPTION_BYTES,
    MAX_FEATURES,
    MAX_SELF_LABELS,
    MAX_TAGS,
    TAG_CHARACTERS,
    TITLE_BYTES,
    Downloads,
    Feature,
    SupportGate,
    checked_album,
    checked_bio,
    checked_description,
    checked_display_name,
    checked_downloads,
    checked_features,
    checked_self_labels,
    checked_support_gate,
    checked_tags,
    checked_title,
    is_visible,
)
from api.errors import MissingPartError
from api.openapi import TEXT
from api.requests.body import Body
from api.requests.parameters import require_known_fields
from eventstore.untrusted import whole_number
from identity.accounts.credentials import Scope
from identity.accounts.sign_in import USUAL_NAME
from identity.errors import FeatureUnresolvedError
from identity.resolution.featured_artists import FeaturedArtists

TEXT_BYTES: Final = {"title": TITLE_BYTES, "album": ALBUM_BYTES, "description": DESCRIPTION_BYTES}
MOST_ITEMS: Final = {"tags": MAX_TAGS, "features": MAX_FEATURES, "self_labels": MAX_SELF_LABELS}
ITEM_CHARACTERS: Final = {"tags": TAG_CHARACTERS}
"""The limits as pages count them while a person types."""

CHECKS: Final[dict[str, Callable[[Body], Any]]] = {
    "title": lambda body: checked_title(body.text("title") or ""),
    "description": lambda body: checked_description(body.text("description")),
    "self_labels": lambda body: checked_self_labels(body.texts("self_labels")),
    "album": lambda body: checked_album(body.text("album")),
    "tags": lambda body: checked_tags(body.texts("tags")),
}


def metadata_of(body: Body) -> dict[str, Any]:
    """Return the checked metadata of the body, without features, which need a lookup."""
    return {name: check(body) for name, check in CHECKS.items() if name in body}


def support_gate_of(body: Body) -> SupportGate | None:
    """Return the checked gate; None if it is cleared or absent."""
    gate = body.mapping("support_gate")
    if gate is None:
        return None
    require_known_fields(gate, ["type"], inside="support_gate.")
    kind = gate.get("type")
    if not isinstance(kind, str):
        raise InvalidFieldError("support_gate", "must have a `type`")
    return checked_support_gate(kind)


def downloads_of(body: Body) -> Downloads:
    """Return who may download the audio; open if it is cleared or absent."""
    return checked_downloads(body.text("downloads"))


async def features_of(body: Body, artists: FeaturedArtists, artist: str) -> tuple[Feature, ...]:
    """Resolve the featured artists, without the track's own artist."""
    names = list(dict.fromkeys(body.texts("features")))
    if len(names) > MAX_FEATURES + 1:  # one may be the artist
        raise InvalidFieldError("features", f"at most {MAX_FEATURES} artists")
    try:
        found = await artists.resolve(artist, names)
    except FeatureUnresolvedError as error:
        limit = f"{error.identifier} could not be resolved ({error.reason})"
        raise InvalidFieldError("features", limit) from None
    return checked_features(each for each in found if each.did != artist)


MAX_NAME_LENGTH: Final = 100
MAX_TEXT_LENGTH: Final = 512
RESERVED_NAMES: Final = frozenset({"", "operator", "relay", "service", "you", USUAL_NAME.replace(" ", "")})
"""What history calls others than programs, without `the` and `mastertape`."""
DAYS: Final = (1, 365)
DEFAULT_DAYS: Final = 30
TOKEN_FIELDS: Final[dict[str, Any]] = {
    "name": {
        **TEXT,
        "description": f"at most {MAX_NAME_LENGTH} printable characters; history shows it, and those of the operator, "
        "the service and its relay are reserved",
    },
    "scope": {"enum": [scope.value for scope in Scope], "description": f"{Scope.WRITE.value} when absent"},
    "expires_in_days": {
        "type": "integer",
        "minimum": DAYS[0],
        "maximum": DAYS[1],
        "description": f"{DEFAULT_DAYS} when absent",
    },
}


def required_text(body: Body, name: str) -> str:
    """Return a required text; raises MissingPartError or InvalidFieldError."""
    if name not in body:
        raise MissingPartError(name)
    value = body.text(name) or ""
    if not 0 < len(value) <= MAX_TEXT_LENGTH:
        raise InvalidFieldError(name, f"must have 1 to {MAX_TEXT_LENGTH} characters")
    return value


def name_of(body: Body, usual: str) -> str:
    """Return the name, which history shows as the way in of what the token changes; raises InvalidFieldError."""
    name = body.text("name") or usual
    if len(name) > MAX_NAME_LENGTH or not name.isprintable() or (name and not is_visible(name)):
        raise InvalidFieldError("name", f"at most {MAX_NAME_LENGTH} characters that can be printed")
    if name != usual and is_reserved(name):
        raise InvalidFieldError("name", "must not be that of the operator, the service or its relay")
    return name


def is_reserved(name: str) -> bool:
    """Whether history would take the name for another's; case, spaces, signs and what cannot be seen do not count."""
    folded = "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))
    return folded != "" and folded.replace("mastertape", "").removeprefix("the") in RESERVED_NAMES


def scope_of(body: Body) -> Scope:
    return checked_scope(body.text("scope") or Scope.WRITE.value)


def checked_scope(value: str) -> Scope:
    if value not in list(Scope):
        raise InvalidFieldError("scope", f"must be one of: {', '.join(Scope)}")
    return Scope(value)


def lifetime_of(body: Body) -> timedelta:
    given = body.fields.get("expires_in_days")
    days = whole_number(str(DEFAULT_DAYS if given is None or given == "" else given))
    first, last = DAYS
    if days is None or not first <= days <= last:
        raise InvalidFieldError("expires_in_days", f"must be {first} to {last}")
    return timedelta(days=days)


PROFILE_CHECKS: Final[dict[str, Callable[[str | None], str | None]]] = {
    "display_name": checked_display_name,
    "bio": checked_bio,
}
PROFILE_FIELDS: Final[dict[str, Any]] = {
    "display_name": {**TEXT, "description": f"at most {ARTIST_BYTES} bytes; empty shows the profile's again"},
    "bio": {**TEXT, "description": f"at most {BIO_BYTES} bytes; empty clears"},
}


def profile_of(body: Body) -> dict[str, str | None]:
    return {name: check(body.text(name)) for name, check in PROFILE_CHECKS.items() if name in body}
