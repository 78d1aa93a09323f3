"""Parses and checks the fields of an account's profile."""

from typing import Any, Final

from aggregates.values import ARTIST_BYTES, BIO_BYTES, checked_bio, checked_display_name
from api.openapi import TEXT
from api.requests.body import Body

CHECKS: Final = {"display_name": checked_display_name, "bio": checked_bio}
PROFILE_FIELDS: Final[dict[str, Any]] = {
    "display_name": {**TEXT, "description": f"at most {ARTIST_BYTES} bytes; empty shows the profile's again"},
    "bio": {**TEXT, "description": f"at most {BIO_BYTES} bytes; empty clears"},
}


def profile_of(body: Body) -> dict[str, str | None]:
    """Return the checked fields of the body."""
    return {name: check(body.text(name)) for name, check in CHECKS.items() if name in body}
