"""How templates show times, lengths and sizes."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

MINUTE: Final = 60


def moment(value: str | None) -> str:
    """Return an ISO time as `27 Nov 2026, 17:35 UTC`; scripts turn it into the viewer's own time zone."""
    if value is None:
        return ""
    at = datetime.fromisoformat(value).astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def playing_time(seconds: float | None) -> str:
    """Return seconds as `3:07`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), MINUTE)
    return f"{minutes}:{rest:02}"


FILTERS: Final[dict[str, Callable[..., Any]]] = {"moment": moment, "playing_time": playing_time}
