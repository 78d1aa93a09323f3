"""Makes two runs equal: the time stands still, and random bytes come from a seed."""

import os
import random
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import time_machine

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STEP_SECONDS = 61.0


@contextmanager
def stillness() -> Generator[time_machine.Traveller]:
    """Stop the clock, which `shift` moves; monotonic clocks go on, so that timeouts end."""
    chance = random.Random(0)  # noqa: S311 - equal runs are its purpose
    with (
        time_machine.travel(START, tick=False) as clock,
        patch.object(os, "urandom", chance.randbytes),
        patch.object(random, "_urandom", chance.randbytes),  # where `secrets` takes its bytes
    ):
        yield clock
