"""Who may find, hear and download a track, in the peer's words."""

from typing import Any, Final

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
