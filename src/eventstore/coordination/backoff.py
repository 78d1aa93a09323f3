"""Exponential backoff, capped, with jitter that spreads retries out."""

import random
from datetime import timedelta
from typing import Final

FIRST_SECONDS: Final = 0.5
CAP_SECONDS: Final = 300.0
MAX_FUTILE_PAUSE_SECONDS: Final = 3600.0
"""The longest pause after an upload that was sent in vain (docs/adr/0015-uploads-that-break-a-pds.md)."""
MAX_DOUBLINGS: Final = 20


def backoff(
    failures: int,
    *,
    first: float = FIRST_SECONDS,
    cap: float = CAP_SECONDS,
    random_between: float | None = None,
) -> timedelta:
    """Return the pause after this many failures in a row; half of it is random. `first` and `cap` are in seconds."""
    whole = min(cap, first * 2.0 ** min(failures, MAX_DOUBLINGS))
    chance = random.random() if random_between is None else random_between  # noqa: S311
    return timedelta(seconds=whole / 2 + whole / 2 * chance)
