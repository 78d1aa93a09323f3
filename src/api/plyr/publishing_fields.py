"""Parses who may find, hear and download a track, in the peer's words; what a track cannot hold here is refused.

`publishing` says everything; an older client sends `visibility` instead, or the fields that are our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from aggregates.values import Downloads, SupportGate
from api.openapi import TEXT
from api.requests.body import NONE, Body
from api.requests.known_names import require_known_fields
from projections.tracks.view import TrackView

PUBLIC: Final = "public"
SUPPORTERS: Final = "supporters"
UNLISTED: Final = "unlisted"


def visibility_of(view: TrackView) -> str:
    """Return the peer's single word; `support_gate` still shows that an unlisted track is gated too."""
    if view.unlisted:
        return UNLISTED
    return SUPPORTERS if view.support_gate is not None else PUBLIC


def publishing_of(view: TrackView) -> dict[str, Any]:
    """Return the newer object, in which listening and visibility are apart."""
    return {
        "access": {
            "listening": SUPPORTERS if view.support_gate is not None else PUBLIC,
            "downloads": download_policy_of(view),
            "visibility": UNLISTED if view.unlisted else PUBLIC,
        },
        "attach_rights": False,
    }


def download_policy_of(view: TrackView) -> str:
    """Return who may download the track, of those who may hear it."""
    return view.downloads.value


PUBLISHING: Final[dict[str, Any]] = {"publishing": {"type": "object"}}
VISIBILITY: Final[dict[str, Any]] = {"visibility": TEXT}
OURS: Final = ("support_gate", "unlisted")
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
DOWNLOADS: Final = {each.value: each for each in Downloads}


def access_of(body: Body) -> Access | None:
    """Return what `publishing` or `visibility` says; None without either. Raises InvalidFieldError or UnknownFieldError."""
    publishing = body.mapping("publishing")
    if publishing is None:
        word = body.text("visibility")
        if word in NONE:
            return None
        _require_absent(body, OURS, beside="visibility")
        access: Access = _one_of("visibility", word, ACCESS_OF_VISIBILITY)
        return access
    _require_absent(body, ("visibility", *OURS), beside="publishing")
    return access_in(publishing, "publishing")


def _require_absent(body: Body, fields: Sequence[str], *, beside: str) -> None:
    """Raise InvalidFieldError where two fields say who may have the track: the wider one could win."""
    for field in fields:
        if body.fields.get(field) not in NONE:
            raise InvalidFieldError(field, f"must not be sent together with `{beside}`")


def access_in(settings: dict[str, Any], field: str) -> Access:
    """Return what the peer's object says that `field` holds; raises InvalidFieldError or UnknownFieldError."""
    require_known_fields(settings, ("access", "attach_rights"), inside=f"{field}.")
    if settings.get("attach_rights", False) is not False:
        raise InvalidFieldError(f"{field}.attach_rights", "must be false: this service attaches no rights")
    policy = settings.get("access", {})
    if not isinstance(policy, dict):
        raise InvalidFieldError(f"{field}.access", "must be a JSON object")
    inside = f"{field}.access."
    require_known_fields(policy, ("listening", "downloads", "visibility"), inside=inside)
    return Access(
        _one_of(f"{inside}listening", policy.get("listening", PUBLIC), GATE_OF_LISTENING),
        unlisted=_one_of(f"{inside}visibility", policy.get("visibility", PUBLIC), UNLISTED_OF_VISIBILITY),
        downloads=_one_of(f"{inside}downloads", policy.get("downloads", Downloads.OPEN), DOWNLOADS),
    )


def _one_of(field: str, word: Any, meanings: dict[str, Any]) -> Any:
    """Return what the word means; every other one would be wider access here, or is unknown."""
    if not isinstance(word, str) or word not in meanings:
        offered = ", ".join(meanings)
        raise InvalidFieldError(field, f"must be one of: {offered}; this service has no {word!r}")
    return meanings[word]
