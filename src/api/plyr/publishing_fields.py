"""Parses who may find, hear and download a track, in the peer's words; what a track cannot hold here is refused.

`publishing` says everything; an older client sends `visibility` instead, or the fields that are our own.
"""

from dataclasses import dataclass
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.values import Downloads, SupportGate, checked_downloads
from api.openapi import TEXT
from api.plyr.publishing import PUBLIC, SUPPORTERS, UNLISTED
from api.requests.body import NONE, Body
from api.requests.known_names import require_known_fields

PUBLISHING: Final[dict[str, Any]] = {"publishing": {"type": "object"}}
VISIBILITY: Final[dict[str, Any]] = {"visibility": TEXT}
OLDER: Final = ("visibility", "support_gate", "unlisted")
GATE: Final = SupportGate("any")


@dataclass(frozen=True)
class Access:
    """The fields of a track that say who may find, hear and download it."""

    support_gate: SupportGate | None
    unlisted: bool
    downloads: Downloads


ACCESS_OF_VISIBILITY: Final = {
    PUBLIC: Access(None, unlisted=False, downloads=Downloads.OPEN),
    UNLISTED: Access(None, unlisted=True, downloads=Downloads.OPEN),
    SUPPORTERS: Access(GATE, unlisted=False, downloads=Downloads.OPEN),
}
GATE_OF_LISTENING: Final = {PUBLIC: None, SUPPORTERS: GATE}
UNLISTED_OF_VISIBILITY: Final = {PUBLIC: False, UNLISTED: True}


def access_of(body: Body) -> Access | None:
    """Return what `publishing` or `visibility` says; None without either. Raises InvalidFieldError or UnknownFieldError."""
    publishing = body.mapping("publishing")
    if publishing is None:
        word = body.text("visibility")
        return None if word in NONE else _one_of("visibility", word, ACCESS_OF_VISIBILITY)
    for field in OLDER:
        if body.fields.get(field) not in NONE:
            raise InvalidFieldError(field, "must not be sent together with `publishing`")
    require_known_fields(publishing, ("access", "attach_rights"), inside="publishing.")
    if publishing.get("attach_rights", False) is not False:
        raise InvalidFieldError("publishing.attach_rights", "must be false: this service attaches no rights")
    return _from_policy(publishing.get("access", {}))


def _from_policy(policy: Any) -> Access:
    if not isinstance(policy, dict):
        raise InvalidFieldError("publishing.access", "must be a JSON object")
    inside = "publishing.access."
    require_known_fields(policy, ("listening", "downloads", "visibility"), inside=inside)
    downloads = policy.get("downloads", Downloads.OPEN.value)
    if not isinstance(downloads, str) or not downloads:
        raise InvalidFieldError("publishing.access.downloads", f"must be one of: {', '.join(Downloads)}")
    return Access(
        _one_of(f"{inside}listening", policy.get("listening", PUBLIC), GATE_OF_LISTENING),
        unlisted=_one_of(f"{inside}visibility", policy.get("visibility", PUBLIC), UNLISTED_OF_VISIBILITY),
        downloads=checked_downloads(downloads),
    )


def _one_of(field: str, word: Any, meanings: dict[str, Any]) -> Any:
    """Return what the word means; every other one would be wider access here, or is unknown."""
    if not isinstance(word, str) or word not in meanings:
        offered = ", ".join(meanings)
        raise InvalidFieldError(field, f"must be one of: {offered}; this service has no {word!r}")
    return meanings[word]
