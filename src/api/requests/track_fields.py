"""Parses and checks the fields of a track."""

from collections.abc import Callable
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.values import (
    ALBUM_BYTES,
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
    checked_description,
    checked_downloads,
    checked_features,
    checked_self_labels,
    checked_support_gate,
    checked_tags,
    checked_title,
)
from api.requests.body import Body
from api.requests.known_names import require_known_fields
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
    return checked_features(Feature(each.did, each.handle) for each in found if each.did != artist)
